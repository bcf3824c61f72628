"""Repeated looks: published constants, coverage and false positives by simulation, and that stopping saves seeds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from hsl.errors import HslError
from hsl.results.sequential import confidence_of_looks, is_decided, t_interval
from hsl.results.stats import Interval

LOOKS = tuple(range(3, 11))


@pytest.mark.parametrize(("count", "critical"), [(1, 1.960), (2, 2.178), (3, 2.289), (5, 2.413), (10, 2.555)])
def test_levels_are_those_of_pocock_where_the_variance_is_nearly_known(count: int, critical: float) -> None:
    """Jennison and Turnbull, Group Sequential Methods (2000), table 2.1, two-sided 5 %."""
    looks = [60 * (index + 1) for index in range(count)]
    assert 1 - confidence_of_looks(looks) == pytest.approx(2 * stats.norm.sf(critical), rel=0.03)


def test_more_looks_ask_for_more_confidence_and_a_single_one_for_none() -> None:
    levels = [confidence_of_looks(LOOKS[-count:]) for count in range(1, 9)]
    assert levels[0] == 0.95
    assert all(a < b for a, b in pairwise(levels))
    assert levels[-1] < 1 - 0.05 / 8  # less than what a sum over independent looks would ask for


@pytest.mark.parametrize("looks", [(), (1, 2), (3, 3), (4, 3)])
def test_looks_rise(looks: tuple[int, ...]) -> None:
    with pytest.raises(HslError, match="looks"):
        confidence_of_looks(looks)


def test_the_interval_is_that_of_scipy() -> None:
    values = [0.91, 0.93, 0.90, 0.95]
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.97)
    found = t_interval(values, 0.97)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert t_interval([0.5], 0.97) == Interval(0.5, None, None, 1)


def stopped(values: np.ndarray, confidence: float, width: float | None, clear: bool) -> Interval:
    """The interval at the look where a confirmation stops."""
    for look in LOOKS:
        interval = t_interval(values[:look].tolist(), confidence)
        if is_decided(interval, width, clear):
            break
    return interval


def draws(kind: str, shift: float, runs: int) -> np.ndarray:
    """Differences of accuracies on 360 test images, or of normal numbers of the same spread."""
    random = np.random.default_rng(7)
    if kind == "normal":
        return random.normal(shift, 0.02, (runs, LOOKS[-1]))
    shared = random.normal(0, 0.01, (runs, LOOKS[-1]))
    a, b = (random.binomial(360, np.clip(0.9 + shared + s, 0, 1)) / 360 for s in (shift, 0.0))
    return np.asarray(a - b)


FEW = 300
MANY = pytest.param(4000, marks=pytest.mark.slow)


@pytest.mark.parametrize("runs", [FEW, MANY])
@pytest.mark.parametrize("kind", ["normal", "accuracy"])
@pytest.mark.parametrize(("width", "clear"), [(None, True), (0.02, False), (0.02, True)])
def test_intervals_cover_whenever_one_stops(kind: str, width: float | None, clear: bool, runs: int) -> None:
    """Under no difference, a miss is a false claim that sparse is better or worse than dense."""
    level = confidence_of_looks(LOOKS)
    for shift in (0.0, 0.015):
        found = [stopped(row, level, width, clear) for row in draws(kind, shift, runs)]
        missed = np.mean([not (i.low or 0.0) <= shift <= (i.high or 0.0) for i in found])
        assert missed <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / runs)


def test_without_the_correction_false_claims_are_too_many() -> None:
    """The test above can fail: with plain 95 % intervals it does."""
    found = [stopped(row, 0.95, None, True) for row in draws("normal", 0.0, 1000)]
    assert np.mean([not (i.low or 0.0) <= 0 <= (i.high or 0.0) for i in found]) > 0.1


def test_clear_cases_need_few_seeds_and_unclear_ones_all() -> None:
    level = confidence_of_looks(LOOKS)
    clear = [stopped(row, level, None, True).n for row in draws("normal", 0.1, 200)]
    unclear = [stopped(row, level, None, True).n for row in draws("normal", 0.0, 200)]
    assert np.mean(clear) < 5.5
    assert np.mean(unclear) > 9.5
