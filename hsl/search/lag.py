"""Reproducible proposals: which ends of trials the next one may depend on. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass

from hsl.search.outcome import Outcome


@dataclass
class _Turn:
    """A proposal in the order of a search; `outcome` is None before it has ended, and while it waits at a rung."""

    cell: str
    configuration_id: str
    has_ended: bool = False
    outcome: Outcome | None = None
    is_released: bool = False


class Lag:
    """The proposals of a search in their order, and their ends.

    The next proposal depends on the ends of all earlier ones but the last `size` - 1, in the order of the proposals
    and not of the ends. So it is the same with any number of workers, and after any interruption. A trial that waits at
    a rung counts as ended without an outcome, which is released with a later proposal if it goes on.

    Args:
        size: Number of trials that may run at once; None where no proposal depends on an end.
    """

    def __init__(self, size: int | None) -> None:
        self._size = size
        self._turns: list[_Turn] = []
        self._by_name: dict[tuple[str, str], _Turn] = {}
        self._seen = 0
        self._late: list[_Turn] = []

    @property
    def count(self) -> int:
        """Number of proposals so far, which is the turn of the next one."""
        return len(self._turns)

    @property
    def seen(self) -> int:
        """Number of proposals, from the first on, whose ends have been released."""
        return self._seen

    @property
    def needed(self) -> int:
        """Number of proposals, from the first on, whose ends the next one depends on."""
        return 0 if self._size is None else max(0, self.count + 1 - self._size)

    @property
    def is_open(self) -> bool:
        """Whether the next proposal can be made."""
        return self._has_ended(self.needed)

    @property
    def is_idle(self) -> bool:
        """Whether every proposal has ended, or waits at a rung."""
        return self._has_ended(self.count)

    def _has_ended(self, count: int) -> bool:
        return all(turn.has_ended for turn in self._turns[self._seen : count])

    def begin(self, cell: str, configuration_id: str) -> None:
        """Note a proposal."""
        turn = self._by_name[cell, configuration_id] = _Turn(cell, configuration_id)
        self._turns.append(turn)

    def end(self, cell: str, configuration_id: str, outcome: Outcome | None) -> None:
        """Note the end of a proposal; None for one that waits at a rung."""
        turn = self._by_name.get((cell, configuration_id))
        if turn is None or turn.outcome is not None:
            return
        turn.has_ended, turn.outcome = True, outcome
        if turn.is_released and outcome is not None:
            self._late.append(turn)

    def release(self, count: int | None = None) -> Iterator[tuple[str, str, Outcome]]:
        """Ends that were not released before: cell, configuration and outcome, in the order of the proposals.

        Args:
            count: How far, in proposals from the first on; by default as far as the next one needs it.
        """
        late, self._late = self._late, []
        passed = self._turns[self._seen : self.needed if count is None else count]
        self._seen += len(passed)
        for turn in [*late, *passed]:
            turn.is_released = True
            if turn.outcome is not None:
                yield turn.cell, turn.configuration_id, turn.outcome
