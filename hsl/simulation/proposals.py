"""What a replay trains next: recorded curves in a given order, the cells served evenly."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Protocol

from hsl.search.outcome import Outcome
from hsl.simulation.curves import Curve


@dataclass(frozen=True)
class Proposed:
    """A curve to train.

    Attributes:
        turn: Its place in the order of proposals, and
        seen: the number of proposals that it may depend on; None where they have no order, see `hsl.search.lag`.
    """

    curve: Curve
    turn: int | None = None
    seen: int | None = None


class Proposals(Protocol):
    """Chooses what is trained next."""

    def is_open(self) -> Mapping[str, bool]:
        """For every cell, whether new trials will come."""

    def next(self) -> Proposed | None:
        """The next curve; None if it is over, or has to wait for trials to end."""

    def end(self, curve: Curve, outcome: Outcome | None) -> None:
        """Note how a trial ended; None for one that waits at a rung."""


class Evenly:
    """Curves of every cell in the order in which they are given; nothing is learned from them."""

    def __init__(self, cells: Mapping[str, Sequence[Curve]]) -> None:
        self._left = {cell: deque(curves) for cell, curves in cells.items()}
        self._sizes = {cell: len(curves) for cell, curves in cells.items()}
        self._turns = [(0.0, number, cell) for number, cell in enumerate(cells) if cells[cell]]
        heapify(self._turns)

    def is_open(self) -> Mapping[str, bool]:
        """For every cell, whether new trials will come."""
        return {cell: bool(queue) for cell, queue in self._left.items()}

    def next(self) -> Proposed | None:
        """The next curve of the cell that is furthest behind."""
        if not self._turns:
            return None
        _, number, cell = heappop(self._turns)
        queue = self._left[cell]
        curve = queue.popleft()
        if queue:
            heappush(self._turns, (1 - len(queue) / self._sizes[cell], number, cell))
        return Proposed(curve)

    def end(self, curve: Curve, outcome: Outcome | None) -> None:
        """Nothing is learned."""
