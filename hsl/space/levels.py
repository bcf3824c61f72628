"""Levels and choices in the type of their axis, so that one value has one name and one identity: 64, 64.0 and "64"."""

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import ValidationError

from hsl.space.axes import SPLIT
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS
from hsl.training.configuration import Split, Training, sparsity_value

Raw = dict[str, Any]


def typed(axis: str, value: Any) -> Any:
    """A value in the type of its axis; unchanged if it is none of the axis, which validation says.

    Args:
        axis: For example ``training.batch_size``; an axis that does not exist has no type.
        value: As YAML or an override has it.

    Returns:
        Real numbers as float, whole ones as int, switches as bool, a model without options as its name, others with
        their options in alphabetical order.
    """
    group, _, field = axis.partition(".")
    try:
        if group == "training" and field:
            return Training.model_validate({field: value}).model_dump(mode="json")[field]
        if axis == SPLIT:
            return Split.model_validate({field: value}).seed
        if axis == "sparsity":
            return sparsity_value(value)
    except (ValidationError, ValueError, KeyError):
        return value
    if group == "method" and field:
        return _hyperparameter(field, value)
    return _model(value) if axis == "model" and isinstance(value, dict) and "name" in value else value


def _model(options: Raw) -> Any:
    if options.keys() == {"name"}:
        return options["name"]
    return {
        "name": options["name"],
        **{key: options[key] for key in sorted(options, key=str) if key != "name"},
    }


def _hyperparameter(name: str, value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    known = (parameter for method in METHODS.values() for parameter in method.hyperparameters)
    is_whole = any(parameter.whole for parameter in known if parameter.name == name)
    if is_whole:
        return int(value) if value == value // 1 else value
    return float(value)


def normalised(raw: Raw) -> Raw:
    """The content of a space with every level and choice in the type of its axis."""
    found = dict(raw)
    if isinstance(raw.get("factors"), dict):
        found["factors"] = {axis: _all_typed(axis, levels) for axis, levels in raw["factors"].items()}
    if isinstance(raw.get("search"), dict):
        found["search"] = {axis: _domain(axis, domain) for axis, domain in raw["search"].items()}
    if isinstance(raw.get("first"), list | tuple):
        found["first"] = [_first(values) for values in raw["first"]]
    return found


def _first(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {axis: typed(axis, value) if isinstance(axis, str) else value for axis, value in values.items()}


def _domain(axis: Any, domain: Any) -> Any:
    if not isinstance(domain, dict) or "choice" not in domain:
        return domain
    return {**domain, "choice": _all_typed(axis, domain["choice"])}


def _all_typed(axis: Any, values: Any) -> Any:
    if not isinstance(axis, str) or not isinstance(values, list | tuple):
        return values
    return [typed(axis, value) for value in values]


def distinct(axis: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """The values without those that equal another one in the type of their axis; the one that has that type stays."""
    found: list[Any] = []
    for value in sorted(values, key=lambda value: typed(axis, value) != value):
        if not any(typed(axis, value) == typed(axis, other) for other in found):
            found.append(value)
    return tuple(value for value in values if value in found)


def with_distinct_values(space: SearchSpace) -> SearchSpace:
    """A space of version 0.1 without levels and choices that are equal to others, such as ``[1e-1, 0.1]``."""
    return _changed(space, distinct)


def as_named(space: SearchSpace, stored: SearchSpace) -> SearchSpace:
    """A space whose levels and choices are written as a store has them, so that its cells keep their names.

    Version 0.1 named a cell after the text of the file: ``training.lr=1e-1``.
    """

    def named(axis: str, values: Sequence[Any]) -> tuple[Any, ...]:
        domain = stored.search.get(axis)
        known = [*stored.factors.get(axis, ()), *((domain.choice if domain else None) or ())]
        return tuple(_first_equal(axis, value, known) for value in values)

    return _changed(space, named)


def _first_equal(axis: str, value: Any, known: Sequence[Any]) -> Any:
    return next((old for old in known if typed(axis, old) == typed(axis, value)), value)


def _changed(space: SearchSpace, change: Callable[[str, Sequence[Any]], tuple[Any, ...]]) -> SearchSpace:
    factors = {axis: change(axis, levels) for axis, levels in space.factors.items()}
    search = {
        axis: domain.model_copy(update={"choice": change(axis, domain.choice)}) if domain.choice else domain
        for axis, domain in space.search.items()
    }
    return space.model_copy(update={"factors": factors, "search": search})
