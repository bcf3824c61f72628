"""Axes of a space, which factors vary and a search tunes, and the configuration that values of them describe.

An axis is ``regime``, ``method``, ``distribution``, ``sparsity``, ``model``, ``init``, ``split.seed``,
``training.FIELD`` or ``method.HYPERPARAMETER``.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from pydantic import TypeAdapter, ValidationError

from hsl.errors import MethodError, close_match
from hsl.space.objective import default_regime
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS, check_hyperparameters, scored_source
from hsl.sparsity.methods.weight_scores import Init
from hsl.training.configuration import (
    Configuration,
    DistributionName,
    Layers,
    MethodName,
    Sparsity,
    Split,
    Training,
    model_spec,
)
from hsl.training.identity import FIRST_VERSION, former_hyperparameters

Values = Mapping[str, Any]

SPLIT = "split.seed"
"""The axis of divisions of the data set: compared or fixed, never tuned."""


def level_name(axis: str, level: Any) -> str:
    """A level as part of a cell's name: alone if it is self-explanatory, else with its axis."""
    if axis in {"regime", "method", "distribution", "sparsity"}:
        return str(level)
    if isinstance(level, Mapping):
        options = ",".join(f"{key}={value}" for key, value in level.items() if key != "name")
        level = f"{level.get('name')}({options})".replace(" ", "")
    return str(level) if axis == "model" else f"{axis}={level}"


def axis_problem(axis: str, plugged: tuple[str, ...] = ()) -> str | None:
    """What is wrong with the name of an axis, or None; `plugged` are the methods that are plug-ins."""
    known = known_axes(plugged)
    if axis in known:
        return None
    return f"unknown axis{close_match(axis, known)}; known: {', '.join(known)}"


@cache
def known_axes(plugged: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Names of all axes, including those of the methods that are plug-ins."""
    training = (f"training.{field}" for field in Training.model_fields)
    methods = (METHODS[name] for name in (*METHODS, *plugged))
    hyperparameters = {f"method.{h.name}" for method in methods for h in method.hyperparameters}
    return ("regime", *_CHECKS, *training, *sorted(hyperparameters))


def value_problem(axis: str, value: Any, plugged: tuple[str, ...] = ()) -> str | None:
    """What is wrong with a value of a known axis other than ``regime``, or None; `plugged` as in `axis_problem`."""
    group, _, field = axis.partition(".")
    try:
        if group == "training":
            Training.model_validate({field: value})
        elif group == "method" and field:
            _check_hyperparameter(field, value, plugged)
        else:
            _CHECKS[axis](value)
    except ValidationError as error:
        return "; ".join(item["msg"].removeprefix("Value error, ") for item in error.errors())
    except MethodError as error:
        return str(error)
    return None


def _check_hyperparameter(name: str, value: Any, plugged: tuple[str, ...]) -> None:
    """Raise the first MethodError unless at least one method takes this value."""
    errors: list[MethodError] = []
    for method in (*METHODS, *plugged):
        if any(parameter.name == name for parameter in METHODS[method].hyperparameters):
            try:
                check_hyperparameters(method, {name: value})
            except MethodError as error:
                errors.append(error)
            else:
                return
    raise errors[0]


_CHECKS: dict[str, Callable[[Any], object]] = {
    "method": TypeAdapter(MethodName).validate_python,
    "distribution": TypeAdapter(DistributionName).validate_python,
    "sparsity": TypeAdapter(Sparsity).validate_python,
    "model": model_spec,
    "init": TypeAdapter(Init).validate_python,
    SPLIT: lambda seed: Split(seed=seed),
}


def default_sparsity(space: SearchSpace) -> float | None:
    """The sparsity of cells without a level of it: that of the space, or the highest that it tunes, or None."""
    tuned = space.search.get("sparsity")
    if tuned is None:
        return space.sparsity
    return float(max(tuned.choice or tuned.bounds or ()))


def options_of(space: SearchSpace, axis: str) -> tuple[Any, ...]:
    """All values that `axis` can take somewhere in the space."""
    domain = space.search.get(axis)
    fixed = getattr(space, axis)
    return space.factors.get(axis) or (domain.choice if domain else None) or ((fixed,) if fixed else ())


def configuration(space: SearchSpace, values: Values) -> Configuration:
    """The validated configuration of `values` (axis -> value) over the defaults of the space.

    Values of ``method.*`` that the method does not take are ignored; a dense one has sparsity 0 and no distribution.
    """
    method = values.get("method", space.method) or "dense"
    dense = not METHODS[method].distributions
    takes = {h.name for h in METHODS[method].hyperparameters}
    given = {axis.partition(".")[2]: v for axis, v in values.items() if axis.startswith("method.")}
    if space.defaults == FIRST_VERSION:
        given = former_hyperparameters(method) | given
    return Configuration(
        dataset=space.dataset,
        content=space.content,
        code=space.code,
        model=model_spec(values.get("model", space.model)),
        split=_split(space, values),
        training=_training(space, values),
        regime=space.regimes[values.get("regime") or default_regime(space.regime, space.regimes)].hardness,
        method=method,
        hyperparameters={name: value for name, value in given.items() if name in takes},
        distribution=None if dense else values.get("distribution", space.distribution),
        sparsity=0.0 if dense else values.get("sparsity", default_sparsity(space)) or 0.0,
        init=values.get("init", space.init),
        layers=Layers() if dense else space.layers,
        ratios={} if dense else _ratios(space, values.get("distribution", space.distribution)),
    )


def splits(space: SearchSpace) -> tuple[Split, ...]:
    """All divisions of the data set that the space compares."""
    return tuple(_split(space, {SPLIT: seed}) for seed in space.factors.get(SPLIT, (space.split.seed,)))


def _split(space: SearchSpace, values: Values) -> Split:
    return space.split.model_copy(update={"seed": values.get(SPLIT, space.split.seed)})


def _ratios(space: SearchSpace, distribution: str | None) -> dict[str, float]:
    """Hyperparameters of the method whose scores give the distribution."""
    source = scored_source(distribution)
    if source is None:
        return {}
    former = former_hyperparameters(source) if space.defaults == FIRST_VERSION else {}
    takes = {h.name for h in METHODS[source].hyperparameters}
    return {name: value for name, value in (former | space.ratios).items() if name in takes}


def _training(space: SearchSpace, values: Values) -> Training:
    """The training of the space, validated again only if `values` change it."""
    changed = {axis.partition(".")[2]: v for axis, v in values.items() if axis.startswith("training.")}
    return Training.model_validate({**space.training.model_dump(), **changed}) if changed else space.training
