"""YAML file + ``key=value`` overrides -> SearchSpace, with every problem at once: line, value, what is allowed."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from hsl.errors import Problem, SpaceError
from hsl.space.axes import known_axes
from hsl.space.checks import method_problems, regime_problems, search_problems
from hsl.space.domain import Domain
from hsl.space.levels import normalised
from hsl.space.problems import cross_problems, schema_problems, short_form, with_line
from hsl.space.scalars import Location, read_yaml, scalar_problems
from hsl.space.schema import SearchSpace
from hsl.space.training_axes import training_problems
from hsl.training.identity import FIRST_VERSION, filled_space


def load_space(path: str | Path, overrides: Sequence[str] = ()) -> SearchSpace:
    """Read the search space of a YAML file.

    Args:
        path: The file.
        overrides: Changes to its content, applied in order before it is validated; see `override`.

    Raises:
        SpaceError: If the file is missing, is not YAML, or holds anything that is not a valid space.
    """
    raw, lines = _parse(Path(path))
    for text in overrides:
        override(raw, text)
    return make_space(raw, source=str(path), lines=lines)


def make_space(
    raw: dict[str, Any],
    source: str = "space",
    lines: Mapping[Location, int] | None = None,
    is_stored: bool = False,
) -> SearchSpace:
    """Validate the content of a space file.

    Args:
        raw: The content: mappings, lists, strings and numbers.
        source: Name of its origin, for messages.
        lines: Line number of each location in the origin, from 1, for messages.
        is_stored: Whether levels and choices stay as they are, because cells of a store are named after them;
            otherwise each has the type of its axis (`hsl.space.levels`).

    Raises:
        SpaceError: With all problems.
    """
    raw = raw if is_stored else normalised(raw)
    raw = filled_space(raw) if raw.get("defaults") == FIRST_VERSION else raw
    problems = list(cross_problems(raw))
    try:
        space = SearchSpace.model_validate(raw)
        problems += search_problems(space)
        if not is_stored:  # version 0.1 accepted these
            problems += [*method_problems(space), *regime_problems(space), *training_problems(space)]
    except ValidationError as error:
        problems = [*schema_problems(error), *problems]
    if problems:
        located = [with_line(problem, location, lines or {}) for location, problem in problems]
        raise SpaceError(source, located)
    return space


def _parse(path: Path) -> tuple[dict[str, Any], dict[Location, int]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpaceError(str(path), [Problem("", f"cannot read the file: {reason}")]) from error
    try:
        raw, node = read_yaml(text)
        places = list(_node_lines(node, ()))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = f"not valid YAML: {getattr(error, 'problem', None) or error}"
        line = mark.line + 1 if mark else None
        raise SpaceError(str(path), [Problem("", message, line)]) from error
    if not isinstance(raw, dict):
        message = "a search space is a mapping of keys to values; see the README"
        raise SpaceError(str(path), [Problem("", message)])
    if found := [*_given_twice(places), *scalar_problems(node)]:
        raise SpaceError(str(path), found)
    return raw, dict(places)


def _given_twice(places: Iterable[tuple[Location, int]]) -> Iterator[Problem]:
    """Keys that YAML would take the last value of, without a word."""
    first: dict[Location, int] = {}
    for location, line in places:
        if location in first:
            where = ".".join(map(str, location))
            yield Problem(where, f"given twice, first in line {first[location]}; remove one", line)
        first.setdefault(location, line)


def _node_lines(node: yaml.Node | None, location: Location) -> Iterator[tuple[Location, int]]:
    """Line of each key, and of each item of a list."""
    if isinstance(node, yaml.MappingNode):
        parts = [(key.value, key, value) for key, value in node.value]
    elif isinstance(node, yaml.SequenceNode):
        parts = [(index, value, value) for index, value in enumerate(node.value)]
    else:
        return
    for name, start, value in parts:
        yield (*location, name), start.start_mark.line + 1
        yield from _node_lines(value, (*location, name))


def override(raw: dict[str, Any], pair: str) -> None:
    """Apply ``dotted.key=YAML`` to the content of a space file; a key that is an axis is no longer compared or tuned.

    Raises:
        SpaceError: If it is not such a pair.
    """
    key, equals, text = pair.partition("=")
    source = f"override {pair!r}"
    if not equals or not key:
        raise SpaceError(source, [Problem("", "write key=value, for example training.epochs=10")])
    try:
        value, node = read_yaml(text)
    except yaml.YAMLError as error:
        raise SpaceError(source, [Problem(key, f"not a YAML value: {text!r}")]) from error
    if found := list(scalar_problems(node, tuple(key.split(".")))):
        raise SpaceError(source, [replace(problem, line=None) for problem in found])
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
        if search is None or isinstance(search, dict):  # validation refuses anything else
            raw["search"] = {**(search or {}), axis: {"choice": [value]}}
    else:
        target, last = _descend(raw, axis.split("."))
        target[last] = value


def _descend(
    target: dict[str, Any], parts: list[str], axes: bool = False, above: Location = ()
) -> tuple[dict[str, Any], str]:
    """The mapping of the last part of a dotted key, and that part.

    Args:
        target: The mapping of the parts that are done.
        parts: What is left of the key.
        axes: Whether the keys of the mapping are axes, which contain dots.
        above: The parts that are done.
    """
    whole = ".".join(parts)
    if len(parts) == 1 or whole in target:
        return target, whole
    for cut in range(len(parts) - 1, 0, -1):
        head = ".".join(parts[:cut])
        child = target.get(head)
        if isinstance(child, dict):
            return _descend(child, parts[cut:], head in {"search", "factors"}, (*above, head))
    if axes and parts[-1] not in Domain.model_fields:
        return target, whole
    cut = len(parts) - 1 if axes else 1
    head = ".".join(parts[:cut])
    target[head] = _spelt_out((*above, head), target.get(head))
    return _descend(target[head], parts[cut:], head in {"search", "factors"}, (*above, head))


def _spelt_out(location: Location, short: Any) -> dict[str, Any]:
    """The mapping that a name or a list alone stands for; an invalid one is refused under ``name``."""
    if not isinstance(short, str | list):
        return {}
    return {short_form(location, short) or "name": short}
