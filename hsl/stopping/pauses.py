"""Trials that wait at a rung, and the moment when their cell is closed. Pure; a sweep and a replay drive it."""

from collections import Counter, deque
from collections.abc import Mapping
from typing import Generic, TypeVar

from hsl.stopping.rule import StoppingRule

Job = TypeVar("Job")


class Pauses(Generic[Job]):
    """Keeps the jobs of paused trials, `waiting` by trial at first, until the rule promotes them.

    A trial that the store has as paused, and the rule does not hold back, was promoted before the driver ended.
    """

    def __init__(self, rule: StoppingRule, waiting: Mapping[str, Job] | None = None) -> None:
        self.rule = rule
        self._waiting = dict(waiting or {})
        goes_on = [name for name in self._waiting if not rule.is_paused(name)]
        self._promoted = deque(self._waiting.pop(name) for name in goes_on)
        self._running: Counter[str] = Counter()
        self._closed: set[str] = set()

    @property
    def has_promoted(self) -> bool:
        """Whether a trial was promoted and not taken."""
        return bool(self._promoted)

    @property
    def is_over(self) -> bool:
        """Whether nothing that runs could still promote a trial."""
        return not (self.rule.can_pause and self._running.total())

    def start(self, cell: str) -> None:
        """Note that a trial of a cell runs."""
        self._running[cell] += 1
        self._closed.discard(cell)

    def end(self, cell: str, trial_id: str, job: Job) -> bool:
        """Note that a trial runs no more; return whether it was paused."""
        self._running[cell] -= 1
        if self.rule.is_paused(trial_id):
            self._waiting[trial_id] = job
        return trial_id in self._waiting

    def left(self) -> list[Job]:
        """Jobs that wait and were not promoted."""
        return list(self._waiting.values())

    def take(self, is_open: Mapping[str, bool]) -> Job | None:
        """The next trial that was promoted, if there is one; see `promote`."""
        self.promote(is_open)
        return self._promoted.popleft() if self._promoted else None

    def promote(self, is_open: Mapping[str, bool]) -> None:
        """Queue the trials that were promoted; `take` hands them out.

        Args:
            is_open: For every cell, whether new trials will come; if not, it is closed when nothing runs either.
        """
        for cell in [cell for cell, is_more in is_open.items() if not is_more and cell not in self._closed]:
            if not self._running[cell]:
                self._closed.add(cell)
                self.rule.close(cell)
        promoted = (self._waiting.pop(name, None) for name in self.rule.promoted())
        self._promoted.extend(job for job in promoted if job is not None)
