"""A warm start on recorded curves: each cell begins with configurations that resemble the best of its neighbours.

A sweep would train the very configurations that were best in a neighbouring cell. Recorded are others, so the nearest
of the cell's own configurations stand in for them (distance of Gower, Biometrics 27, 1971, numbers that are all
positive by their logarithm). This understates a warm start where configurations are few.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from hsl.planning.neighbours import neighbours
from hsl.planning.plan import make_plan
from hsl.search.dominance import interleaved
from hsl.simulation.comparison import Cells, Order
from hsl.simulation.curves import Curve
from hsl.simulation.nearest import distance, spans_of
from hsl.space.stored import stored_space
from hsl.store.store import Store


def sources(store: Store) -> dict[str, tuple[str, ...]]:
    """Names of the cells that each cell would begin from, the nearest first, by the stored space.

    Raises:
        StoreError: If there is no store or space, or this version cannot read the space.
    """
    plan = make_plan(stored_space(store, "the neighbours of its cells are unknown; leave out --warm-start"))
    return {cell.name: tuple(other.name for other in neighbours(cell, plan)) for cell in plan.cells}


def warmed(order: Order, neighbouring: Mapping[str, Sequence[str]], count: int) -> Order:
    """`order`, but the `count` configurations nearest to the best of the neighbouring cells come first."""

    def warm(cells: Cells, rng: np.random.Generator) -> dict[str, list[Curve]]:
        found = order(cells, rng)
        return {cell: _begun(cells, found, neighbouring.get(cell, ()), cell, count) for cell in found}

    return warm


def _begun(
    cells: Cells, found: Mapping[str, Sequence[Curve]], others: Sequence[str], cell: str, count: int
) -> list[Curve]:
    """As many configurations as `order` gave the cell, those that stand in for the neighbours' best first."""
    ranks = [sorted(cells[other], key=lambda curve: -curve.final) for other in others if other in cells]
    wanted = interleaved(ranks)[:count]
    own, first = list(cells[cell]), list[Curve]()
    spans = spans_of([curve.parameters for curve in own])
    for best in wanted:
        if left := [curve for curve in own if curve not in first]:
            first.append(min(left, key=lambda curve: distance(curve.parameters, best.parameters, spans)))
    rest = [curve for curve in found[cell] if curve not in first]
    return [*first, *rest][: len(found[cell])]
