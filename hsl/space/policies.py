"""Policies: how a space is searched, as YAML text laid over a stored space."""

from typing import Any

import yaml

from hsl.errors import Problem, SpaceError, close_match
from hsl.space.load import make_space
from hsl.space.scalars import read_yaml, scalar_problems
from hsl.space.schema import SearchSpace
from hsl.space.stored import space_text
from hsl.stopping.settings import Kind

KEYS = (
    "sampler",
    "early_stopping",
    "budget",
    "baseline",
    "priority",
    "warm_start",
    "lag",
    "first",
    "learn_from",
)
"""Keys of a space that say how it is searched, and not what."""


def value_of(text: str, source: str, within: tuple[str, ...] = ()) -> Any:
    """What YAML text describes.

    Args:
        text: The text.
        source: Name of its origin, for messages.
        within: Keys under which it would stand in a space.

    Raises:
        SpaceError: With all problems.
    """
    try:
        value, node = read_yaml(text)
    except yaml.YAMLError as error:
        raise SpaceError(source, [Problem("", "not valid YAML")]) from error
    if found := list(scalar_problems(node, within)):
        raise SpaceError(source, found)
    return value


def early_stopping_of(text: str) -> Kind | None:
    """The early stopping that YAML text describes, as in a space.

    Raises:
        SpaceError: With all problems.
    """
    source = f"early_stopping {text!r}"
    least = {"name": "none", "dataset": "digits", "model": "mlp"}
    value = value_of(text, source, ("early_stopping",))
    return make_space({**least, "early_stopping": value}, source).early_stopping


def policy_of(text: str, space: SearchSpace) -> SearchSpace:
    """A space that is searched in another way.

    Args:
        text: YAML of keys in `KEYS`; within ``budget`` and ``baseline`` what is not given stays.
        space: The space.

    Raises:
        SpaceError: With all problems.
    """
    source = f"policy {text!r}"
    given = value_of(text, source)
    if not isinstance(given, dict) or not given:
        raise SpaceError(source, [Problem("", f"give a mapping with some of {', '.join(KEYS)}")])
    if unknown := [key for key in given if key not in KEYS]:
        allowed = f"not part of a policy, which has {', '.join(KEYS)}"
        raise SpaceError(
            source, [Problem(str(key), f"{allowed}{close_match(str(key), KEYS)}") for key in unknown]
        )
    content = yaml.safe_load(space_text(space))
    for key, value in given.items():
        former = content.get(key) if key in {"budget", "baseline"} else None
        content[key] = {**former, **value} if isinstance(former, dict) and isinstance(value, dict) else value
    return make_space(content, source, is_stored=True)
