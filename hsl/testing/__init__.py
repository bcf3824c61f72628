"""Conformance suites for authors of plug-ins: each check raises an AssertionError that says what does not hold.

An error that the plug-in itself raises comes through as it is.

A test of your own is one line, for example ``check_method("my_package.methods:MINE")``; the package's own entries
pass the same checks. Names may be references ``package.module:attr`` everywhere.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hsl.testing.data import (
        check_attack,
        check_corruption,
        check_dataset,
        check_model,
        check_score,
        check_selection,
    )
    from hsl.testing.methods import check_distribution, check_method
    from hsl.testing.searching import check_early_stopping, check_sampler

_HOMES = {
    "check_attack": "hsl.testing.data",
    "check_corruption": "hsl.testing.data",
    "check_dataset": "hsl.testing.data",
    "check_distribution": "hsl.testing.methods",
    "check_early_stopping": "hsl.testing.searching",
    "check_method": "hsl.testing.methods",
    "check_model": "hsl.testing.data",
    "check_sampler": "hsl.testing.searching",
    "check_score": "hsl.testing.data",
    "check_selection": "hsl.testing.data",
}

__all__ = [
    "check_attack",
    "check_corruption",
    "check_dataset",
    "check_distribution",
    "check_early_stopping",
    "check_method",
    "check_model",
    "check_sampler",
    "check_score",
    "check_selection",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
