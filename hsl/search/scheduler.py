"""StratifiedASHA: `Rungs` behind Ray Tune's scheduler interface."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler

from hsl.search.jobs import Job
from hsl.search.rungs import Rungs
from hsl.search.unsaved import Unsaved


class StratifiedASHA(Unsaved, FIFOScheduler):
    """Early stopping within cells.

    Args:
        rungs: Decides who stops; shared with whoever rebuilds it from a store.
        jobs: Job of every Tune trial, by Tune's trial id; filled by the searcher.
    """

    def __init__(self, rungs: Rungs, jobs: Mapping[str, Job]) -> None:
        super().__init__()
        self._rungs = rungs
        self._jobs = jobs
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
        if job.stage == "confirm":
            return TrialScheduler.CONTINUE
        stops = [self._rungs.report(job.cell, job.trial_id, row, job.objective) for row in result["rows"]]
        return TrialScheduler.STOP if any(stops) else TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The trial that has waited longest; looking at waiting trials only keeps this cheap in large sweeps."""
        while self._pending and self._pending[0].status != Trial.PENDING:
            self._pending.popleft()
        return self._pending[0] if self._pending else None

    def debug_string(self) -> str:
        """Nothing: progress is shown elsewhere."""
        return ""
