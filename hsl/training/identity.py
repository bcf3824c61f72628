"""Stored form and identity of a configuration: its differences from the defaults of version 0.1, for ever.

Defaults may change. Trials under an old one keep their identity, and trials under a new one get another: both are
written relative to the same, frozen defaults. A change of a default that determines a result adds the former value
here.
"""

import copy
from collections.abc import Callable
from typing import Any

Document = dict[str, Any]

FIRST: dict[str, Any] = {}
"""Path -> value of version 0.1, of every default of a configuration that has changed since: ``training.lr: 0.1``."""

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
        _write(given, path, value_of(path), first)
    return {key: value for key, value in given.items() if value != {}}


def filled(stored: Document) -> Document:
    """A stored configuration with the frozen defaults written out where the present ones differ."""
    found = copy.deepcopy(stored)
    for path, first in _frozen(found.get("method", "dense")).items():
        *groups, key = path.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place.setdefault(key, first)
    return found


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
