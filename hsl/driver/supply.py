"""What is trained next: a queue of fixed jobs, promoted trials, then what the studies propose. Knows no Ray."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from hsl.driver.events import Ended
from hsl.planning.job import Job
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
        """A study has received how a configuration ended."""
        ...


@dataclass(frozen=True)
class Next:
    """A job to start.

    Attributes:
        job: The job.
        was_paused: Whether it was promoted at a rung.
    """

    job: Job
    was_paused: bool = False


class Supply:
    """Hands out jobs, and tells the studies how they end.

    Args:
        queue: Jobs that run in any case: continued trials, confirmations.
        turns: The studies of a search; without any in a stage that only works off its queue.
        make_job: Makes the job of a proposal.
        pauses: Hands out the jobs that were promoted at a rung.
        is_spent: Whether a budget is spent, so that nothing new may start.
        watcher: Sees every proposal and its end; None for none.

    Attributes:
        pauses: The same; knows the stopping rule, and which trials wait at its rungs.
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
        self._queue = deque(queue)
        self._turns = turns
        self._make_job = make_job
        self.pauses = pauses
        self._watcher = watcher
        self.is_spent = is_spent

    @property
    def is_over(self) -> bool:
        """Whether no running trial can lead to another one."""
        return self._turns.is_over and self.pauses.is_over

    def next(self) -> Next | None:
        """The next job; None if it is over, or as long as it has to wait for running trials."""
        found = self._found()
        if found is not None:
            own = found.job.identity
            self.pauses.start(own.cell)
            if study := self._turns.studies.get(own.cell):
                study.resume(own.configuration.id)
        return found

    def _found(self) -> Next | None:
        if self._queue:
            return Next(self._queue.popleft())
        is_open = {name: not study.is_finished for name, study in self._turns.studies.items()}
        if promoted := self.pauses.take(is_open):
            return Next(promoted, was_paused=True)
        return self._proposed()

    def _proposed(self) -> Next | None:
        turn = self._turns.propose()
        if turn is None:
            return None
        study, proposal = turn
        if self._watcher:
            self._watcher.proposed(study, proposal.configuration.id)
        return Next(self._make_job(study, proposal))

    def end(self, job: Job, ended: Ended) -> None:
        """Tell the study of its cell how a trial ended; a paused one has not."""
        own = job.identity
        study = self._turns.studies.get(own.cell)
        if study is None or own.stage != "search":
            return
        if ended.is_paused:
            study.pause(own.configuration.id)
            return
        summary = ended.summary
        against = {name: summary.get(column) for name, column in COST_COLUMNS.items()}
        study.tell(
            own.configuration.id,
            Outcome(ended.status, summary.get("epochs", 0), summary.get("objective"), against),
        )
        if self._watcher:
            self._watcher.ended(study, own.configuration.id)
