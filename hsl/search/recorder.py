"""Ray Tune's events, passed on to the ledger and the view. An error in here must not end a sweep unseen."""

from __future__ import annotations

import logging
import time
from collections.abc import MutableMapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from hsl.search.early_stopping import judge_rows
from hsl.search.jobs import NOT_PROMOTED, Job
from hsl.search.ledger import Ledger
from hsl.search.pauses import Pauses
from hsl.search.progress import Progress
from hsl.search.reasons import reason_of_loss
from hsl.search.rungs import Decision
from hsl.search.runtime import check_interrupted
from hsl.search.unsaved import Unsaved

UNREAD = (
    "config",
    "date",
    "hostname",
    "iterations_since_restore",
    "node_ip",
    "pid",
    "time_since_restore",
    "timestamp",
    "trial_id",
)
"""What Tune adds to every report, and would keep of every trial for ever."""

LOG = logging.getLogger(__name__)


class Recorder(Unsaved, tune.Callback):
    """Writes every report to the ledger.

    Args:
        ledger: Where to.
        progress: Refreshed at every step of the driver.
        jobs: Job of every Tune trial, by Tune's trial id; filled by the searcher, emptied of trials that have ended.
        pauses: Told who runs no more.
    """

    def __init__(
        self, ledger: Ledger, progress: Progress, jobs: MutableMapping[str, Job], pauses: Pauses[Job]
    ) -> None:
        self._ledger = ledger
        self._pauses = pauses
        self._progress = progress
        self._jobs = jobs
        self._heard: dict[str, float] = {}
        self._notes: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial was handed to a worker."""
        self._heard[trial.trial_id] = time.monotonic()
        self._ledger.start(self._jobs[trial.trial_id])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported; `result` is emptied of what Tune would keep for ever."""
        self._heard[trial.trial_id] = time.monotonic()
        job, rows, summary = self._jobs[trial.trial_id], result.pop("rows"), result.pop("summary")
        self._note(result.pop("note", None))
        if result["done"]:  # the last report of a trial does not reach its scheduler
            decision = judge_rows(self._pauses.judge, job.cell, job.trial_id, rows, job.objective)
            if result["status"] == "halted" and decision is not Decision.CONTINUE:
                result["status"] = "running"  # it would not have gone on, budget or no budget
        self._ledger.epochs(job, rows)
        self._ledger.evaluations(job, result.pop("evaluations"))
        if result["status"] == "halted":
            self._pauses.end(job.cell, job.trial_id, job)
            self._ledger.halt(job)
        elif result["done"]:
            result |= self._end(job, result["status"], result["reason"])
            self._ledger.end(job, summary, result["status"], result["reason"])
        for name in UNREAD:
            result.pop(name, None)

    def _end(self, job: Job, status: str, reason: str | None) -> dict[str, Any]:
        """How a trial ended, as the searcher is told as well; ``running`` means that it was stopped or paused."""
        paused = self._pauses.end(job.cell, job.trial_id, job)
        if status != "running":
            self._pauses.judge.end(job.cell, job.trial_id, failed=status == "failed")
            return {"status": status, "reason": reason}
        return {"status": "stopped", "reason": NOT_PROMOTED if paused else "early stopping"}

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has ended, and everybody has been told."""
        self._forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has lost its worker once too often."""
        job = self._jobs[trial.trial_id]
        silent = time.monotonic() - self._heard.get(trial.trial_id, time.monotonic())
        ended = self._end(job, "failed", reason_of_loss(job.timeout, silent, trial.get_error()))
        self._ledger.end(job, {}, ended["status"], ended["reason"])
        self._forget(trial)

    def _forget(self, trial: Trial) -> None:
        self._heard.pop(trial.trial_id, None)
        self._jobs.pop(trial.trial_id, None)

    def _note(self, note: str | None) -> None:
        if note is not None and note not in self._notes:
            self._notes.add(note)
            LOG.warning("%s", note)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """The driver has handled one event."""
        check_interrupted()
        self._ledger.flush_if_due()
        self._progress.refresh()
