"""One configuration of a space, trained in this process without Ray."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from hsl.errors import Problem, SpaceError
from hsl.planning.plan import make_plan
from hsl.prepare.inputs import Prerequisites
from hsl.prepare.parents import make_here, missing
from hsl.results.dense import is_sparsification
from hsl.space.axes import configuration, options_of
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS, feasible
from hsl.store.layout import Library
from hsl.training.configuration import Configuration
from hsl.training.data.arrays import cache_folder

LOG = logging.getLogger(__name__)


def only_configuration(space: SearchSpace) -> Configuration:
    """The configuration that is left when every axis is pinned.

    A tuned number that is not pinned has the default of the space (``training.*``) or of its method; a tuned
    distribution is the method's default, or else the first of the choices that it takes. A dense network has no
    level of the axes that say how a network is made sparse, so that these need not be pinned.

    Raises:
        SpaceError: With every axis that has several values left, or if the values do not fit together.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    left_open = {axis: options for axis, options in _axes(space) if not (_is_dense(space) and _prunes(axis))}
    for axis, options in left_open.items():
        if len(options) == 1:
            values[axis] = options[0]
        elif axis in space.factors or not axis.startswith(("training.", "method.", "distribution")):
            left = (
                f"{len(options)} values ({', '.join(map(str, options))})" if options else "a range of values"
            )
            example = options[0] if options else (space.search[axis].bounds or ("VALUE",))[0]
            problems.append(Problem(axis, f"has {left}; choose one, for example {axis}={example}"))
    if problems:
        raise SpaceError(space.name, problems)
    if taken := _first_taken(space, values.get("method", space.method) or "dense"):
        values.setdefault("distribution", taken)
    try:
        return configuration(space, values)
    except ValidationError as error:
        reasons = [item["msg"].removeprefix("Value error, ") for item in error.errors()]
        raise SpaceError(space.name, [Problem("", reason) for reason in reasons]) from error


def _axes(space: SearchSpace) -> list[tuple[str, tuple[Any, ...]]]:
    """Compared and tuned axes with their values; a range has none."""
    tuned = ((axis, domain.choice or ()) for axis, domain in space.search.items())
    return [*space.factors.items(), *tuned]


def _is_dense(space: SearchSpace) -> bool:
    methods = options_of(space, "method")
    return len(methods) == 1 and not METHODS[methods[0]].distributions


def _prunes(axis: str) -> bool:
    return axis != "method" and is_sparsification(axis)


def only_regime(space: SearchSpace) -> str | None:
    """Name of the regime of a space that has only one configuration; None for the default."""
    levels = space.factors.get("regime", ())
    return levels[0] if levels else None


def _first_taken(space: SearchSpace, method: str) -> str | None:
    """The method's default among the distributions to choose from, else the first that the method takes."""
    domain = space.search.get("distribution")
    offered = domain.choice if domain and domain.choice else ()
    taken = [name for name in offered if feasible(method, name) is None]
    default = next(iter(METHODS[method].distributions), None)
    return default if default in taken else next(iter(taken), None)


def train_once(
    space: SearchSpace,
    chosen: Configuration,
    seed: int,
    device: str,
    on_epoch: Callable[[Mapping[str, Any]], None],
) -> Any:
    """Train one configuration to the end; its parent and scores are made first and kept in the cache.

    Args:
        space: The parent is trained with its defaults.
        chosen: The configuration.
        seed: Seed of the trial.
        device: Torch device.
        on_epoch: Receives the row of every epoch.

    Returns:
        The trainer.
    """
    from hsl.prepare.preflight import check_fits  # noqa: PLC0415  imports torch
    from hsl.prepare.selections import try_selections  # noqa: PLC0415
    from hsl.training.build import build_trainer  # noqa: PLC0415
    from hsl.training.data.datasets import load_divided  # noqa: PLC0415

    arrays, _ = load_divided(chosen.dataset, chosen.split)
    check_fits(chosen, arrays.shape, arrays.classes)
    library = Library(str(cache_folder() / "prerequisites"))
    inputs = Prerequisites(make_plan(space), library)
    tasks = list(inputs.of(chosen, seed))
    name = next((name for name, regime in space.regimes.items() if regime.hardness == chosen.regime), "")
    try_selections(space, {name: chosen}, library, seed)
    make_here(missing(tasks), device)
    for warning in try_selections(space, {name: chosen}, library, seed):
        LOG.warning(warning)
    trainer = build_trainer(
        chosen, seed, parent=inputs.parent(chosen, seed), scores=inputs.scores(chosen), device=device
    )
    while not trainer.is_done:
        on_epoch(trainer.train_epoch())
    return trainer
