"""Early stopping within cells behind Ray Tune's scheduler interface."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from hsl.search.early_stopping import judge_rows
from hsl.search.jobs import Job
from hsl.search.rungs import Decision, Judge
from hsl.search.unsaved import Unsaved


class StratifiedASHA(Unsaved, FIFOScheduler):
    """Early stopping within cells, of whatever kind.

    A trial that is paused ends for Tune and is handed out again, as a new one, when it is promoted: it continues
    from its own checkpoint, and Tune's actors, limits and queues never hold trials that wait.

    Args:
        judge: Decides who stops and who waits; shared with whoever rebuilds it from a store.
        jobs: Job of every Tune trial, by Tune's trial id; filled by the searcher.
        gives_up: Whether a trial has crashed so often that it is not tried again.
    """

    def __init__(
        self,
        judge: Judge,
        jobs: Mapping[str, Job],
        gives_up: Callable[[str], bool] = lambda trial_id: False,
    ) -> None:
        super().__init__()
        self._judge = judge
        self._jobs = jobs
        self._gives_up = gives_up
        self._pending: deque[Trial] = deque()

    def set_search_properties(self, metric: str | None, mode: str | None, **spec: Any) -> bool:
        """Accept whatever Tune hands over: each job names its own objective."""
        return True

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Queue a new trial, or one that lost its worker."""
        self._pending.append(trial)

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Judge every epoch of a report."""
        job = self._jobs[trial.trial_id]
        decision = judge_rows(self._judge, job.cell, job.trial_id, result["rows"], job.objective)
        return TrialScheduler.CONTINUE if decision is Decision.CONTINUE else TrialScheduler.STOP

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that has waited longest; looking at waiting trials only keeps this cheap in large sweeps."""
        while self._pending:
            trial = self._pending[0]
            if trial.status == Trial.PENDING and not self._gives_up(self._jobs[trial.trial_id].trial_id):
                return trial
            self._pending.popleft()
            if trial.status == Trial.PENDING:
                tune_controller.stop_trial(trial)
        return None

    def debug_string(self) -> str:
        """Nothing: progress is shown elsewhere."""
        return ""
