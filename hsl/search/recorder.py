"""Ray Tune's events, passed on to the ledger and the view. An error in here must not end a sweep unseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from hsl.search.jobs import Job
from hsl.search.ledger import Ledger
from hsl.search.progress import Progress
from hsl.search.unsaved import Unsaved


class Recorder(Unsaved, tune.Callback):
    """Writes every report to the ledger.

    Args:
        ledger: Where to.
        progress: Refreshed at every step of the driver.
        jobs: Job of every Tune trial, by Tune's trial id; filled by the searcher.
    """

    def __init__(self, ledger: Ledger, progress: Progress, jobs: Mapping[str, Job]) -> None:
        self._ledger = ledger
        self._progress = progress
        self._jobs = jobs

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial was handed to a worker."""
        self._ledger.start(self._jobs[trial.trial_id])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported; `result` is emptied of what Tune would keep for ever."""
        job = self._jobs[trial.trial_id]
        self._ledger.epochs(job, result.pop("rows"))
        summary = result.pop("summary")
        if result["done"] and result["status"] == "running":
            result["status"] = "stopped"
        if result["status"] == "halted":
            self._ledger.halt(job)
        elif result["done"]:
            reason = "early stopping" if result["status"] == "stopped" else result["reason"]
            self._ledger.end(job, summary, result["status"], reason)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has lost its worker once too often."""
        error = trial.get_error()
        self._ledger.end(self._jobs[trial.trial_id], {}, "failed", f"lost its worker: {error}")

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """The driver has handled one event."""
        self._ledger.flush_if_due()
        self._progress.refresh()
