"""Stored form and identity of a configuration: its differences from the defaults of version 0.1, for ever.

Defaults may change. Trials under an old one keep their identity, and trials under a new one get another: both are
written relative to the same, frozen defaults. A change of a default that determines a result adds the former value
here.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from hsl.hardness.registries import TRAININGS
from hsl.hardness.schema.keep import UNRANKED
from hsl.sparsity.methods import scored_source

Document = dict[str, Any]

FIRST_VERSION = "0.1"

FIRST: dict[str, Any] = {
    "init": "sparse",
    "regime.keep.ties": "id",
    "regime.keep.precision": "single",
    "regime.attack.at_bounds": "clamp",
    "layers.ties": "index",
}
"""Path -> value of version 0.1, of every default of a configuration that has changed since: ``training.lr: 0.1``."""

FIRST_OF_EVALUATION: dict[str, Any] = {
    "evaluation.deciles.ties": "id",
    "evaluation.deciles.precision": "single",
}
"""The same of a space alone: of its section ``evaluation``, which is no part of a configuration."""


@dataclass(frozen=True)
class Owner:
    """The value with which an option is there.

    Attributes:
        path: Its path; version 0.1 stored it too.
        has: Whether such a value has the option; called with None where there is none.
    """

    path: str
    has: Callable[[Any], bool]


def _ranks(score: Any) -> bool:
    return score not in (None, UNRANKED)


def _takes(option: str, attack: Any) -> bool:
    return isinstance(attack, str) and attack in TRAININGS and option in TRAININGS.facts(attack).options


OWNERS: dict[str, Owner] = {
    "regime.keep.ties": Owner("regime.keep.by", _ranks),
    "regime.keep.precision": Owner("regime.keep.by", _ranks),
    "regime.attack.at_bounds": Owner("regime.attack.name", partial(_takes, "at_bounds")),
    "evaluation.deciles.ties": Owner("evaluation.deciles.by", _ranks),
    "evaluation.deciles.precision": Owner("evaluation.deciles.by", _ranks),
}
"""Path of an option that is not always there -> the value with which it is."""

OWNERS_IN_CONFIGURATION: dict[str, Owner] = {
    "layers.ties": Owner("sparsity", lambda value: value is not None)
}
"""The same of a section that every space has, and not every configuration: a dense one takes no layers."""

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
    for path, first in _frozen(method, given.get("distribution")).items():
        if _is_there(given, path, OWNERS | OWNERS_IN_CONFIGURATION):
            value = value_at(given, path)
            _write(given, path, value_of(path) if value is None else value, first)
    return {key: value for key, value in given.items() if value != {}}


def filled(stored: Document) -> Document:
    """A stored configuration with the frozen defaults written out where the present ones differ."""
    found = copy.deepcopy(stored)
    for path, first in _frozen(found.get("method", "dense"), found.get("distribution")).items():
        if value_at(stored, path) is None and _is_there(found, path, OWNERS | OWNERS_IN_CONFIGURATION):
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
    return {"defaults": FIRST_VERSION} | _with_frozen(stored, stored)


def former_space(space: Document, written: Document) -> Document:
    """A space with the frozen defaults in place of the present ones.

    Args:
        space: It, with every default written out.
        written: The part of it that its author has written, which stays.
    """
    return _with_frozen(space, written) | {"defaults": FIRST_VERSION}


def _with_frozen(space: Document, written: Document) -> Document:
    found = copy.deepcopy(space)
    for path, first in (FIRST | FIRST_OF_EVALUATION).items():
        for place, own in _places(path, found, written):
            if value_at(own, path) is None and _is_there(place, path, OWNERS):
                _fill(place, path, first)
    return found


def _places(path: str, space: Document, written: Document) -> Iterator[tuple[Document, Document]]:
    """Where a path of a space is looked up, in it or in each of its regimes, and the written part of that."""
    regimes, own = space.get("regimes"), written.get("regimes")
    if path.partition(".")[0] != "regime":
        yield space, written
    elif isinstance(regimes, dict) and isinstance(own, dict):
        yield from (({"regime": each}, {"regime": own.get(name)}) for name, each in regimes.items())


def without_first(given: Document, section: str) -> Document:
    """The values of a section of a space, for example ``evaluation.deciles``, that differ from the frozen defaults."""
    first = {path.removeprefix(f"{section}."): value for path, value in FIRST_OF_EVALUATION.items()}
    return {key: value for key, value in given.items() if key not in first or value != first[key]}


def value_at(document: Any, path: str) -> Any:
    """The value at a path; None where one of its groups is missing."""
    for key in path.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def _fill(document: Document, path: str, first: Any) -> None:
    """Write a frozen default."""
    *groups, key = path.split(".")
    for group in groups:
        document = document.setdefault(group, {})
    document[key] = first


def _is_there(document: Document, path: str, owners: Mapping[str, Owner]) -> bool:
    return path not in owners or owners[path].has(value_at(document, owners[path].path))


def _frozen(method: str, distribution: str | None) -> Document:
    """Path -> frozen default, of all that have changed of a configuration with this method and distribution."""
    source = scored_source(distribution) or ""
    own, of_ratios = former_hyperparameters(method), former_hyperparameters(source)
    return (
        FIRST
        | {f"hyperparameters.{name}": value for name, value in own.items()}
        | {f"ratios.{name}": value for name, value in of_ratios.items()}
    )


def _write(document: Document, path: str, value: Any, first: Any) -> None:
    """Keep a value only if it differs from the frozen default."""
    *groups, key = path.split(".")
    for group in groups:
        document = document.setdefault(group, {})
    if value == first:
        document.pop(key, None)
    else:
        document[key] = value
