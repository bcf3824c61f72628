"""CellSearcher: one Optuna study per cell behind one Ray Tune searcher, after a queue of fixed jobs."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from ray.tune.search import Searcher

from hsl.driver.tune.ray import Unsaved
from hsl.planning.job import NOT_PROMOTED, Job
from hsl.search.study import CellStudy, Outcome, Proposal
from hsl.search.turns import Turns
from hsl.space.sections import COST_COLUMNS
from hsl.stopping.pauses import Pauses


class JobMaker(Protocol):
    """Makes the job of a proposal."""

    def __call__(self, study: CellStudy, proposal: Proposal) -> Job:
        """The job that trains `proposal` in the cell of `study`."""
        ...


class Watcher(Protocol):
    """Sees what is proposed and how it ends, for example to show it elsewhere."""

    def proposed(self, study: CellStudy, configuration_id: str) -> None:
        """A study has proposed a configuration."""
        ...

    def ended(self, study: CellStudy, configuration_id: str) -> None:
        """A study was told how a configuration ended."""
        ...


class CellSearcher(Unsaved, Searcher):
    """Hands out jobs: those of a queue first, then what the studies propose, the cells in turn.

    Args:
        queue: Jobs that are to run whatever the studies say: continued trials, confirmations.
        turns: The studies of a search; without any in a stage that only works off its queue.
        make_job: Makes the job of a proposal.
        pauses: Hands out the jobs that were promoted at a rung.
        is_spent: Whether a budget is spent, so that nothing new may start.
        watcher: Sees every proposal and its end; nobody by default.
    """

    def __init__(
        self,
        queue: Iterable[Job],
        turns: Turns,
        make_job: JobMaker,
        pauses: Pauses[Job],
        is_spent: Callable[[], bool] = lambda: False,
        watcher: Watcher | None = None,
    ) -> None:
        super().__init__(metric="epoch", mode="max")
        self.jobs: dict[str, Job] = {}
        self._running: set[str] = set()
        self._queue = deque(queue)
        self._turns = turns
        self._make_job = make_job
        self._pauses = pauses
        self._is_spent = is_spent
        self._watcher = watcher

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """Accept whatever Tune hands over: the studies know what they search."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration for Tune, None as long as a running trial may lead to one, or FINISHED."""
        if self._is_spent():
            return Searcher.FINISHED
        job = self._queue.popleft() if self._queue else self._pauses.take(self._open()) or self._proposed()
        if job is None:
            is_over = self._turns.is_over and self._pauses.is_over
            return Searcher.FINISHED if is_over or not self._running else None
        self._running.add(trial_id)
        self._pauses.start(job.cell)
        if study := self._turns.studies.get(job.cell):
            study.resume(job.configuration.id)
        self.jobs[trial_id] = job
        return {"job": job.model_dump_json(exclude_defaults=True)}

    def _open(self) -> dict[str, bool]:
        """Whether something new comes in a cell."""
        return {name: not study.is_finished for name, study in self._turns.studies.items()}

    def _proposed(self) -> Job | None:
        turn = self._turns.propose()
        if turn is None:
            return None
        study, proposal = turn
        if self._watcher:
            self._watcher.proposed(study, proposal.configuration.id)
        return self._make_job(study, proposal)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study of the cell how the trial ended; one that is halted or waits at a rung has not."""
        self._running.discard(trial_id)
        job, result = self.jobs[trial_id], result or {}
        study = self._turns.studies.get(job.cell)
        status = "failed" if error else result.get("status", "failed")
        if study is None or job.stage != "search" or status == "halted":
            return
        if result.get("reason") == NOT_PROMOTED and not error:
            study.pause(job.configuration.id)
            return
        against = {name: result.get(name) for name in COST_COLUMNS}
        outcome = Outcome(status, result.get("epoch", 0), result.get("objective"), against)
        study.tell(job.configuration.id, outcome)
        if self._watcher:
            self._watcher.ended(study, job.configuration.id)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: only how a trial ends is told."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth, Tune's own snapshot is never read."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""
