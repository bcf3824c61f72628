"""Amounts in words."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from hsl.wording import amount, and_more, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *[(0, "0 s"), (0.254, "0.25 s"), (2.34, "2.34 s"), (5, "5 s"), (45.37, "45.4 s"), (89, "89 s")],
        *[(90, "1.5 min"), (600, "10 min"), (754, "12.6 min"), (5399, "90 min")],
        *[(5400, "1.5 h"), (7200, "2.0 h"), (100_000, "27.8 h")],
        *[(172_800, "2.0 d"), (8_640_000, "100.0 d")],
    ],
    ids=str,
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("budget", "value", "text"), [("wall_time", 7200, "2.0 h"), ("epochs", 30.0, "30"), ("cost", 1.5, "1.50")]
)
def test_amounts(budget: str, value: float, text: str) -> None:
    assert amount(budget, value) == text


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ("", ""),
        ("a", "a"),
        ("abc", "a, b, c"),
        ("abcd", "a, b, c and 1 more"),
        (range(9), "0, 1, 2 and 6 more"),
    ],
)
def test_first_names(names: Iterable[object], text: str) -> None:
    assert and_more(names, 3) == text
