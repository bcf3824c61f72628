"""Rank correlation within groups: against scipy, against the published interval, and where it says nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from hsl.results.correlation import CONFIDENCE, Correlation, within_groups

Group = list[tuple[float, float]]
ROUGH: Group = [(1, 2), (2, 1), (3, 5), (4, 3), (5, 4), (5, 9), (0, 0)]


def interval(rho: float, freedom: int) -> tuple[float, float]:
    """Bonett and Wright 2000: tanh(atanh r -+ z sqrt((1 + r^2 / 2) / (n - 3)))."""
    width = stats.norm.ppf(0.975) * np.sqrt((1 + rho**2 / 2) / freedom)
    return np.tanh(np.arctanh(rho) - width), np.tanh(np.arctanh(rho) + width)


TIED: Group = [(1, 2), (1, 1), (1, 5), (4, 3), (5, 3), (5, 9), (0, 0)]


@pytest.mark.parametrize("group", [ROUGH, TIED])
def test_one_group_is_spearmans_correlation(group: Group) -> None:
    found = within_groups([group])
    assert found is not None
    assert found.rho == pytest.approx(stats.spearmanr(*zip(*group, strict=True)).statistic)
    assert (found.count, found.freedom) == (7, 4)
    assert (found.low, found.high) == pytest.approx(interval(found.rho, 4))


def test_ranks_are_counted_and_centred_within_groups() -> None:
    shifted = [(x + 100, y - 50) for x, y in ROUGH[::-1]]
    found, single = within_groups([ROUGH, shifted]), within_groups([ROUGH])
    assert found is not None and single is not None
    assert found.rho == pytest.approx(single.rho)
    assert (found.count, found.freedom) == (14, 10), "one for the second group, three for the interval"
    assert (found.low, found.high) == pytest.approx(interval(found.rho, 10))


def test_groups_of_one_pair_are_left_out() -> None:
    assert within_groups([ROUGH, [(3.0, 4.0)], []]) == within_groups([ROUGH])
    pair = within_groups([ROUGH, [(1.0, 2.0), (2.0, 1.0)]])
    assert pair is not None
    assert (pair.count, pair.freedom) == (9, 5)


@pytest.mark.parametrize(
    ("groups", "freedom"),
    [
        ([[(1, 1), (2, 2), (3, 3)]], None),
        ([[(1, 1), (2, 2), (3, 3), (4, 4)]], 1),
        ([[(1, 1), (2, 2)], [(1, 1), (2, 2)]], None),
        ([[(1, 1), (2, 2)], [(1, 1), (2, 2), (3, 3)]], 1),
        ([], None),
        ([[(1, 1)]], None),
        ([[(1, 1), (1, 2), (1, 3), (1, 4), (1, 5)]], None),
        ([[(1, 1), (2, 1), (3, 1), (4, 1), (5, 1)]], None),
    ],
)
def test_few_pairs_or_equal_ones_say_nothing(groups: list[Group], freedom: int | None) -> None:
    found = within_groups(groups)
    assert (None if found is None else found.freedom) == freedom


@pytest.mark.parametrize("sign", [1, -1])
def test_a_perfect_order_has_an_interval_all_the_same(sign: int) -> None:
    found = within_groups([[(x, sign * x) for x in range(20)]])
    assert found is not None
    assert found.rho == pytest.approx(sign)
    assert -1 <= found.low <= found.high <= 1
    assert math.isclose(abs(found.low), 1, abs_tol=1e-9) and math.isclose(abs(found.high), 1, abs_tol=1e-9)


def test_what_is_said_of_it() -> None:
    assert CONFIDENCE == 0.95
    assert Correlation(0.5, 0.1, 0.9, 9, 6).rho == 0.5
