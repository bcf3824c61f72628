"""Which dense baseline a cell is compared to: that with the same levels of all that is not a question of sparsity."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from hsl.store.documents import mapping

READ = ("cell", "regime", "levels", "baseline")
"""Columns of cells that tell."""

SPARSIFICATION = {"sparsity", "method", "distribution"}
"""Axes, with all below them, in which a sparse cell differs from its dense baseline."""


def dense_cells(cells: pa.Table) -> dict[str, str]:
    """The dense baseline of every cell that has one; a baseline is its own.

    Args:
        cells: The table of cells, at least with the columns `READ`.
    """
    rows = cells.select(list(READ)).to_pylist()
    baselines: dict[str, str] = {}
    for row in rows:
        if row["baseline"]:
            baselines.setdefault(_shared(row), row["cell"])
    pairs = ((row["cell"], baselines.get(_shared(row))) for row in rows)
    return {cell: dense for cell, dense in pairs if dense is not None}


def levels_of(cells: pa.Table) -> dict[str, dict[str, Any]]:
    """The levels of every cell, by factor.

    Args:
        cells: The table of cells, at least with the columns cell and levels.
    """
    rows = cells.select(["cell", "levels"]).to_pylist()
    return {row["cell"]: mapping(row, "cells", "levels") for row in rows}


def _shared(cell: Mapping[str, Any]) -> str:
    """What a cell has in common with its dense baseline, as text."""
    levels = mapping(cell, "cells", "levels")
    kept = {axis: level for axis, level in levels.items() if axis.partition(".")[0] not in SPARSIFICATION}
    return json.dumps([cell["regime"], kept], sort_keys=True)
