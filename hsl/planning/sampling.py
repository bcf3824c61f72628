"""The sampler of each cell, with every argument written out: Optuna's defaults change between versions.

Pure; no torch, no ray, no optuna.
"""

from typing import Any

from hsl.planning.plan import Cell, Plan
from hsl.space.axes import Values
from hsl.space.samplers import FEWEST_NUMERIC, Grid, SamplerSettings
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS
from hsl.wording import and_more


def sampler_of(space: SearchSpace, cell: Cell) -> SamplerSettings:
    """The sampler of one cell: a grid if its budget covers every combination, else that of the space, fitted to it."""
    if cell.combinations <= cell.configurations:
        return Grid()
    return space.sampler.fitted(cell.configurations, len(shared_numeric(cell)))


def shared_numeric(cell: Cell) -> list[str]:
    """Numeric axes of a cell with more than one value that every proposal has."""
    return [
        axis
        for axis, domain in cell.domains.items()
        if not domain.choice and domain.size > 1 and all(asks(method, axis) for method in cell.distributions)
    ]


def asks(method: str, axis: str) -> bool:
    """Whether a proposal of `method` has a value for a tuned axis."""
    group, _, name = axis.partition(".")
    return group != "method" or not name or any(h.name == name for h in METHODS[method].hyperparameters)


def first_of(space: SearchSpace, cell: Cell) -> list[Values]:
    """Tuned values that are to be tried first in a cell: those of the space that name it, and that it can have."""
    found = list[Values]()
    for values in space.first:
        levels = {axis: value for axis, value in values.items() if axis in space.factors}
        tuned = {axis: value for axis, value in values.items() if axis not in levels}
        named = all(axis in cell.levels and cell.levels[axis] == level for axis, level in levels.items())
        if named and tuned.keys() <= cell.domains.keys() and fitting_methods(tuned, cell):
            found.append(tuned)
    return found


def fitting_methods(tuned: Values, cell: Cell) -> list[str]:
    """Methods of a cell that can have some tuned values."""
    asked = [axis for axis in tuned if axis not in {"method", "distribution"}]
    return [
        method
        for method, distributions in cell.distributions.items()
        if tuned.get("method", method) == method
        and tuned.get("distribution", distributions[0]) in distributions
        and all(asks(method, axis) for axis in asked)
    ]


LARGEST_LAG = 16
"""Default lag of few cells with many configurations: so many of their trials run at once."""


def lag_of(plan: Plan) -> int | None:
    """Trials of a search that may run at once, as a proposal depends on all earlier ends but those of the last lag - 1.

    By default it is the number of cells, and with few cells a quarter of all configurations, up to `LARGEST_LAG`.
    None where no proposal depends on an end, unless the space asks for one: early stopping then depends on it.
    """
    space = plan.space
    learns = any(sampler_of(space, cell).learns for cell in plan.cells)
    if not (space.lag or learns or space.warm_start or space.priority != "even"):
        return None
    return space.lag or max(len(plan.cells), min(LARGEST_LAG, plan.search_trials // 4), 1)


def note_on_lag(plan: Plan, at_once: int) -> str | None:
    """A sentence for a sweep in which more trials fit at once than proposals allow; None if all can run."""
    lag = lag_of(plan)
    if lag is None or lag >= min(at_once, plan.search_trials):
        return None
    return (
        f"{at_once} trials fit at once, {lag} will run in the search: a proposal depends on the ends of all "
        f"earlier ones but the last {lag - 1}, so that it is the same on any machine; for more set lag: {at_once}"
    )


def record(sampler: SamplerSettings) -> dict[str, Any]:
    """The stored form of a sampler: its name and all of its arguments."""
    return sampler.model_dump(mode="json")


def notes(space: SearchSpace, cells: tuple[Cell, ...]) -> list[str]:
    """Sentences on cells whose sampler is not that of the space, and on those that cannot try every method."""
    others: dict[str, list[str]] = {}
    for cell in cells:
        name = sampler_of(space, cell).name
        if name != space.sampler.name:
            others.setdefault(name, []).append(cell.name)
    reasons = {
        "grid": "the budget covers every combination, each is tried once",
        "random": f"fewer than {FEWEST_NUMERIC} numeric parameters for {space.sampler.name}, drawn at random",
    }
    found = [f"{reasons[name]}: {', '.join(named)}" for name, named in others.items()]
    return [*found, *_untried(cells)]


SHOWN = 3
"""Cells that a note lists."""


def _untried(cells: tuple[Cell, ...]) -> list[str]:
    """Sentences on cells with fewer configurations than pairs of method and distribution: some are never tried."""
    named: dict[tuple[int, int], list[str]] = {}
    for cell in cells:
        pairs = sum(map(len, cell.distributions.values()))
        if cell.configurations < pairs:
            named.setdefault((cell.configurations, pairs), []).append(cell.name)
    return [
        f"{few} configurations for {pairs} pairs of method and distribution, so that some are not tried: "
        f"{and_more(names, SHOWN)}"
        for (few, pairs), names in named.items()
    ]
