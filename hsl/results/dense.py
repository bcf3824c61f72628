"""The dense counterpart of a sparse network: one rule for planning, confirmation and every answer.

A dense network has no sparsity, method, distribution or initialisation of masks. It is the counterpart of every sparse
network with the same data set, division of it, model and regime and the same levels of all other factors.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pyarrow as pa

from hsl.store.documents import mapping
from hsl.store.outcomes import Status

SCOPE = ("dataset", "model", "split_seed", "regime")
"""Columns of trials in which a network and its dense counterpart agree."""

READ_CELLS = ("cell", "regime", "levels", "baseline", "space_hash")
"""Columns of cells that `counterparts` reads."""

READ_TRIALS = ("cell", *SCOPE, "method", "status")
"""Columns of trials that `counterparts` reads."""

_UNKNOWN = (None,) * (len(SCOPE) - 1)

_SPARSIFICATION = frozenset({"sparsity", "method", "distribution", "init"})

Value = TypeVar("Value")

Scope = tuple[Any, ...]
"""Values of `SCOPE`."""


def is_sparsification(axis: str) -> bool:
    """Whether `axis` says how a network is made sparse, so that a dense one has no level of it."""
    return axis.partition(".")[0] in _SPARSIFICATION


def shared_axes(values: Mapping[str, Value]) -> dict[str, Value]:
    """Axes (to their level, levels or domain) that a cell shares with its dense counterpart: all but sparsification."""
    return {axis: value for axis, value in values.items() if not is_sparsification(axis)}


def shared_key(levels: Mapping[str, Any]) -> str:
    """Shared axes and their levels as text, equal for equal levels in any order."""
    return json.dumps(shared_axes(levels), sort_keys=True)


@dataclass(eq=False)
class _Cell:
    """What is known of a cell from its row and from its trials.

    Attributes:
        baseline: Whether it is dense.
        shared: `shared_key` of its levels but the regime, which is compared by name; None where no row is stored.
        space: Hash of the space that planned it.
        scopes: Data set, model and regime of its trials.
        completed: Whether a trial of it was trained to the end.
    """

    name: str
    baseline: bool
    shared: str | None = None
    space: str | None = None
    scopes: set[Scope] = field(default_factory=set)
    completed: bool = False

    @property
    def regimes(self) -> list[str]:
        """Names of its regimes; one, but in cells that no plan has made."""
        return sorted({scope[-1] for scope in self.scopes})

    def agrees(self, other: _Cell) -> bool:
        """Whether the levels that are known of both are the same, and data set, model and regime of some trials."""
        if None not in (self.shared, other.shared) and self.shared != other.shared:
            return False
        # What is not known, as of a cell without trials, agrees with everything.
        return bool(self.scopes & other.scopes) or any(
            all(a == b or None in (a, b) for a, b in zip(one, its, strict=True))
            for one in self.scopes
            for its in other.scopes
        )


def counterparts(cells: pa.Table, trials: pa.Table) -> dict[str, str]:
    """The dense counterpart of each cell, of a dense cell itself; a cell that has none is left out.

    Of several, as in a merged store, it is one with a completed trial, then one that the same space has planned
    (it was tuned under the same budget), then the first by name.

    Args:
        cells: At least the columns `READ_CELLS` of the table.
        trials: At least the columns `READ_TRIALS` of the table. Cells without a row are dense by their method.

    Returns:
        Name of the cell -> name of the dense cell.
    """
    known = _described(cells, trials)
    dense: dict[str, list[_Cell]] = {}
    for cell in known:
        for regime in cell.regimes if cell.baseline else ():
            dense.setdefault(regime, []).append(cell)
    chosen = {cell.name: cell if cell.baseline else _nearest(cell, dense) for cell in known}
    return {name: other.name for name, other in chosen.items() if other}


def _nearest(cell: _Cell, dense: Mapping[str, Sequence[_Cell]]) -> _Cell | None:
    """The best of those that agree, of the dense cells by regime."""
    agreeing = [other for regime in cell.regimes for other in dense.get(regime, ()) if cell.agrees(other)]
    return min(
        agreeing,
        key=lambda other: (not other.completed, other.space != cell.space, other.name),
        default=None,
    )


class DenseRows:
    """Rows of dense networks, found by the rows of sparse ones.

    Args:
        found: Result of `counterparts`.
        dense: Rows with `cell` and those columns of `SCOPE` in which they differ, one per combination.
    """

    def __init__(self, found: Mapping[str, str], dense: Iterable[dict[str, Any]]) -> None:
        self._found = found
        self._dense = {_row_key(row, row["cell"]): row for row in dense}

    def of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """The row of the dense counterpart of a sparse row with the same columns."""
        return self._dense.get(_row_key(row, self._found.get(row["cell"])))


def levels_of(cells: pa.Table) -> dict[str, dict[str, Any]]:
    """The levels of every cell by factor, from the columns cell and levels of the table of cells."""
    rows = cells.select(["cell", "levels"]).to_pylist()
    return {row["cell"]: mapping(row, "cells", "levels") for row in rows}


def _described(cells: pa.Table, trials: pa.Table) -> list[_Cell]:
    """Every cell, in the order of the cells, then of the names of those that only trials name."""
    planned = {row["cell"]: row for row in cells.select(list(READ_CELLS)).to_pylist()}
    known: dict[tuple[str, bool], _Cell] = {}
    for name, row in planned.items():
        levels = mapping(row, "cells", "levels")
        shared = shared_key({axis: level for axis, level in levels.items() if axis != "regime"})
        known[name, row["baseline"]] = _Cell(name, row["baseline"], shared, row["space_hash"])
    # Only method and status differ among the trials of a cell, so each combination is looked at once.
    names = list(READ_TRIALS)
    kinds = trials.select(names).group_by(names, use_threads=False).aggregate([])
    for row in kinds.sort_by([(name, "ascending") for name in names]).to_pylist():
        name = row["cell"]
        baseline = planned[name]["baseline"] if name in planned else row["method"] == "dense"
        cell = known.setdefault((name, baseline), _Cell(name, baseline))
        cell.scopes.add(tuple(row[column] for column in SCOPE))
        cell.completed |= row["status"] == Status.COMPLETED
    for cell in known.values():
        if not cell.scopes:
            cell.scopes.add((*_UNKNOWN, planned[cell.name]["regime"]))
    return list(known.values())


def _row_key(row: Mapping[str, Any], cell: str | None) -> tuple[Any, ...]:
    return (cell, *(row.get(name) for name in SCOPE))
