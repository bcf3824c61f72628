"""All combinations of a cell in a seeded order, for the grid sampler. Pure."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hsl.planning.plan import Cell
from hsl.planning.sampling import asks


@dataclass(frozen=True)
class _Block:
    """Combinations of one method with one distribution: what is fixed, and the axes that are crossed."""

    fixed: dict[str, Any]
    axes: tuple[str, ...]
    size: int


def grid_order(cell: Cell, seed: int, methods: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Every combination of tuned values once.

    The order is a function of the cell's domains and the seed alone: a larger budget only goes further.

    Args:
        cell: A cell with finite domains, of few enough combinations.
        seed: Seed of the order.
        methods: Of each of these one combination comes first, in this order.
    """
    blocks = [
        _Block(fixed, axes, int(math.prod(cell.domains[axis].size for axis in axes)))
        for axes, many in _shapes(cell)
        for fixed in many
    ]
    ends = np.cumsum([block.size for block in blocks])
    order = np.random.default_rng(seed).permutation(int(ends[-1]))
    owners = np.searchsorted(ends, order, side="right")
    of_block = [str(block.fixed.get("method")) for block in blocks]
    named = [of_block[owner] for owner in owners]
    firsts = [named.index(method) for method in methods if method in named]
    rest = np.delete(np.arange(len(order)), firsts)
    for position in [*firsts, *rest]:
        owner = owners[position]
        yield _values(cell, blocks[owner], int(order[position] - ends[owner] + blocks[owner].size))


def _shapes(cell: Cell) -> Iterator[tuple[tuple[str, ...], list[dict[str, Any]]]]:
    """Of each method the axes that it is asked, and what its distributions fix."""
    for method, distributions in cell.distributions.items():
        named = {"method": method} if "method" in cell.domains else {}
        fixed = [{**named, "distribution": name} for name in distributions]
        axes = [axis for axis in cell.domains if axis not in {"method", "distribution"}]
        yield (
            tuple(axis for axis in axes if asks(method, axis)),
            fixed if "distribution" in cell.domains else [named],
        )


def _values(cell: Cell, block: _Block, index: int) -> dict[str, Any]:
    values = dict(block.fixed)
    for axis in block.axes:
        index, digit = divmod(index, int(cell.domains[axis].size))
        values[axis] = cell.domains[axis].value(digit)
    return values
