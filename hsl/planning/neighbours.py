"""Similar, easier cells, with whose best configurations the search of a cell may begin. Pure."""

from collections.abc import Mapping
from typing import Any

from hsl.hardness.schema.regimes import Regime
from hsl.planning.plan import Cell, Plan


def neighbours(cell: Cell, plan: Plan) -> tuple[Cell, ...]:
    """The cells whose configurations a warm start of `cell` uses, the nearest first; this relation has no cycles.

    These are the cell that differs only in the next lower sparsity, and the one that differs only in having the
    parent regime.
    """
    found = [_lower_sparsity(cell, plan), _parent_regime(cell, plan)]
    return tuple(other for other in found if other)


def parent_regime(name: str, regimes: Mapping[str, Regime]) -> str | None:
    """The regime of which `name` is an extension; of several the largest, then the first."""
    own = _ingredients(regimes[name])
    less = {other: items for other, r in regimes.items() if (items := _ingredients(r)).items() < own.items()}
    return max(less, key=lambda other: len(less[other]), default=None)


def _ingredients(regime: Regime) -> dict[str, str]:
    return {key: str(value) for key, value in regime.model_dump(mode="json", exclude_defaults=True).items()}


def _lower_sparsity(cell: Cell, plan: Plan) -> Cell | None:
    if "sparsity" not in cell.levels:
        return None
    lower = [
        other
        for other in plan.cells
        if not other.baseline
        and other.levels["sparsity"] < cell.levels["sparsity"]
        and _without(other, "sparsity") == _without(cell, "sparsity")
    ]
    return max(lower, key=lambda other: other.levels["sparsity"], default=None)


def _parent_regime(cell: Cell, plan: Plan) -> Cell | None:
    name = cell.levels.get("regime")
    parent = parent_regime(name, plan.space.regimes) if name else None
    if parent is None:
        return None
    wanted = {**cell.levels, "regime": parent}
    same = (other for other in plan.cells if other.baseline == cell.baseline and other.levels == wanted)
    return next(same, None)


def _without(cell: Cell, axis: str) -> dict[str, Any]:
    return {name: level for name, level in cell.levels.items() if name != axis}
