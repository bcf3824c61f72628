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
    """Combinations of one method with one distribution: what is fixed, the axes that are crossed, how many."""

    fixed: dict[str, Any]
    axes: tuple[str, ...]
    size: int


def grid_order(cell: Cell, seed: int, methods: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """Every combination of tuned values of a cell with finite domains once.

    The order is a function of the cell's domains and the seed alone: a larger budget only goes further. Of each of
    `methods` one combination comes first, in their order.
    """
    blocks = list(_blocks(cell))
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


def _blocks(cell: Cell) -> Iterator[_Block]:
    crossed = [axis for axis in cell.domains if axis not in {"method", "distribution"}]
    for method, distributions in cell.distributions.items():
        axes = tuple(axis for axis in crossed if asks(method, axis))
        size = int(math.prod(cell.domains[axis].size for axis in axes))
        named = {"method": method} if "method" in cell.domains else {}
        fixed = [{**named, "distribution": name} for name in distributions]
        yield from (
            _Block(each, axes, size) for each in (fixed if "distribution" in cell.domains else [named])
        )


def _values(cell: Cell, block: _Block, index: int) -> dict[str, Any]:
    values = dict(block.fixed)
    for axis in block.axes:
        index, digit = divmod(index, int(cell.domains[axis].size))
        values[axis] = cell.domains[axis].value(digit)
    return values
