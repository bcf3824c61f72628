"""Which sampler searches a cell, with every argument spelled out: Optuna's defaults change between versions.

Pure; no torch, no ray, no optuna.
"""

import math
from typing import Any

from hsl.planning.plan import Cell
from hsl.space.samplers import CmaEs, Gp, Grid, Random, Sampler, Tpe
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS

FEWEST_NUMERIC = 2
"""CMA-ES adapts a covariance, so it needs two numeric parameters that every proposal has."""


def sampler_of(space: SearchSpace, cell: Cell) -> Sampler:
    """The sampler of one cell.

    A cell whose budget covers everything that there is has each combination tried once, whatever the sampler;
    CMA-ES gives way to random draws where a cell has too few numeric parameters.
    """
    asked = space.sampler
    if cell.combinations <= cell.configurations:
        return Grid(name="grid")
    startup = min(10, max(2, cell.configurations // 3))
    if isinstance(asked, Tpe | Gp) and asked.n_startup_trials is None:
        return asked.model_copy(update={"n_startup_trials": startup})
    if isinstance(asked, CmaEs):
        numeric = len(shared_numeric(cell))
        if numeric < FEWEST_NUMERIC:
            return Random(name="random")
        return asked.model_copy(
            update={
                "n_startup_trials": asked.n_startup_trials or 1,
                "popsize": asked.popsize or 4 + math.floor(3 * math.log(numeric)),
            }
        )
    return asked


def shared_numeric(cell: Cell) -> list[str]:
    """Numeric axes of a cell with more than one value, which every proposal has."""
    return [
        axis
        for axis, domain in cell.domains.items()
        if not domain.choice and domain.size > 1 and all(asks(method, axis) for method in cell.distributions)
    ]


def asks(method: str, axis: str) -> bool:
    """Whether a proposal of `method` has a value for a tuned axis."""
    group, _, name = axis.partition(".")
    return group != "method" or not name or any(h.name == name for h in METHODS[method].hyperparameters)


def record(sampler: Sampler) -> dict[str, Any]:
    """What is stored of a sampler: its name and all of its arguments."""
    return sampler.model_dump(mode="json")


def notes(space: SearchSpace, cells: tuple[Cell, ...]) -> list[str]:
    """Where a cell is searched in another way than the space asks for, in words."""
    others: dict[str, list[str]] = {}
    for cell in cells:
        name = sampler_of(space, cell).name
        if name != space.sampler.name:
            others.setdefault(name, []).append(cell.name)
    reasons = {
        "grid": "the budget covers every combination, each is tried once",
        "random": f"fewer than {FEWEST_NUMERIC} numeric parameters for {space.sampler.name}, drawn at random",
    }
    return [f"{reasons[name]}: {', '.join(cells)}" for name, cells in others.items()]
