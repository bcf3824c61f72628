"""What the studies of all cells learn from together. Pure."""

from collections.abc import Sequence
from typing import Protocol

from hsl.search.outcome import Outcome
from hsl.space.axes import Values


class Model(Protocol):
    """What the trials of all cells have shown, shared by the studies; see `hsl.space.samplers.Shared`."""

    @property
    def version(self) -> int:
        """Changes when what it predicts does."""

    def begin(self, cell: str, values: Values) -> None:
        """Note that a configuration of a cell is tried."""

    def learn(self, cell: str, values: Values, outcome: Outcome) -> None:
        """Receive how a configuration of a cell ended."""

    def ranked(self, cell: str, candidates: Sequence[Values]) -> list[int]:
        """Indices of candidates of a cell, the one to try next first."""

    def promise(self, cell: str, candidates: Sequence[Values]) -> float | None:
        """The best objective that it promises of candidates of a cell; None as long as it does not choose."""
