"""Problems between the parts of a valid space that concern how it is searched. Pure."""

import math
from collections.abc import Iterator

from hsl.cluster.fleet import Fleet
from hsl.errors import Problem, SpaceError
from hsl.space.domain import LARGEST_GRID, infinite_axes
from hsl.space.schema import SearchSpace

Found = tuple[tuple[str | int, ...], Problem]


def search_problems(space: SearchSpace) -> Iterator[Found]:
    """What is wrong, with its place in the space."""
    yield from _grid_problems(space)
    yield from _front_problems(space)
    yield from _confirm_problems(space)
    if space.training.cuda_graphs and not space.resources.gpu:
        message = "needs a GPU, and resources.gpu is 0; set it, for example resources: {gpu: 0.25}, or leave this out"
        yield ("training", "cuda_graphs"), Problem("training.cuda_graphs", message)


def check_priced(space: SearchSpace, fleet: Fleet | None) -> None:
    """Refuse a budget of money where nothing has a price.

    Args:
        space: Its own prices come first.
        fleet: The cluster, whose prices stand in the labels of its node types.

    Raises:
        SpaceError: If there is neither.
    """
    if space.budget.cost is None or space.prices or (fleet and fleet.prices):
        return
    message = (
        "needs to know what a node costs; add prices: {default: 0.50}, per hour, by type of node, "
        "or name a cluster file with prices: --cluster cluster.yaml"
    )
    raise SpaceError(space.name, [Problem("budget.cost", message)])


def _grid_problems(space: SearchSpace) -> Iterator[Found]:
    if not space.sampler.is_listed:
        return
    for axis in (infinite := infinite_axes(space.search)):
        message = (
            f"sampler {space.sampler.name} needs finite domains; "
            f"add steps, for example steps: 5, or list a choice"
        )
        yield ("search", axis), Problem(f"search.{axis}", message)
    size = math.prod(domain.size for domain in space.search.values())
    if not infinite and size > LARGEST_GRID:
        message = f"a grid of {size:,.0f} combinations; at most {LARGEST_GRID:,}; use fewer steps, or random"
        yield ("sampler",), Problem("sampler", message)


def _front_problems(space: SearchSpace) -> Iterator[Found]:
    if not space.against:
        return
    if len(set(space.against)) < len(space.against):
        yield ("against",), Problem("against", "an objective is listed twice")
    if space.early_stopping is not None:
        message = (
            "judges the objective alone and would stop the cheap networks of the front; "
            "leave it out or set it to none where there is an objective against"
        )
        yield ("early_stopping",), Problem("early_stopping", message)
    if space.sampler.has_one_objective:
        message = f"{space.sampler.name} has a single objective; use tpe, gp, random or grid"
        yield ("sampler",), Problem("sampler", message)
    if "sparsity" in space.against and "sparsity" not in space.search:
        message = (
            "sparsity is the same for all configurations of a cell; tune it, "
            "for example search: {sparsity: {uniform: [0.5, 0.98]}}, or leave it out"
        )
        yield ("against",), Problem("against", message)


def _confirm_problems(space: SearchSpace) -> Iterator[Found]:
    confirm = space.confirm
    if confirm.stop is None or confirm.seeds == 0:
        return
    if confirm.seeds <= confirm.min_seeds:
        message = f"{confirm.seeds} seeds leave nothing to stop after {confirm.min_seeds}; raise seeds"
        yield ("confirm", "seeds"), Problem("confirm.seeds", message)
    if confirm.stop.clear and space.baseline is None:
        message = "clear compares with the dense baseline; set baseline: dense, or give a width"
        yield ("confirm", "stop"), Problem("confirm.stop.clear", message)
