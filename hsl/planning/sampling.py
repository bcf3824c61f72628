"""The sampler of each cell, with every argument written out: Optuna's defaults change between versions.

Pure; no torch, no ray, no optuna.
"""

from typing import Any

from hsl.planning.plan import Cell
from hsl.space.samplers import FEWEST_NUMERIC, Grid, SamplerSettings
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS


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


def record(sampler: SamplerSettings) -> dict[str, Any]:
    """The stored form of a sampler: its name and all of its arguments."""
    return sampler.model_dump(mode="json")


def notes(space: SearchSpace, cells: tuple[Cell, ...]) -> list[str]:
    """Sentences on cells whose sampler is not that of the space."""
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
