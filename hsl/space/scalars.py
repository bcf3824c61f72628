"""Plain scalars of YAML by the core schema of YAML 1.2.2, section 10.3.2, in place of PyYAML's YAML 1.1.

``1e-1`` and ``.5`` are numbers, ``no``, ``on``, ``1:30`` and ``2026-01-01`` are text, merge keys (``<<``) stay.
Files that others read as well, as Ray does its cluster.yaml, are YAML 1.1. A stored space is written so that both
versions read the same.
"""

import re
from collections.abc import Iterator
from typing import Any

import yaml

from hsl.errors import Problem

Location = tuple[str | int, ...]
"""Keys and indices that lead to a part of a document."""

_CORE = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", ("t", "T", "f", "F")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", tuple("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        tuple("-+.0123456789"),
    ),
    ("merge", r"<<", ("<",)),
)
"""Tags with the text that has them, in the order in which they are tried, and its first characters."""

_LEADING_ZERO = re.compile(r"[-+]?0[0-9_]+")
_OLD_TYPES = frozenset(f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float", "timestamp"))


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the scalars of YAML 1.2, and the merge keys of https://yaml.org/type/merge.html."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Put what a mapping merges in front of its own keys, which win; of several mappings the first wins.

        In PyYAML 6.0.4 the last one wins, and the first one for keys of a single character.
        """
        own = [pair for pair in node.value if pair[0].tag != MERGE]
        sources = [source for key, value in node.value if key.tag == MERGE for source in _sources(value)]
        node.value = own  # before its sources are looked at, of which it can be one itself
        known = {_spelt(key) for key, _ in own}
        merged = []
        for source in sources:
            self.flatten_mapping(source)
            merged += [pair for pair in source.value if _spelt(pair[0]) not in known]
            known |= {_spelt(key) for key, _ in source.value}
        node.value = merged + own


MERGE = "tag:yaml.org,2002:merge"


def _sources(value: yaml.Node) -> list[yaml.MappingNode]:
    """The mappings that the value of a merge key names: one, or a list of them."""
    named: list[yaml.Node] = value.value if isinstance(value, yaml.SequenceNode) else [value]
    found = [each for each in named if isinstance(each, yaml.MappingNode)]
    for each in named:
        if each not in found:
            message = f"<< merges a mapping or a list of mappings, not {each.value!r}"
            raise yaml.constructor.ConstructorError(None, None, message, each.start_mark)
    return found


def _spelt(key: yaml.Node) -> tuple[str, Any]:
    """What two keys agree in that are the same."""
    return key.tag, key.value if isinstance(key, yaml.ScalarNode) else id(key)


class Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper; text that YAML 1.1 or YAML 1.2 would read as something else is quoted."""


for _tag, _pattern, _first in _CORE:
    _compiled = re.compile(rf"(?:{_pattern})\Z")
    Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _compiled, list(_first))
    Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", _compiled, list(_first))


def _integer(loader: Loader, node: yaml.ScalarNode) -> int:
    """An integer; base 8 and 16 are written ``0o17`` and ``0x1f``."""
    text = loader.construct_scalar(node)
    bases = {"0o": 8, "0x": 16}
    try:
        return int(text, bases.get(text[:2], 10))
    except ValueError as error:
        raise yaml.constructor.ConstructorError(
            None, None, f"{text!r} is no integer", node.start_mark
        ) from error


Loader.add_constructor("tag:yaml.org,2002:int", _integer)

_FORMER = yaml.SafeLoader("")
"""Resolves the scalars of YAML 1.1."""


def read_yaml(text: str) -> tuple[Any, yaml.Node | None]:
    """The content of one YAML document, and its nodes as they are written: merge keys (``<<``) are keys of theirs.

    Raises:
        yaml.YAMLError: If it is no YAML.
    """
    written = yaml.compose(
        text, Loader=Loader
    )  # again: to construct a mapping puts what it merges into its node
    return yaml.load(text, Loader=Loader), written


def write_yaml(content: Any) -> str:
    """YAML in the order of `content`, which both versions of YAML read the same."""
    return yaml.dump(content, Dumper=Dumper, sort_keys=False)


def scalar_problems(node: yaml.Node | None, location: Location = ()) -> Iterator[Problem]:
    """Plain scalars that YAML 1.1 and 1.2 read as different values, where nothing else would refuse the difference.

    A number with a leading zero is octal in YAML 1.1. A word such as ``no`` is false there; it is text here, which a
    regime may be called and which a key of the schema reads by its type, but an option of a model, a sampler or a
    kind of early stopping has no type.

    Args:
        node: Of a document, or of the part at `location`.
        location: Of the node.
    """
    seen: set[int] = set()
    waiting = [(node, location, False)]
    while waiting:
        part, place, is_key = waiting.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        if message := _ambiguous(part, not is_key and _is_untyped(place)):
            yield Problem(".".join(map(str, place)), message, part.start_mark.line + 1)
        waiting += reversed(list(_children(part, place)))


def _children(node: yaml.Node, location: Location) -> Iterator[tuple[yaml.Node, Location, bool]]:
    """Keys, values and items of a node with their locations, and whether it is a key."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            inner = (*location, str(key.value))
            yield key, inner, True
            yield value, inner, False
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield value, (*location, index), False


def _ambiguous(node: yaml.Node, is_untyped: bool) -> str | None:
    if not isinstance(node, yaml.ScalarNode) or node.style is not None:
        return None
    text = node.value
    if _LEADING_ZERO.fullmatch(text):
        decimal = f"{'-' * text.startswith('-')}{text.lstrip('+-0_') or '0'}"
        return f"{text}: octal in YAML 1.1, decimal in YAML 1.2; write {decimal}, or as text '{text}'"
    old = _FORMER.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if is_untyped and old != node.tag and old in _OLD_TYPES:
        return f"{text}: text in YAML 1.2, but not in YAML 1.1; write true, false or a number, or as text '{text}'"
    return None


def _is_untyped(location: Location) -> bool:
    """Whether the schema gives the values at `location` no type: options of models, samplers and early stopping."""
    within = location[1:] if location[:1] in {("factors",), ("search",)} else location
    return within[:1] in {("model",), ("sampler",), ("early_stopping",)} and len(within) > 1
