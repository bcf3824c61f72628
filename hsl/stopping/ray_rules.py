"""Ray Tune's own schedulers behind the same interface, one per cell, for comparison.

They see stand-ins of trials and count epochs of training, as they do in Ray, not epochs at target sparsity. A trial
that they pause ends for Tune, and starts again from its checkpoint when they take it up.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ray.tune.schedulers import (
    AsyncHyperBandScheduler,
    HyperBandScheduler,
    MedianStoppingRule,
    TrialScheduler,
)

from hsl.stopping.rule import GOES_ON, Decision, StoppingRule, Verdict, first_rung
from hsl.stopping.settings import RayAsha, RayHyperband, RayMedian

RaySettings = RayAsha | RayHyperband | RayMedian

DECISIONS = {
    TrialScheduler.CONTINUE: Decision.CONTINUE,
    TrialScheduler.NOOP: Decision.CONTINUE,
    TrialScheduler.STOP: Decision.STOP,
    TrialScheduler.PAUSE: Decision.PAUSE,
}


@dataclass(eq=False)
class StandIn:
    """The part of a trial that Ray's schedulers look at; its last epoch and value, and the decisions by epoch."""

    trial_id: str
    status: str = "RUNNING"
    epoch: int = 0
    value: float = 0.0
    decisions: dict[int, Decision] = field(default_factory=dict)
    is_saving: bool = False  # no checkpoint is ever being written here


class CellScheduler:
    """One scheduler of Ray with the trials of one cell; stands in for Tune's controller as well."""

    def __init__(self, scheduler: Any) -> None:
        self._scheduler = scheduler
        self._trials: dict[str, StandIn] = {}

    def report(self, trial_id: str, epoch: int, value: float) -> Decision:
        """Enter one epoch of a trial; an epoch that was reported before gets the same answer."""
        trial = self._trials.get(trial_id) or self._add(trial_id)
        if epoch <= trial.epoch:
            known = trial.decisions.get(epoch, Decision.CONTINUE)
            return Decision.CONTINUE if known is Decision.PAUSE and trial.status == "RUNNING" else known
        if trial.status != "TERMINATED":
            trial.status = "RUNNING"
            result = {"epoch": epoch, "objective": value}
            decision = DECISIONS[self._scheduler.on_trial_result(self, trial, result)]
            if decision is Decision.PAUSE:
                trial.status = "PAUSED"
            elif decision is Decision.STOP:
                self._scheduler.on_trial_complete(self, trial, result)
                trial.status = "TERMINATED"
            trial.decisions[epoch] = decision
        trial.epoch, trial.value = epoch, value
        return trial.decisions.get(epoch, Decision.CONTINUE)

    def _add(self, trial_id: str) -> StandIn:
        trial = self._trials[trial_id] = StandIn(trial_id)
        self._scheduler.on_trial_add(self, trial)
        return trial

    def end(self, trial_id: str, failed: bool) -> None:
        """See `StoppingRule.end`."""
        trial = self._trials.get(trial_id)
        if trial is None or trial.status == "TERMINATED":
            return
        trial.status = "RUNNING"  # it may have been paused
        if failed:
            self._scheduler.on_trial_error(self, trial)
        else:
            self._scheduler.on_trial_complete(self, trial, {"epoch": trial.epoch, "objective": trial.value})
        trial.status = "TERMINATED"

    def promoted(self) -> list[str]:
        """Paused trials that the scheduler takes up again."""
        names = []
        while (trial := self._scheduler.choose_trial_to_run(self)) is not None:
            trial.status = "RUNNING"
            names.append(trial.trial_id)
        return names

    def is_paused(self, trial_id: str) -> bool:
        """Whether a trial waits, for ever if the scheduler has dropped it."""
        trial = self._trials.get(trial_id)
        return (
            trial is not None
            and trial.decisions.get(trial.epoch) is Decision.PAUSE
            and trial.status != "RUNNING"
        )

    def stop_trial(self, trial: StandIn) -> None:
        """Drop a paused trial; called by the scheduler."""
        self._scheduler.on_trial_remove(self, trial)
        trial.status = "TERMINATED"

    def get_live_trials(self) -> set[StandIn]:
        """All trials that have not ended; called by the scheduler."""
        return {trial for trial in self._trials.values() if trial.status != "TERMINATED"}

    def get_trials(self) -> list[StandIn]:
        """All trials; called by the scheduler."""
        return list(self._trials.values())


class RayRules(StoppingRule):
    """Early stopping as Ray Tune does it, within cells; nothing is drawn by the seed."""

    def __init__(self, settings: RaySettings, epochs: int, seed: int = 0) -> None:
        super().__init__(settings.milestones(epochs), share=0.0)
        self.progress, self.can_pause = settings.progress, settings.can_pause
        self._make = scheduler_maker(settings, epochs)
        self._epochs = epochs
        self._cells: dict[str, CellScheduler] = {}
        self._cell_of: dict[str, str] = {}

    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        self._cell_of[trial_id] = cell
        if cell not in self._cells:
            self._cells[cell] = CellScheduler(self._make())
        decision = self._cells[cell].report(trial_id, epoch, value)
        return GOES_ON if epoch >= self._epochs else Verdict(decision)

    def end(self, cell: str, trial_id: str, failed: bool) -> None:
        """See `StoppingRule.end`."""
        if cell in self._cells:
            self._cells[cell].end(trial_id, failed)

    def promoted(self) -> list[str]:
        """Paused trials that are to go on now, each of them named once."""
        return [name for cell in self._cells.values() for name in cell.promoted()]

    def is_paused(self, trial_id: str) -> bool:
        """Whether a trial waits for its promotion."""
        cell = self._cell_of.get(trial_id)
        return cell is not None and self._cells[cell].is_paused(trial_id)


def scheduler_maker(settings: RaySettings, epochs: int) -> Callable[[], Any]:
    """A factory of Ray's schedulers that maximise ``objective`` over ``epoch``."""
    common = {"time_attr": "epoch", "metric": "objective", "mode": "max"}
    if isinstance(settings, RayHyperband):
        return lambda: HyperBandScheduler(max_t=epochs, reduction_factor=settings.reduction_factor, **common)
    grace = first_rung(settings.grace, epochs)
    if isinstance(settings, RayAsha):
        factor = settings.reduction_factor
        return lambda: AsyncHyperBandScheduler(
            max_t=epochs, grace_period=min(grace, epochs), reduction_factor=factor, **common
        )
    return lambda: MedianStoppingRule(grace_period=grace, min_samples_required=settings.min_entries, **common)
