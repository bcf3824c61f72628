"""Ray Tune's events, passed on to the ledger and the view. An error in here must not end a sweep unseen."""

import logging
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from hsl.driver.interruptions import Losses, MemoryLosses
from hsl.driver.ledger import Ledger
from hsl.driver.tune.ray import Unsaved, check_interrupted
from hsl.driver.watch.progress import Progress
from hsl.planning.job import NOT_PROMOTED, Job
from hsl.reasons import reason_of_loss
from hsl.stopping.pauses import Pauses
from hsl.stopping.rule import Decision, judge_rows

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
        losses: Told which workers were lost.
        memory: Told which worker has which trial.
        reached: The last epoch of a trial that was reported.
    """

    def __init__(
        self,
        ledger: Ledger,
        progress: Progress,
        jobs: MutableMapping[str, Job],
        pauses: Pauses[Job],
        losses: Losses,
        memory: MemoryLosses,
        reached: Callable[[str], int],
    ) -> None:
        self._ledger = ledger
        self._pauses = pauses
        self._progress = progress
        self._jobs = jobs
        self._losses = losses
        self._memory = memory
        self._reached = reached
        self._heard: dict[str, float] = {}
        self._reasons: dict[str, str] = {}
        self._notes: set[str] = set()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial was handed to a worker."""
        self._heard[trial.trial_id] = time.monotonic()
        self._reasons.pop(trial.trial_id, None)
        job = self._jobs[trial.trial_id]
        self._losses.start(job.trial_id, job.losses, job.repeated_epochs)
        self._ledger.start(job)
        if (actor := trial.temporary_state.ray_actor) is not None:
            self._memory.start(actor._actor_id.hex(), job)  # by which Ray calls it in messages

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported; `result` is emptied of what Tune would keep for ever."""
        self._heard[trial.trial_id] = time.monotonic()
        job, rows, summary = self._jobs[trial.trial_id], result.pop("rows"), result.pop("summary")
        self._note(result.pop("note", None))
        node, began = result.pop("node", None), result.pop("began", None)
        self._losses.report(job.trial_id, node, began, self._reached(job.trial_id))
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
            result |= self._end(job, summary, result["status"], result["reason"])
        for name in UNREAD:
            result.pop(name, None)

    def _end(self, job: Job, summary: Mapping[str, Any], status: str, reason: str | None) -> dict[str, Any]:
        """Record the end of a trial; ``running`` means that it was stopped or paused.

        Returns:
            How it ended, as the searcher is told as well.
        """
        lost = self._losses.counts(job.trial_id)
        self._losses.forget(job.trial_id)
        paused = self._pauses.end(job.cell, job.trial_id, job.model_copy(update=lost))
        if status == "running":
            status, reason = "stopped", NOT_PROMOTED if paused else "early stopping"
        else:
            self._pauses.judge.end(job.cell, job.trial_id, failed=status == "failed")
        self._ledger.end(job, {**summary, **lost}, status, reason)
        return {"status": status, "reason": reason}

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has lost its worker, and is tried again."""
        job = self._jobs[trial.trial_id]
        silent = time.monotonic() - self._heard.get(trial.trial_id, time.monotonic())
        self._reasons[trial.trial_id] = reason_of_loss(job.timeout, silent, trial.get_error())
        self._losses.interrupt(job.trial_id, getattr(trial.get_pickled_error(), "preempted", False))

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has ended, and everybody has been told; one that had just lost its worker is given up."""
        if trial.trial_id in self._reasons:
            self._end(self._jobs[trial.trial_id], {}, "failed", self._reasons[trial.trial_id])
        self._forget(trial)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial cannot even be started."""
        job = self._jobs[trial.trial_id]
        self._end(job, {}, "failed", reason_of_loss(job.timeout, 0.0, trial.get_error()))
        self._forget(trial)

    def _forget(self, trial: Trial) -> None:
        self._heard.pop(trial.trial_id, None)
        self._reasons.pop(trial.trial_id, None)
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
