"""Trials that wait at a rung, and the moment when their cell is closed. Pure; a sweep and a replay drive it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from hsl.search.rungs import Judge


Job = TypeVar("Job")


class Pauses(Generic[Job]):
    """Keeps whatever is needed to continue a paused trial until it is promoted.

    Args:
        judge: Decides who is promoted.
        waiting: What waits already, by trial.
    """

    def __init__(self, judge: Judge, waiting: Mapping[str, Job] | None = None) -> None:
        self._judge = judge
        self._waiting = dict(waiting or {})
        self._resumed: deque[Job] = deque()
        self._running: Counter[str] = Counter()
        self._closed: set[str] = set()

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs."""
        return not self._running.total()

    def start(self, cell: str) -> None:
        """A trial of a cell runs."""
        self._running[cell] += 1
        self._closed.discard(cell)

    def end(self, cell: str, trial_id: str, job: Job) -> bool:
        """A trial runs no more; whether that is because it was paused."""
        self._running[cell] -= 1
        if self._judge.is_paused(trial_id):
            self._waiting[trial_id] = job
        return trial_id in self._waiting

    def take(self, is_exhausted: Mapping[str, Callable[[], bool]]) -> Job | None:
        """The next trial that was promoted, if there is one.

        Args:
            is_exhausted: For every cell, whether nothing new comes in it; it is closed when nothing runs either.
        """
        for cell, has_no_more in is_exhausted.items():
            if cell not in self._closed and not self._running[cell] and has_no_more():
                self._closed.add(cell)
                self._judge.close(cell)
        promoted = (self._waiting.pop(name, None) for name in self._judge.promoted())
        self._resumed.extend(job for job in promoted if job is not None)
        return self._resumed.popleft() if self._resumed else None
