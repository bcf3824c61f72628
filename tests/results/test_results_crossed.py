"""Intervals over seeds and test samples, in worlds whose true accuracy is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hsl.results.crossed import crossed_interval
from hsl.results.stats import GAIN, SHARE, one_sample

Worlds = dict[str, float]


def networks(
    rng: np.random.Generator, seeds: int, samples: int, accuracy: float, of_seed: float
) -> np.ndarray:
    """Two methods without a difference, bool [2, seeds, samples]: a seed and a sample do a part of it to both.

    A sample is correct where a normal number is above 0 that has a part of the seed, one of the sample and its own.
    """
    of_sample = 1.0
    level = stats.norm.ppf(accuracy) * np.sqrt(1 + of_seed**2 + of_sample**2)
    seed = (rng.normal(size=(2, seeds, 1)) + rng.normal(size=(1, seeds, 1))) / np.sqrt(2)
    sample = 0.3**0.5 * rng.normal(size=(2, 1, samples)) + 0.7**0.5 * rng.normal(size=(1, 1, samples))
    own = rng.normal(size=(2, seeds, samples))
    return (level + of_seed * seed + of_sample * sample + own > 0).astype(float)


def shares(worlds: int, seeds: int, samples: int, accuracy: float, of_seed: float) -> dict[str, float]:
    """Of worlds: those whose intervals hold the truth, and those in which one method is called better."""
    rng = np.random.default_rng(20241107)
    found = {"mean": 0, "difference": 0, "better": 0, "unpaired": 0}
    for _ in range(worlds):
        a, b = networks(rng, seeds, samples, accuracy, of_seed)
        low, high = crossed_interval([a], 0.95, SHARE) or (a.mean(), a.mean())
        found["mean"] += low <= accuracy <= high
        low, high = crossed_interval([a - b], 0.95, GAIN) or (0.0, 0.0)
        found["difference"] += low <= 0 <= high
        found["better"] += low > 0
        low, high = crossed_interval([a, -b], 0.95, GAIN) or (0.0, 0.0)
        found["unpaired"] += low <= 0 <= high
    return {name: count / worlds for name, count in found.items()}


def test_intervals_hold_the_truth_in_some_worlds() -> None:
    found = shares(400, 5, 300, 0.85, 0.1)
    assert 0.92 <= found["mean"] <= 0.975
    assert 0.92 <= found["difference"] <= 0.975
    assert found["unpaired"] >= 0.93, "which does not use that the seeds are the same"
    assert found["better"] <= 0.045


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seeds", "samples", "accuracy", "of_seed"),
    [(3, 360, 0.9, 0.1), (5, 360, 0.9, 0.0), (5, 360, 0.9, 0.3), (5, 2000, 0.6, 0.1), (10, 360, 0.95, 0.1)],
)
def test_intervals_hold_the_truth_in_many_worlds(
    seeds: int, samples: int, accuracy: float, of_seed: float
) -> None:
    found = shares(3000, seeds, samples, accuracy, of_seed)
    assert 0.925 <= found["mean"] <= 0.97, "near 1 the distribution is skew"
    assert 0.935 <= found["difference"] <= 0.97
    assert 0.015 <= found["better"] <= 0.035


def bootstrap(table: np.ndarray, draws: int, rng: np.random.Generator) -> np.ndarray:
    """Means of a table of drawn rows and columns (the pigeonhole bootstrap)."""
    rows, columns = table.shape
    weights = [rng.multinomial(n, np.full(n, 1 / n), size=draws) / n for n in (rows, columns)]
    return np.einsum("dr,rc,dc->d", weights[0], table, weights[1], optimize=True)


def test_with_many_seeds_it_is_the_bootstrap_over_both() -> None:
    rng = np.random.default_rng(1)
    a, b = networks(rng, 60, 400, 0.8, 0.4)
    low, high = crossed_interval([a - b], 0.95, GAIN) or (0.0, 0.0)
    expected = np.quantile(bootstrap(a - b, 3000, rng), [0.025, 0.975])
    assert (low, high) == pytest.approx(expected, abs=0.12 * (high - low))


@pytest.mark.slow
def test_the_bootstrap_over_both_is_too_narrow_for_five_seeds() -> None:
    rng, held = np.random.default_rng(2), 0
    for _ in range(600):
        (a, _) = networks(rng, 5, 360, 0.8, 0.4)
        low, high = np.quantile(bootstrap(a, 400, rng), [0.025, 0.975])
        held += low <= 0.8 <= high
    assert held / 600 < 0.92


@pytest.mark.parametrize("right", [180, 270, 324])
def test_of_networks_that_are_the_same_it_is_that_of_a_share(right: int) -> None:
    """All variance is that of the samples: what one network has."""
    correct = np.arange(360) < right
    low, high = crossed_interval([np.tile(correct, (5, 1)).astype(float)], 0.95, SHARE) or (0.0, 0.0)
    wilson = stats.binomtest(right, 360).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((wilson.low, wilson.high), abs=0.006)
    expected = stats.ttest_1samp(correct, 0).confidence_interval()
    assert (low, high) == pytest.approx((expected.low, expected.high))


def test_where_samples_do_not_differ_it_is_that_over_seeds() -> None:
    """Every sample is as hard as any other: what is left is noise, and seeds decide."""
    values = np.array([0.7, 0.72, 0.75, 0.69, 0.8])
    low, high = crossed_interval([np.tile(values[:, None], (1, 50))], 0.95, SHARE) or (0.0, 0.0)
    found = one_sample(values.tolist())
    assert (low, high) == pytest.approx((found.low, found.high))


TABLES = st.integers(0, 2**32 - 1).map(
    lambda seed: networks(np.random.default_rng(seed), 3 + seed % 4, 40, 0.7, 0.3 * (seed % 3))
)


@given(tables=TABLES)
@settings(max_examples=50, deadline=None)
def test_it_is_never_narrower_than_over_seeds_and_ignores_their_order(tables: np.ndarray) -> None:
    gains = tables[0] - tables[1]
    over_seeds = one_sample(gains.mean(1).tolist(), within=GAIN)
    found = crossed_interval([gains], 0.95, GAIN)
    if over_seeds.low is not None:
        assert found is not None
        assert found[0] <= over_seeds.low + 1e-12
        assert found[1] >= over_seeds.high - 1e-12
    if found is not None:
        assert crossed_interval([gains[::-1, ::-1]], 0.95, GAIN) == pytest.approx(found)
        assert crossed_interval([-gains], 0.95, GAIN) == pytest.approx((-found[1], -found[0]))


@pytest.mark.parametrize("table", [np.ones((5, 10)), np.eye(2), np.ones((4, 1))])
def test_what_does_not_vary_or_is_too_few_has_none(table: np.ndarray) -> None:
    assert crossed_interval([table], 0.95, SHARE) is None
