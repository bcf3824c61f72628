"""What is trained next: a queue of fixed jobs, promoted trials, then what the studies propose. Knows no Ray."""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hsl.driver.events import Ended
from hsl.planning.job import Job
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.search.turns import Turns
from hsl.stopping.pauses import Pauses


@dataclass(frozen=True)
class Next:
    """A job to start, and whether it was promoted at a rung."""

    job: Job
    was_paused: bool = False


class Supply:
    """Hands out jobs, and reports to the studies how they end.

    Args:
        queue: Jobs that run in any case: continued trials, confirmations.
        turns: The studies of a search; without any in a stage that only works off its queue.
        make_job: Makes the job of a proposal for the cell of a study.
        pauses: The stopping rule, and the trials that wait at its rungs.
        is_spent: Whether a budget is spent, so that nothing new may start.
    """

    def __init__(
        self,
        queue: Iterable[Job],
        turns: Turns,
        make_job: Callable[[CellStudy, Proposal], Job],
        pauses: Pauses[Job],
        is_spent: Callable[[], bool] = lambda: False,
    ) -> None:
        self._queue = deque(queue)
        self._turns = turns
        self._make_job = make_job
        self.pauses = pauses
        self.is_spent = is_spent

    @property
    def is_over(self) -> bool:
        """Whether no running trial can lead to another one."""
        return self._turns.is_over and self.pauses.is_over

    def next(self) -> Next | None:
        """The next job; None if it is over, or as long as it has to wait for running trials."""
        found = self._found()
        if found is not None:
            self.pauses.start(found.job.identity.cell)
        return found

    def _found(self) -> Next | None:
        if self._queue:
            return Next(self._queue.popleft())
        is_open = {name: study.is_open for name, study in self._turns.studies.items()}
        if promoted := self.pauses.take(is_open):
            return Next(promoted, was_paused=True)
        turn = self._turns.propose()
        if turn is None:
            return None
        return Next(self._make_job(*turn))

    def end(self, job: Job, ended: Ended) -> None:
        """Report the end of a trial of the search; a paused one has no outcome."""
        own = job.identity
        if own.stage == "search":
            outcome = None if ended.is_paused else Outcome.of(ended.status, ended.summary, ended.reason)
            self._turns.end(own.cell, own.configuration.id, outcome)
