"""Ray Tune's events, passed on to the ledger and the view. An error in here must not end a sweep unseen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from hsl.search.early_stopping import judge_rows
from hsl.search.jobs import NOT_PROMOTED, Job
from hsl.search.ledger import Ledger
from hsl.search.pauses import Pauses
from hsl.search.progress import Progress
from hsl.search.unsaved import Unsaved


class Recorder(Unsaved, tune.Callback):
    """Writes every report to the ledger.

    Args:
        ledger: Where to.
        progress: Refreshed at every step of the driver.
        jobs: Job of every Tune trial, by Tune's trial id; filled by the searcher.
        pauses: Told who runs no more.
    """

    def __init__(
        self, ledger: Ledger, progress: Progress, jobs: Mapping[str, Job], pauses: Pauses[Job]
    ) -> None:
        self._ledger = ledger
        self._pauses = pauses
        self._progress = progress
        self._jobs = jobs

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial was handed to a worker."""
        self._ledger.start(self._jobs[trial.trial_id])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported; `result` is emptied of what Tune would keep for ever."""
        job, rows, summary = self._jobs[trial.trial_id], result.pop("rows"), result.pop("summary")
        if result["done"]:  # the last report of a trial does not reach its scheduler
            judge_rows(self._pauses.judge, job.cell, job.trial_id, rows, job.objective)
        self._ledger.epochs(job, rows)
        if result["done"]:
            result |= self._end(job, result["status"], result["reason"])
            self._ledger.end(job, summary, result["status"], result["reason"])

    def _end(self, job: Job, status: str, reason: str | None) -> dict[str, Any]:
        """How a trial ended, as the searcher is told as well; ``running`` means that it was stopped or paused."""
        paused = self._pauses.end(job.cell, job.trial_id, job)
        if status != "running":
            self._pauses.judge.end(job.cell, job.trial_id, failed=status == "failed")
            return {"status": status, "reason": reason}
        return {"status": "stopped", "reason": NOT_PROMOTED if paused else "early stopping"}

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has lost its worker once too often."""
        job, error = self._jobs[trial.trial_id], trial.get_error()
        ended = self._end(job, "failed", f"lost its worker: {error}")
        self._ledger.end(job, {}, ended["status"], ended["reason"])

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """The driver has handled one event."""
        self._ledger.flush_if_due()
        self._progress.refresh()
