"""Early stopping within cells behind Ray Tune's scheduler interface."""

import time
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from ray import tune
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from hsl.driver.trials import Trials
from hsl.driver.tune.ray import Unsaved
from hsl.stopping.rule import Decision

START_SECONDS = 60.0
"""How long a trial waits for the worker that is being started for it before it is given one that another trial left.

Tune then ends the worker under way. If it did so at once, trials that are shorter than the start of a worker would
leave slots empty for good: every worker would be given up before it is ready.
"""


class Starting(NamedTuple):
    """A trial whose worker is being started, and since when."""

    trial: Trial
    since: float


class CellScheduler(Unsaved, FIFOScheduler):
    """Early stopping within cells, of any kind.

    A trial that is paused ends for Tune and is handed out again, as a new one, when it is promoted: it continues
    from its own checkpoint, and Tune's actors, limits and queues never hold trials that wait.
    """

    def __init__(self, trials: Trials, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._trials = trials
        self._clock = clock
        self._new: deque[Trial] = deque()
        self._starting: deque[Starting] = deque()

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Accept any arguments of Tune: each job names its own objective."""
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Queue a new trial, or one that lost its worker."""
        self._new.append(trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Apply the stopping rule to every epoch of a report."""
        decision = self._trials.decide(trial.trial_id, result["report"])
        return TrialScheduler.CONTINUE if decision is Decision.CONTINUE else TrialScheduler.STOP

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """A trial that has waited too long for its worker, else the next that has none; Tune finds or starts one.

        Looking at waiting trials only keeps this cheap in large sweeps.
        """
        while self._starting and not self._waits(self._starting[0].trial, tune_controller):
            self._starting.popleft()
        if self._starting and self._clock() - self._starting[0].since > START_SECONDS:
            return self._starting[0].trial
        while self._new:
            trial = self._new.popleft()
            if self._waits(trial, tune_controller):
                self._starting.append(Starting(trial, self._clock()))
                return trial
        return None

    def _waits(self, trial: Trial, tune_controller: Any) -> bool:
        """Whether a trial still waits for a worker; one that crashed too often is stopped."""
        if trial.status != Trial.PENDING:
            return False
        if not self._trials.gives_up(trial.trial_id):
            return True
        tune_controller.stop_trial(trial)
        return False

    def debug_string(self) -> str:
        """An empty string: progress is shown elsewhere."""
        return ""


class BudgetStopper(Unsaved, tune.Stopper):
    """Halts trials that report when a budget is spent; they are not ended, their checkpoints stay."""

    def __init__(self, trials: Trials) -> None:
        self._trials = trials

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial that reports is to halt."""
        return self._trials.halts(trial_id, result["report"])

    def stop_all(self) -> bool:
        """No: every trial ends at a report of its own."""
        return False
