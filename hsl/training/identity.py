"""Stored form and identity of a configuration: its differences from the defaults of version 0.1, for ever.

Defaults may change. Trials under an old one keep their identity, and trials under a new one get another: both are
written relative to the same, frozen defaults. A change of a default that determines a result adds the former value
here.
"""

import copy
from collections.abc import Callable
from typing import Any

from hsl.hardness.schema.keep import UNRANKED

Document = dict[str, Any]

FIRST_VERSION = "0.1"

FIRST: dict[str, Any] = {"init": "sparse", "regime.keep.ties": "id", "regime.keep.precision": "single"}
"""Path -> value of version 0.1, of every default of a configuration that has changed since: ``training.lr: 0.1``."""

CHOSEN_BY_OTHERS = frozenset({"init"})
"""Paths whose value depends on others where none is given (``init`` on the method), so a space has none then."""

FIRST_OF_EVALUATION: dict[str, Any] = {
    "evaluation.deciles.ties": "id",
    "evaluation.deciles.precision": "single",
}
"""The same of a space alone: of its section ``evaluation``, which is no part of a configuration."""

OWNERS: dict[str, str] = {
    "regime.keep.ties": "regime.keep.by",
    "regime.keep.precision": "regime.keep.by",
    "evaluation.deciles.ties": "evaluation.deciles.by",
    "evaluation.deciles.precision": "evaluation.deciles.by",
}
"""Path of an option that is not always there -> path of the value, stored by version 0.1 too, with which it is."""

FIRST_HYPERPARAMETERS: dict[str, dict[str, float]] = {
    "acdc": {"reset_momentum": 0},
    "grasp": {"samples_per_class": 0},
    "mest": {"restart_regrown": 0},
    "mest_soft": {"restart_regrown": 0},
    "set": {"restart_regrown": 0},
}
"""The same of methods: method -> hyperparameter -> value of version 0.1, or what version 0.1 did without it."""


def canonical(given: Document, method: str, value_of: Callable[[str], Any]) -> Document:
    """Differences of a configuration from the frozen defaults.

    Args:
        given: JSON of a configuration without what equals the present defaults; it is changed in place.
        method: Its method.
        value_of: Path -> value of the configuration; called for defaults that have changed only.
    """
    for path, first in _frozen(method).items():
        if _is_there(given, path):
            value = value_at(given, path)
            _write(given, path, value_of(path) if value is None else value, first)
    return {key: value for key, value in given.items() if value != {}}


def filled(stored: Document) -> Document:
    """A stored configuration with the frozen defaults written out where the present ones differ."""
    found = copy.deepcopy(stored)
    for path, first in _frozen(found.get("method", "dense")).items():
        _fill(found, path, first)
    return found


def former_hyperparameters(method: str) -> dict[str, float]:
    """Those hyperparameters of a method whose defaults have changed since version 0.1, with the former values."""
    return FIRST_HYPERPARAMETERS.get(method, {})


def filled_space(stored: Document) -> Document:
    """A stored space, as parsed, with the frozen defaults written out that it does not have.

    One that was begun with later defaults has all of them written out, or chosen by others, and stays as it is.
    """
    if stored.get("defaults", FIRST_VERSION) != FIRST_VERSION:
        return stored
    return {"defaults": FIRST_VERSION} | _with_frozen(stored, is_given=False)


def former_space(given: Document) -> Document:
    """A space, as parsed, with the frozen defaults in place of the values that it has."""
    return _with_frozen(given, is_given=True) | {"defaults": FIRST_VERSION}


def _with_frozen(space: Document, is_given: bool) -> Document:
    found = copy.deepcopy(space)
    regimes = found.get("regimes")
    described = list(regimes.values()) if isinstance(regimes, dict) else []
    for path, first in (FIRST | FIRST_OF_EVALUATION).items():
        is_of_regime = path.partition(".")[0] == "regime"
        for place in [{"regime": each} for each in described] if is_of_regime else [found]:
            _fill(place, path, first, is_given)
    return found


def without_first(given: Document, section: str) -> Document:
    """The values of a section of a space, for example ``evaluation.deciles``, that differ from the frozen defaults."""
    first = {path.removeprefix(f"{section}."): value for path, value in FIRST_OF_EVALUATION.items()}
    return {key: value for key, value in given.items() if key not in first or value != first[key]}


def value_at(document: Any, path: str) -> Any:
    """The value at a path; None where one of its groups is missing."""
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _fill(document: Document, path: str, first: Any, is_given: bool = False) -> None:
    """Write a frozen default where the option is there, and there is no value, or in place of the given one."""
    if not _is_there(document, path):
        return
    *groups, key = path.split(".")
    for group in groups:
        document = document.setdefault(group, {})
    given = document.get(key)
    document[key] = first if given is None or (is_given and path not in CHOSEN_BY_OTHERS) else given


def _is_there(document: Document, path: str) -> bool:
    return path not in OWNERS or value_at(document, OWNERS[path]) not in (None, UNRANKED)


def _frozen(method: str) -> Document:
    """Path -> frozen default, of all that have changed of a configuration with this method."""
    own = FIRST_HYPERPARAMETERS.get(method, {})
    return FIRST | {f"hyperparameters.{name}": value for name, value in own.items()}


def _write(document: Document, path: str, value: Any, first: Any) -> None:
    """Keep a value only if it differs from the frozen default."""
    *groups, key = path.split(".")
    for group in groups:
        document = document.setdefault(group, {})
    if value == first:
        document.pop(key, None)
    else:
        document[key] = value
