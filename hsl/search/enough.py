"""When a cell has been searched enough: nothing that is predicted of it is worth another trial. Pure."""

from collections.abc import Callable, Sequence

from hsl.search.model import Model
from hsl.space.axes import Values


class Enough:
    """Whether a cell has enough, by what a model promises of it; found out once for each version of the model.

    Args:
        least: By how much of the objective the best so far must be exceeded to be worth a trial; None: any trial is.
        cell: Name of the cell.
        model: What has learned from the trials of all cells; None where nothing predicts.
    """

    def __init__(self, least: float | None, cell: str, model: Model | None) -> None:
        self._least = least
        self._cell = cell
        self._model = model
        self._found: tuple[int, bool] | None = None

    @property
    def was_found(self) -> bool:
        """Whether `holds` has said so of the model as it is now."""
        return (
            self._found is not None and self._model is not None and self._found == (self._model.version, True)
        )

    def holds(self, best: Callable[[], float | None], new: Callable[[], Sequence[Values]]) -> bool:
        """Whether nothing new is promised to exceed the best by enough; with further ends it may be.

        Args:
            best: Finds the best objective of the cell so far; None where nothing was trained to the end.
            new: Makes configurations that the cell could try next.
        """
        if self._least is None or self._model is None or (known := best()) is None:
            return False
        version = self._model.version
        if self._found is None or self._found[0] != version:
            promised = self._model.promise(self._cell, options) if (options := new()) else None
            self._found = version, promised is not None and promised - known < self._least
        return self._found[1]
