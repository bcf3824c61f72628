"""YAML file + ``key=value`` overrides -> SearchSpace, with every problem at once: line, value, what is allowed."""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from hsl.errors import Problem, SpaceError, close_match
from hsl.search.axes import axis_problem, known_axes, value_problem
from hsl.search.checks import search_problems
from hsl.search.schema import EARLY_STOPPING, Domain, EarlyStopping, SearchSpace, has_twins

Location = tuple[str | int, ...]


def load_space(path: str | Path, overrides: Sequence[str] = ()) -> SearchSpace:
    """Read a search space.

    Args:
        path: A YAML file.
        overrides: Dotted ``key=value`` pairs that replace or add values; the value is YAML.

    Raises:
        SpaceError: If the file is missing, is not YAML, or holds anything that is not a valid space.
    """
    raw, lines = _parse(Path(path))
    for override in overrides:
        _override(raw, override)
    return make_space(raw, source=str(path), lines=lines)


def make_space(
    raw: dict[str, Any], source: str = "space", lines: Mapping[Location, int] | None = None
) -> SearchSpace:
    """Validate the content of a space file.

    Args:
        raw: The mapping that the YAML holds.
        source: Where it comes from, for messages.
        lines: Line of every location in the source, where known.

    Raises:
        SpaceError: With all problems.
    """
    problems = list(_cross_problems(raw))
    space = None
    try:
        space = SearchSpace.model_validate(raw)
        problems += search_problems(space)
    except ValidationError as error:
        problems = [*_schema_problems(error), *problems]
    if problems or space is None:
        raise SpaceError(
            source, [_with_line(problem, location, lines or {}) for location, problem in problems]
        )
    return space


def early_stopping_of(text: str) -> EarlyStopping | None:
    """Early stopping as it stands in a space, written as YAML.

    Raises:
        SpaceError: With all problems.
    """
    source = f"early_stopping {text!r}"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpaceError(source, [Problem("", "not valid YAML")]) from error
    least = {"name": "none", "dataset": "digits", "model": "mlp"}
    return make_space({**least, "early_stopping": value}, source).early_stopping


def _parse(path: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpaceError(str(path), [Problem("", f"cannot read the file: {reason}")]) from error
    try:
        raw = yaml.safe_load(text)
        lines = dict(_node_lines(yaml.compose(text, Loader=yaml.SafeLoader), ()))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = f"not valid YAML: {getattr(error, 'problem', None) or error}"
        line = mark.line + 1 if mark else None
        raise SpaceError(str(path), [Problem("", message, line)]) from error
    if not isinstance(raw, dict):
        raise SpaceError(
            str(path), [Problem("", "a search space is a mapping of keys to values; see the README")]
        )
    return raw, lines


def _node_lines(node: yaml.Node | None, location: Location) -> Iterator[tuple[Location, int]]:
    if node is None:
        return
    yield location, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*location, key.value), key.start_mark.line + 1
            yield from (
                (at, line) for at, line in _node_lines(value, (*location, key.value)) if at != location
            )
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _node_lines(value, (*location, index))


def _override(raw: dict[str, Any], override: str) -> None:
    """Apply one ``dotted.key=value``; one that names an axis pins it, so that it is neither compared nor tuned."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise SpaceError(
            f"override {override!r}", [Problem("", "write key=value, for example training.epochs=10")]
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpaceError(f"override {override!r}", [Problem(key, f"not a YAML value: {text!r}")]) from error
    if key in known_axes():
        _pin(raw, key, value)
    else:
        target, last = _descend(raw, key.split("."))
        target[last] = value


def _pin(raw: dict[str, Any], axis: str, value: Any) -> None:
    factors, search = raw.get("factors"), raw.get("search")
    if isinstance(search, dict):
        search.pop(axis, None)
    if isinstance(factors, dict) and axis in factors:
        factors[axis] = [value]
    elif axis.startswith("method."):
        if search is None or isinstance(search, dict):  # anything else is refused with the file
            raw["search"] = {**(search or {}), axis: {"choice": [value]}}
    else:
        target, last = _descend(raw, axis.split("."))
        target[last] = value


def _descend(target: dict[str, Any], parts: list[str], axes: bool = False) -> tuple[dict[str, Any], str]:
    """The mapping that holds the last part of a dotted key, and that part; the names of `axes` contain dots."""
    whole = ".".join(parts)
    if len(parts) == 1 or whole in target:
        return target, whole
    for cut in range(len(parts) - 1, 0, -1):
        child = target.get(".".join(parts[:cut]))
        if isinstance(child, dict):
            return _descend(child, parts[cut:], axes=parts[:cut] in (["search"], ["factors"]))
    if axes and parts[-1] not in Domain.model_fields:
        return target, whole
    cut = len(parts) - 1 if axes else 1
    head = ".".join(parts[:cut])
    target[head] = {"name": target[head]} if isinstance(target.get(head), str) else {}
    return _descend(target[head], parts[cut:], axes=head in {"search", "factors"})


def _schema_problems(error: ValidationError) -> Iterator[tuple[Location, Problem]]:
    for item in error.errors(include_url=False):
        location, kind = _without_kind(tuple(item["loc"]))
        message = item["msg"].removeprefix("Value error, ")
        if item["type"] == "extra_forbidden":
            known = sorted(kind.model_fields) if kind else _keys_at(location[:-1])
            message = f"unknown key{close_match(location[-1], known)}; known: {', '.join(known)}"
        elif item["type"] == "missing":
            message = "missing, and it has no default"
        elif item["type"] == "too_short":
            message = "empty; give at least one"
        elif not isinstance(item["input"], dict | list | tuple):
            message = f"{item['input']!r}: {message}"
        yield location, Problem(_dotted(location), message)


def _without_kind(location: Location) -> tuple[Location, type[BaseModel] | None]:
    """Where a problem of `early_stopping` stands in the file, and the model that pydantic names in between."""
    if location[:1] != ("early_stopping",) or len(location) < 2:
        return location, None
    return (location[0], *location[2:]), EARLY_STOPPING.get(str(location[1]))


def _keys_at(location: Location) -> list[str]:
    """Keys that the schema has at `location`."""
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


def _alternatives(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _alternatives(get_args(annotation)[0])
    if get_origin(annotation) in {Union, types.UnionType}:
        return [kind for part in get_args(annotation) for kind in _alternatives(part)]
    return [annotation]


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _cross_problems(raw: Mapping[str, Any]) -> Iterator[tuple[Location, Problem]]:
    """Problems between parts of a space, found in whatever of it has the right form."""
    regimes = raw.get("regimes", {"clean": {}})
    names = list(regimes) if isinstance(regimes, dict) else []
    factors = raw.get("factors") or {}
    search = raw.get("search") or {}
    levels = {k: v for k, v in factors.items() if isinstance(v, list)} if isinstance(factors, dict) else {}
    domains = {k: v for k, v in search.items() if isinstance(v, dict)} if isinstance(search, dict) else {}
    yield from _twins(regimes if isinstance(regimes, dict) else {})
    for axis, values in levels.items():
        yield from _axis_problems(("factors", axis), axis, values, names)
    for axis, domain in domains.items():
        values = _probes(domain)
        if axis == "regime" or (axis == "sparsity" and axis not in (raw.get("against") or ())):
            message = f"{axis} is compared, never tuned: the search would pick the easiest; use factors"
            yield ("search", axis), Problem(f"search.{axis}", message)
        yield from _axis_problems(("search", axis), axis, values, names)
        if axis in levels:
            yield (
                ("search", axis),
                Problem(f"search.{axis}", "also a factor; an axis is compared or tuned, not both"),
            )
    regime = raw.get("regime")
    if regime is not None and names and regime not in names:
        yield ("regime",), Problem("regime", _unknown_regime(regime, names))
    if regime is None and len(names) > 1 and "regime" not in levels:
        message = (
            f"{len(names)} are described and none is chosen; add regime to factors, or set regime: {names[0]}"
        )
        yield ("regimes",), Problem("regimes", message)


def _probes(domain: Mapping[str, Any]) -> list[Any]:
    """Values that a domain offers: its choices, or its bounds and, of a real range, a value between them."""
    kind, values = next(((k, v) for k, v in domain.items() if isinstance(v, list)), ("", []))
    is_range = kind in {"uniform", "loguniform"} and all(isinstance(v, int | float) for v in values)
    if not is_range or len(values) != 2:
        return values
    between = values[0] + (values[1] - values[0]) / math.e  # never a whole number
    return [*values, float(f"{between:.6g}")]


def _axis_problems(
    location: Location, axis: str, values: list[Any], regimes: list[str]
) -> Iterator[tuple[Location, Problem]]:
    where = _dotted(location)
    if message := axis_problem(axis):
        yield location, Problem(where, message)
        return
    if has_twins(values):
        yield location, Problem(where, "a value is listed twice")
    for index, value in enumerate(values):
        message = _level_problem(axis, value, regimes, tuned=location[0] == "search")
        if message:
            yield (*location, index), Problem(where, f"{value!r}: {message}")


def _level_problem(axis: str, value: Any, regimes: list[str], tuned: bool) -> str | None:
    if axis == "regime":
        return None if value in regimes else _unknown_regime(value, regimes)
    if axis == "method" and value == "dense" and tuned:
        return "dense is a baseline with cells of its own: leave it out here and set baseline: dense"
    return value_problem(axis, value)


def _unknown_regime(value: object, regimes: list[str]) -> str:
    return f"unknown regime {value!r}{close_match(value, regimes)}; known: {', '.join(regimes)}"


def _twins(regimes: Mapping[str, Any]) -> Iterator[tuple[Location, Problem]]:
    seen: dict[str, str] = {}
    for name, content in regimes.items():
        first = seen.setdefault(repr(content), name)
        if first != name:
            yield (
                ("regimes", name),
                Problem(f"regimes.{name}", f"the same as regime {first!r}; a level is listed once"),
            )


def _with_line(problem: Problem, location: Location, lines: Mapping[Location, int]) -> Problem:
    for cut in range(len(location), 0, -1):
        if location[:cut] in lines:
            return Problem(problem.where, problem.message, lines[location[:cut]])
    return problem


def _dotted(location: Location) -> str:
    return ".".join(str(part) for part in location)
