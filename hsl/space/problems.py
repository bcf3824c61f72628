"""Problems of the content of a space file, each with its location."""

import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError

from hsl.errors import Problem, UnknownNameError, close_match
from hsl.registry import Registry
from hsl.space.axes import SPLIT, axis_problem, value_problem
from hsl.space.domain import has_duplicates
from hsl.space.objective import SpaceRegime
from hsl.space.samplers import SAMPLERS
from hsl.space.scalars import Location
from hsl.space.schema import SearchSpace
from hsl.sparsity.methods import METHODS
from hsl.stopping.settings import EARLY_STOPPING

Found = tuple[Location, Problem]

_KINDS: dict[str | int, Registry[Any, None]] = {"early_stopping": EARLY_STOPPING, "sampler": SAMPLERS}
"""Sections whose keys depend on their kind or name."""


def at(location: Location, message: str) -> Found:
    """A problem that is shown under the dotted path of its location."""
    return location, Problem(".".join(map(str, location)), message)


def schema_problems(error: ValidationError) -> Iterator[Found]:
    """Problems that pydantic has found, in terms of the space file."""
    for item in error.errors(include_url=False):
        location, kind = _without_kind(tuple(item["loc"]))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            known = _known_keys(location[:-1], kind)
            message = f"unknown key{close_match(location[-1], known)}; known: {', '.join(known)}"
        elif location[-1:] == ("[key]",) and not isinstance(item["input"], str):
            location, message = location[:-1], f"the name {item['input']!r} is no text; put it in quotes"
        elif item["type"] == "missing":
            message = "missing, and it has no default"
        elif item["type"] in {"union_tag_invalid", "union_tag_not_found"}:
            message = _unknown_choice(location, item)
        elif item["type"] == "too_short":
            message = "empty; give at least one"
        elif item["type"] in {"model_type", "model_attributes_type", "dict_type"}:
            known = _known_keys(location, kind)
            keys = f"; known: {', '.join(known)}" if known else ""
            message = f"{item['input']!r}: keys with values are needed{keys}"
        elif not isinstance(item["input"], dict | list | tuple):
            message = f"{item['input']!r}: {message}"
        yield at(location, message)


def _unknown_choice(location: Location, item: Mapping[str, Any]) -> str:
    """A section whose name or kind is unknown or missing, in the words of every other unknown name."""
    context, section = item["ctx"], str(location[-1]).replace("_", " ")
    key = context["discriminator"].strip("'")
    if item["type"] == "union_tag_not_found":
        return f"{key} is missing; give it, for example {location[-1]}: {{{key}: ...}}"
    known = [tag.strip("' ") for tag in context["expected_tags"].split(",")]
    return str(UnknownNameError(section, context["tag"], known))


def _without_kind(location: Location) -> tuple[Location, type[BaseModel] | None]:
    """The location in the file of a problem of a section with kinds, and the model that pydantic names in between."""
    section = _KINDS.get(location[0]) if len(location) > 1 else None
    if section is None:
        return location, None
    name = str(location[1])
    kind = section[name] if name in section else None  # noqa: SIM401  get would import a plug-in
    return (location[0], *location[2:]) if kind else location, kind


def _known_keys(location: Location, kind: type[BaseModel] | None) -> list[str]:
    """Keys of the schema at `location`, or those of the `kind` that is chosen there."""
    if kind:
        return sorted(kind.model_fields)
    annotation: Any = SearchSpace
    for part in location:
        annotation = _step(annotation, part)
    models = [kind for kind in _alternatives(annotation) if _is_model(kind)]
    return sorted({key for model in models for key in model.model_fields})


def _step(annotation: Any, part: str | int) -> Any:
    for kind in _alternatives(annotation):
        if _is_model(kind) and part in kind.model_fields:
            return kind.model_fields[part].annotation
        if get_origin(kind) is dict:
            return get_args(kind)[1]
    return annotation


def short_form(location: Location, value: object) -> str | None:
    """The key of a section for which a value alone stands, as in ``sampler: tpe``; None if it stands for none."""
    around: Any = SearchSpace
    for part in location[:-1]:
        around = _step(around, part)
    fields = [kind.model_fields for kind in _alternatives(around) if _is_model(kind)]
    section = next((found[location[-1]] for found in fields if location[-1] in found), None)
    if section is None:
        return None
    annotated: Any = Annotated[section.annotation, *section.metadata]
    schema: TypeAdapter[Any] = TypeAdapter(annotated)
    meant = _validated(schema, value)
    keys = _known_keys(location, None)
    return next((key for key in keys if _validated(schema, {key: value}) == meant), None)


def _validated(schema: TypeAdapter[Any], value: object) -> Any:
    """The validated value, or what is wrong with it."""
    try:
        return schema.validate_python(value)
    except ValidationError as error:
        return [item["msg"] for item in error.errors()]


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    return [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def cross_problems(raw: Mapping[str, Any]) -> Iterator[Found]:
    """Problems between those parts of a space that have the right form."""
    regimes = _items(raw.get("regimes", {"clean": {}}), object)
    names = list(regimes)
    levels, domains = _items(raw.get("factors"), list), _items(raw.get("search"), dict)
    yield from _duplicate_regimes(regimes)
    choices = _items(domains.get("method"), list).get("choice", ())
    plugged, foreign = _plugged_methods([raw.get("method"), *levels.get("method", ()), *choices])
    yield from foreign
    if foreign:
        levels, domains = (_without_unknown(axes, plugged) for axes in (levels, domains))
    for axis, values in levels.items():
        yield from _axis_problems("factors", axis, values, names, plugged)
    for axis, domain in domains.items():
        if axis in {"regime", SPLIT} or (axis == "sparsity" and axis not in (raw.get("against") or ())):
            message = f"{axis} is compared, never tuned: the search would pick the easiest; use factors"
            yield at(("search", axis), message)
        yield from _axis_problems("search", axis, _probes(domain), names, plugged)
        if axis in levels:
            yield at(("search", axis), "also a factor; an axis is compared or tuned, not both")
    regime = raw.get("regime")
    if regime is not None and names and regime not in names:
        yield at(("regime",), _unknown_regime(regime, names))
    if regime is None and len(names) > 1 and "regime" not in levels:
        advice = f"add regime to factors, or set regime: {names[0]}"
        yield at(("regimes",), f"{len(names)} are described and none is chosen; {advice}")


def _items(section: Any, kind: type) -> dict[str, Any]:
    """The values of a section that have the right form; none of a section that is not a mapping."""
    if not isinstance(section, dict):
        return {}
    return {key: value for key, value in section.items() if isinstance(value, kind)}


def _plugged_methods(named: list[Any]) -> tuple[tuple[str, ...], list[Found]]:
    """The methods that are plug-ins, and problems of those that cannot be imported."""
    found: list[str] = []
    problems: list[Found] = []
    for name in named:
        if not isinstance(name, str) or name in METHODS or not METHODS.knows(name):
            continue
        try:
            METHODS.for_schema(name)
            found.append(name)
        except ValueError as error:
            problems.append(at(("method",), str(error)))
    return tuple(found), problems


def _without_unknown(axes: dict[str, Any], plugged: tuple[str, ...]) -> dict[str, Any]:
    """The axes without hyperparameters that a method may have which could not be imported."""
    return {
        axis: given
        for axis, given in axes.items()
        if not axis.startswith("method.") or axis_problem(axis, plugged) is None
    }


def _probes(domain: Mapping[str, Any]) -> list[Any]:
    """Values of a domain to check: its choices, or its bounds and, for a real range, a value between them."""
    kind, values = next(((k, v) for k, v in domain.items() if isinstance(v, list)), ("", []))
    is_range = kind in {"uniform", "loguniform"} and all(isinstance(v, int | float) for v in values)
    if not is_range or len(values) != 2:
        return values
    between = values[0] + (values[1] - values[0]) / math.e  # never a whole number
    return [*values, float(f"{between:.6g}")]


def _axis_problems(
    section: str, axis: str, values: list[Any], regimes: list[str], plugged: tuple[str, ...]
) -> Iterator[Found]:
    location = (section, axis)
    if message := axis_problem(axis, plugged):
        yield at(location, message)
        return
    if has_duplicates(values):
        yield at(location, "a value is listed twice; equal values such as 64, 64.0 and 6.4e1 count as one")
    for index, value in enumerate(values):
        if axis == "regime":
            message = None if value in regimes else _unknown_regime(value, regimes)
        elif (*location, value) == ("search", "method", "dense"):
            message = "dense is a baseline with cells of its own: leave it out here and set baseline: dense"
        else:
            message = value_problem(axis, value, plugged)
        if message:
            yield (*location, index), at(location, f"{value!r}: {message}")[1]


def _unknown_regime(value: object, regimes: list[str]) -> str:
    return f"unknown regime {value!r}{close_match(value, regimes)}; known: {', '.join(regimes)}"


def _duplicate_regimes(regimes: Mapping[str, Any]) -> Iterator[Found]:
    """Regimes that say the same, also in other words: ``{keep: {fraction: 1/2}}`` and ``{keep: {fraction: 0.5}}``."""
    seen: dict[str, str] = {}
    for name, content in regimes.items():
        first = seen.setdefault(_meaning(content), name)
        if first != name:
            yield at(("regimes", name), f"the same as regime {first!r}; a level is listed once")


def _meaning(regime: object) -> str:
    try:
        return repr(SpaceRegime.model_validate(regime))
    except ValidationError:  # which is reported elsewhere
        return repr(regime)


def with_line(problem: Problem, location: Location, lines: Mapping[Location, int]) -> Problem:
    """`problem` with the line of its location, or of the innermost part around it whose line is known."""
    for cut in range(len(location), 0, -1):
        if location[:cut] in lines:
            return replace(problem, line=lines[location[:cut]])
    return problem
