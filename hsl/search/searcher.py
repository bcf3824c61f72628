"""CellSearcher: one Optuna study per cell behind one Ray Tune searcher; and its counterpart for a fixed list."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from ray.tune.search import Searcher

from hsl.search.jobs import NOT_PROMOTED, Job
from hsl.search.pauses import Pauses
from hsl.search.proposals import CellStudy, Outcome, Proposal
from hsl.search.unsaved import Unsaved


class JobMaker(Protocol):
    """Makes the job of a proposal."""

    def __call__(self, study: CellStudy, proposal: Proposal) -> Job:
        """The job that trains `proposal` in the cell of `study`."""
        ...


class JobSearcher(Unsaved, Searcher):
    """Hands out jobs: those of a queue first, then what the studies propose, the cells served evenly.

    Args:
        queue: Jobs that are to run whatever the studies say: continued trials, confirmations.
        studies: One per cell; none in a stage that only works off its queue.
        make_job: Makes the job of a proposal.
        pauses: Hands out the jobs that were promoted at a rung.
    """

    def __init__(
        self,
        queue: Iterable[Job],
        studies: Iterable[CellStudy],
        make_job: JobMaker,
        pauses: Pauses[Job],
    ) -> None:
        super().__init__(metric="epoch", mode="max")
        self.jobs: dict[str, Job] = {}
        self._queue = deque(queue)
        self._studies = {study.cell.name: study for study in studies}
        self._make_job = make_job
        self._pauses = pauses

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """Accept whatever Tune hands over: the studies know what they search."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration for Tune, None as long as a running trial may promote one, or FINISHED."""
        job = self._queue.popleft() if self._queue else self._pauses.take(self._open()) or self._proposed()
        if job is None:
            return Searcher.FINISHED if self._pauses.is_idle else None
        self._pauses.start(job.cell)
        self.jobs[trial_id] = job
        return {"job": job.model_dump_json(exclude_defaults=True)}

    def _open(self) -> dict[str, bool]:
        """Whether something new comes in a cell."""
        return {name: not study.is_finished for name, study in self._studies.items()}

    def _proposed(self) -> Job | None:
        while open_studies := [study for study in self._studies.values() if not study.is_finished]:
            study = min(open_studies, key=lambda study: study.issued / study.cell.configurations)
            if proposal := study.ask():
                return self._make_job(study, proposal)
        return None

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell the study of the cell how the trial ended."""
        job = self.jobs[trial_id]
        study = self._studies.get(job.cell)
        if study is None or job.stage != "search" or (result or {}).get("reason") == NOT_PROMOTED:
            return
        status = "failed" if error or result is None else result["status"]
        outcome = Outcome(status, (result or {}).get("epoch", 0), (result or {}).get("objective"))
        study.tell(job.configuration.id, outcome)

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Nothing: only how a trial ends is told."""

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is the truth, Tune's own snapshot is never read."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""
