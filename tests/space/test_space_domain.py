"""Domains: how many values they have, and which."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from hsl.space.domain import LARGEST_GRID, Domain, has_duplicates, infinite_axes, within


def values(**given: Any) -> list[Any]:
    domain = Domain(**given)
    return [domain.value(index) for index in range(int(domain.size))]


def test_values_in_order() -> None:
    assert values(choice=("b", 1, None)) == ["b", 1, None]
    assert values(int=(3, 6)) == [3, 4, 5, 6]
    assert values(uniform=(0.5, 0.9), steps=5) == [0.5, 0.6, 0.7, 0.8, 0.9]
    assert values(loguniform=(0.01, 1.0), steps=3) == [0.01, 0.1, 1.0]
    assert values(uniform=(-1.0, 1.0), steps=2) == [-1.0, 1.0]


def test_sizes() -> None:
    assert Domain(uniform=(0.0, 1.0)).size == Domain(loguniform=(0.1, 1.0)).size == math.inf
    assert (Domain(choice=("a",)).size, Domain(int=(2, 3)).size) == (1, 2)
    domains = {
        "a": Domain(uniform=(0.0, 1.0)),
        "b": Domain(int=(1, 2)),
        "c": Domain(loguniform=(0.1, 1.0), steps=2),
    }
    assert infinite_axes(domains) == ["a"]


def test_bounds() -> None:
    assert Domain(choice=(1, 2)).bounds is None
    found = [Domain(**{kind: (1, 2)}).bounds for kind in ("uniform", "loguniform", "int")]
    assert found == [(1, 2)] * 3


def test_four_digits_within_the_bounds() -> None:
    assert within(0.123456, 0.0, 1.0) == 0.1235
    assert within(0.99996, 0.0, 0.99997) == 0.99997
    assert within(0.123449, 0.12346, 1.0) == 0.12346


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"choice": ()},
        {"choice": (1,), "int": (1, 2)},
        {"uniform": (1.0, 1.0)},
        {"int": (3, 2)},
        {"loguniform": (0.0, 1.0)},
        {"choice": (1, 1.0)},
        {"int": (1, 9), "steps": 3},
        {"choice": (1, 2), "steps": 2},
        {"uniform": (0.0, 1.0), "steps": 1},
        {"uniform": (0.0, 1.0), "steps": 10_001},
    ],
)
def test_what_is_no_domain(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Domain(**given)


def test_the_most_steps() -> None:
    assert Domain(uniform=(0.0, 1.0), steps=10_000).size == 10_000
    assert has_duplicates([1, "a", True]) and not has_duplicates([1, 2, "1"])


def test_the_largest_grid_that_is_laid_out() -> None:
    """A million combinations: their order is drawn in memory."""
    assert LARGEST_GRID == 1_000_000
