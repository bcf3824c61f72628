"""How a configuration is stored and named: by what differs from the defaults of version 0.1, for ever.

Defaults may change. What was trained under an old one keeps its identity, and what is trained under a new one gets
another: both are written relative to the same, frozen defaults. A change of a default that determines
a result adds the former value here.
"""

import copy
from collections.abc import Mapping
from typing import Any

Document = dict[str, Any]

FIRST: dict[str, Any] = {}
"""Path -> value of version 0.1, of every default of a configuration that has changed since: ``training.lr: 0.1``."""

FIRST_HYPERPARAMETERS: dict[str, dict[str, float]] = {}
"""The same of methods: method -> hyperparameter -> value of version 0.1."""


def canonical(given: Document, full: Document, hyperparameters: Mapping[str, float]) -> Document:
    """What differs from the frozen defaults.

    Args:
        given: JSON of a configuration without what equals the present defaults.
        full: All of it.
        hyperparameters: All of its method, with their values.
    """
    found = copy.deepcopy(given)
    for path, first in FIRST.items():
        _write(found, path, _read(full, path), first)
    for name, first in FIRST_HYPERPARAMETERS.get(full["method"], {}).items():
        _write(found, f"hyperparameters.{name}", hyperparameters[name], first)
    return {key: value for key, value in found.items() if value != {}}


def filled(stored: Document) -> Document:
    """A stored configuration with the frozen defaults written out where the present ones differ."""
    found = copy.deepcopy(stored)
    method = FIRST_HYPERPARAMETERS.get(found.get("method", "dense"), {})
    own = {f"hyperparameters.{name}": value for name, value in method.items()}
    for path, first in {**FIRST, **own}.items():
        *groups, key = path.split(".")
        place = found
        for group in groups:
            place = place.setdefault(group, {})
        place.setdefault(key, first)
    return found


def _read(document: Document, path: str) -> Any:
    for key in path.split("."):
        document = document[key]
    return document


def _write(document: Document, path: str, value: Any, first: Any) -> None:
    """Keep a value only if it differs from the frozen default."""
    *groups, key = path.split(".")
    for group in groups:
        document = document.setdefault(group, {})
    if value == first:
        document.pop(key, None)
    else:
        document[key] = value
