"""Keeps a run's account while Ray Tune trains, and lets trials halt at their next report when a budget is spent."""

from collections.abc import Iterator, Mapping
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from hsl.driver.interruptions import Losses
from hsl.driver.session import Session
from hsl.driver.tune.ray import Unsaved
from hsl.planning.job import Job
from hsl.space.schema import SearchSpace


class Accountant(Unsaved, tune.Callback):
    """Charges time and epochs to the session, and knows what is under way.

    Args:
        session: The account of this run.
        space: Says what a trial holds.
        jobs: Job of every Tune trial, by Tune's trial id; filled by the searcher.
        losses: What trials have lost so far.
    """

    def __init__(self, session: Session, space: SearchSpace, jobs: Mapping[str, Job], losses: Losses) -> None:
        self._session = session
        self._space = space
        self._jobs = jobs
        self._losses = losses
        self._running: set[str] = set()
        self._interrupted: set[str] = set()
        self.under_way: dict[str, Job] = {}
        session.tick(0.0)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial was handed to a worker."""
        self._charge()
        self._running.add(trial.trial_id)
        self._interrupted.discard(trial.trial_id)
        self.under_way[trial.trial_id] = self._jobs[trial.trial_id]

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported; one that halts stays under way for the next run."""
        self._session.account.count(self._jobs[trial.trial_id].trial_id, result["epoch"])
        if result["done"]:
            self._leave(trial)
        if result["done"] and result["status"] != "halted":
            self.under_way.pop(trial.trial_id, None)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has lost its worker, and waits for another one."""
        self._leave(trial)
        self._interrupted.add(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial is given up."""
        self._leave(trial)
        self.under_way.pop(trial.trial_id, None)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has left Tune without a report: it is given up."""
        if trial.trial_id in self._interrupted:
            self.on_trial_error(iteration, trials, trial)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """The driver has handled one event."""
        self._charge()
        self._session.save_if_due(self._counted())

    def close(self) -> None:
        """Make the account durable."""
        self._charge()
        self._session.save(self._counted())

    def _counted(self) -> Iterator[Job]:
        """What is under way, with what it has lost."""
        return (job.model_copy(update=self._losses.counts(job.trial_id)) for job in self.under_way.values())

    def _leave(self, trial: Trial) -> None:
        self._charge()
        self._running.discard(trial.trial_id)

    def _charge(self) -> None:
        self._session.tick(len(self._running) * self._space.resources.gpu)


class BudgetStopper(Unsaved, tune.Stopper):
    """Halts trials that report when a budget is spent; they are not ended, their checkpoints stay."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial that reports is to halt; its result says so."""
        if result["status"] != "running" or not self._session.account.exceeded():
            return False
        result["status"] = "halted"
        return True

    def stop_all(self) -> bool:
        """No: every trial ends at a report of its own."""
        return False
