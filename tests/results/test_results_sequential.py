"""Repeated looks: published constants, coverage and false positives by simulation, and that stopping saves seeds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from results_rows import cell_row, filled, trial_row
from scipy import stats

from hsl.errors import HslError
from hsl.results.best import best
from hsl.results.sequential import confidence_of_looks, is_decided
from hsl.results.stats import Interval, mean_interval, paired_difference

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
    found = mean_interval(values, 0.97)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    other = dict(enumerate([0.80, 0.85, 0.81, 0.83]))
    pairs = stats.ttest_rel(values, list(other.values())).confidence_interval(0.97)
    paired = paired_difference(dict(enumerate(values)), other, 0.97)
    assert (paired.low, paired.high) == pytest.approx((pairs.low, pairs.high))
    welch = stats.ttest_ind(values, list(other.values()), equal_var=False).confidence_interval(0.97)
    unpaired = paired_difference(dict(enumerate(values)), {seed + 9: v for seed, v in other.items()}, 0.97)
    assert (unpaired.low, unpaired.high) == pytest.approx((welch.low, welch.high))
    assert mean_interval([0.5], 0.97) == Interval(0.5, None, None, 1)


def stopped(values: np.ndarray, confidence: float, width: float | None, clear: bool) -> Interval:
    """The interval at the look where a confirmation stops."""
    for look in LOOKS:
        interval = mean_interval(values[:look].tolist(), confidence)
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


def test_best_widens_intervals_where_seeds_were_added_until_it_was_clear(tmp_path: Path) -> None:
    rows = [
        trial_row(
            cell=cell,
            configuration_id=cell,
            stage="confirm",
            seed=seed,
            test_matched_accuracy=value + 0.01 * seed * seed,
            method=method,
            sparsity=sparsity,
        )
        for cell, method, sparsity, value in [
            ("clean/0.9", "set", 0.9, 0.5),
            ("clean/dense", "dense", 0.0, 0.4),
        ]
        for seed in (1, 2, 3, 4)
    ]
    for row in rows:
        if row["method"] == "dense":
            row["test_matched_accuracy"] -= 0.02 * (row["seed"] % 2)
    cells = [cell_row(), cell_row(cell="clean/dense", baseline=True)]
    plain = best(filled(tmp_path / "a", rows, cells), ["cell"]).to_pylist()
    wide = best(filled(tmp_path / "b", rows, [c | {"confidence": 0.99} for c in cells]), ["cell"]).to_pylist()
    values = [0.51, 0.54, 0.59, 0.66]
    for table, confidence in ((plain, 0.95), (wide, 0.99)):
        (sparse,) = [row for row in table if not row["baseline"]]
        expected = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
        assert (sparse["test_low"], sparse["test_high"]) == pytest.approx((expected.low, expected.high))
        gain = stats.ttest_1samp([0.12, 0.10, 0.12, 0.10], 0.0).confidence_interval(confidence)
        assert (sparse["difference_low"], sparse["difference_high"]) == pytest.approx((gain.low, gain.high))


def test_the_level_is_the_quantile_of_a_hundred_thousand_seeded_draws() -> None:
    """All of them at once, their t statistics and p-values by scipy."""
    values = np.random.default_rng(20241107).standard_normal((100_000, 5))
    smallest = np.min([stats.ttest_1samp(values[:, :look], 0.0, axis=1).pvalue for look in (3, 4, 5)], axis=0)
    assert 1 - confidence_of_looks((3, 4, 5)) == pytest.approx(np.quantile(smallest, 0.05), rel=1e-9)
    assert 1 - confidence_of_looks((3, 4, 5), 0.9) == pytest.approx(np.quantile(smallest, 0.1), rel=1e-9)


@pytest.mark.parametrize(
    ("low", "high", "width", "clear", "decided"),
    [
        (0.0, 0.25, 0.25, False, True),
        (0.0, 0.25, 0.24, False, False),
        (0.0, 0.25, None, False, False),
        (0.0, 0.25, None, True, False),
        (-0.25, 0.0, None, True, False),
        (0.01, 0.25, None, True, True),
        (-0.25, -0.01, None, True, True),
        (0.01, 0.25, None, False, False),
        (0.01, 0.25, 0.01, True, True),
        (-0.25, 0.25, 0.01, True, False),
        (None, 0.25, 9.0, True, False),
        (0.25, None, 9.0, True, False),
        (None, None, 0.01, False, True),  # do not vary: as narrow as can be
        (None, None, None, True, False),  # and show no difference
    ],
)
def test_when_no_more_values_are_needed(
    low: float | None, high: float | None, width: float | None, clear: bool, decided: bool
) -> None:
    assert is_decided(Interval(0.1, low, high, 5), width, clear) is decided


def test_two_values_are_never_enough() -> None:
    assert not is_decided(Interval(0.1, None, None, 2), 9.0, clear=True)


def test_the_smallest_looks() -> None:
    assert confidence_of_looks((2,)) == 0.95
    assert confidence_of_looks((2,), 0.8) == 0.8
    assert confidence_of_looks((2, 3)) > 0.95
    with pytest.raises(HslError, match=r"looks \(1,\): give numbers of values that rise, from 2"):
        confidence_of_looks((1,))
