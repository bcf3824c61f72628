"""Problems between the parts of a valid space that concern its search. Pure."""

import math
from collections.abc import Iterator
from typing import Any

from hsl.cluster.fleet import Fleet
from hsl.errors import Problem, SpaceError, close_match
from hsl.hardness.schema.regimes import Regime
from hsl.results.dense import is_sparsification
from hsl.space.axes import options_of
from hsl.space.domain import LARGEST_GRID, infinite_axes
from hsl.space.problems import Found, at
from hsl.space.samplers import Shared
from hsl.space.schema import SearchSpace


def search_problems(space: SearchSpace) -> Iterator[Found]:
    """All problems, with their locations in the space."""
    yield from _grid_problems(space)
    yield from _front_problems(space)
    yield from _confirm_problems(space)
    yield from _first_problems(space)
    if space.learn_from and not isinstance(space.sampler, Shared):
        advice = "use sampler: transfer, or leave it out; warm_start begins cells with the best of their neighbours"
        yield at(("learn_from",), f"sampler {space.sampler.name} does not learn from other stores; {advice}")
    if space.budget.enough is not None and not isinstance(space.sampler, Shared):
        advice = "use sampler: transfer, or leave it out"
        yield at(
            ("budget", "enough"), f"sampler {space.sampler.name} predicts nothing of what is left; {advice}"
        )
    if space.training.cuda_graphs and not space.resources.gpu:
        advice = "set it, for example resources: {gpu: 0.25}, or leave this out"
        yield at(("training", "cuda_graphs"), f"needs a GPU, and resources.gpu is 0; {advice}")


def method_problems(space: SearchSpace) -> Iterator[Found]:
    """Axes that say how networks are made sparse in a space without a method, which would train dense ones only."""
    if options_of(space, "method"):
        return
    given: list[tuple[str, ...]] = [("factors", axis) for axis in space.factors]
    given += [("search", axis) for axis in space.search]
    given += [(name,) for name in ("sparsity", "distribution") if getattr(space, name) is not None]
    for location in given:
        if is_sparsification(location[-1]) or location[-1].startswith("method."):
            message = (
                "no method is given, so only dense networks would be trained; add method: set, or take it out"
            )
            yield at(location, message)


def regime_problems(space: SearchSpace) -> Iterator[Found]:
    """Compared regimes that train the same samples.

    An objective is no part of a configuration, so that the same trials, by their ids, would belong to both cells, of
    which a store can name one. Several that change no sample would be compared with each other for nothing.
    """
    seen: dict[Regime, str] = {}
    clean: str | None = None
    compared = map(str, space.factors.get("regime", ()))
    for name in filter(space.regimes.__contains__, compared):  # others are unknown, which is said elsewhere
        first = seen.setdefault(space.regimes[name].hardness, name)
        if first != name:
            message = (
                f"trains what regime {first!r} trains, and differs in its objective alone, so they would share their "
                f"trials; keep one of them, and ask `hsl best --metric` for the other objective, or give each a space "
                f"of its own"
            )
            yield at(("regimes", name, "objective"), message)
        elif space.regimes[name].changes_nothing:
            if clean:
                message = (
                    f"changes no sample, and neither does {clean!r}, so they are equal; keep one of them"
                )
                yield at(("regimes", name), message)
            clean = clean or name


def check_priced(space: SearchSpace, fleet: Fleet | None) -> None:
    """Refuse a budget of money if neither the space nor the node types of the cluster have prices.

    Raises:
        SpaceError: If there are none.
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
        needed = f"sampler {space.sampler.name} needs finite domains"
        yield at(("search", axis), f"{needed}; add steps, for example steps: 5, or list a choice")
    size = math.prod(domain.size for domain in space.search.values())
    if not infinite and size > LARGEST_GRID:
        message = f"a grid of {size:,.0f} combinations; at most {LARGEST_GRID:,}; use fewer steps, or random"
        yield at(("sampler",), message)


def _front_problems(space: SearchSpace) -> Iterator[Found]:
    if not space.against:
        return
    if len(set(space.against)) < len(space.against):
        yield at(("against",), "an objective is listed twice")
    if space.early_stopping is not None:
        message = (
            "compares by the objective alone and would stop the cheap networks of the front; "
            "leave it out, or set it to none, if there is an objective against"
        )
        yield at(("early_stopping",), message)
    if space.sampler.is_for_one_objective:
        message = f"{space.sampler.name} has a single objective; use tpe, gp, random or grid"
        yield at(("sampler",), message)
    if "sparsity" in space.against and "sparsity" not in space.search:
        advice = "tune it, for example search: {sparsity: {uniform: [0.5, 0.98]}}, or leave it out"
        yield at(("against",), f"sparsity is the same for all configurations of a cell; {advice}")


def _first_problems(space: SearchSpace) -> Iterator[Found]:
    """Values to try first that are not searched, or are no value of their axis."""
    for index, values in enumerate(space.first):
        for axis, value in values.items():
            if message := _first_problem(space, axis, value):
                yield at(("first", index, axis), message)


def _first_problem(space: SearchSpace, axis: str, value: Any) -> str | None:
    if axis in space.search:
        domain = space.search[axis]
        return None if domain.holds(value) else f"{value!r} is outside of search ({domain})"
    if axis not in space.factors:
        known = [*space.search, *space.factors]
        return f"is neither searched nor a factor{close_match(axis, known)}; known: {', '.join(known)}"
    levels = ", ".join(map(str, space.factors[axis]))
    return None if value in space.factors[axis] else f"{value!r} is no level of the factor; levels: {levels}"


def _confirm_problems(space: SearchSpace) -> Iterator[Found]:
    confirm = space.confirm
    if confirm.stop is None or confirm.seeds == 0:
        return
    if confirm.seeds <= confirm.min_seeds:
        message = f"{confirm.seeds} seeds leave nothing to stop after {confirm.min_seeds}; raise seeds"
        yield at(("confirm", "seeds"), message)
    if confirm.stop.clear and space.baseline is None:
        message = "clear compares with the dense baseline; set baseline: dense, or give a width"
        yield ("confirm", "stop"), Problem("confirm.stop.clear", message)
