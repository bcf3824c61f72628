import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from hsl.errors import HslError
from hsl.results.stats import (
    ALIKE,
    EQUAL,
    FEW,
    GAIN,
    SHARE,
    adjusted,
    mean_interval,
    one_sample,
    paired_difference,
    verdict,
)

VALUES = st.lists(st.floats(0, 1), min_size=3, max_size=10).filter(
    lambda values: max(values) - min(values) > 1e-6
)

# Two-sided 95 % quantiles of Student's t, from the printed table.
T_4, T_2 = 2.776, 4.303


def test_interval_of_a_worked_example():
    found = mean_interval([1.0, 2.0, 3.0, 4.0, 5.0])
    half = T_4 * math.sqrt(2.5 / 5)
    assert found == (3.0, pytest.approx(3 - half, abs=1e-3), pytest.approx(3 + half, abs=1e-3), 5)


@given(values=VALUES)
def test_interval_is_that_of_the_t_distribution(values):
    found = mean_interval(values)
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / math.sqrt(len(values))
    mean = np.mean(values)
    assert found == pytest.approx((mean, mean - half, mean + half, len(values)), abs=1e-9)


def test_single_value_has_no_interval():
    assert mean_interval([0.5]) == (0.5, None, None, 1)


def test_two_values_and_values_that_do_not_vary_have_no_interval():
    """Two seeds, 0.50 and 0.55, gave [-114.9, 219.3] %, and equal ones [0.1, 0.1]."""
    assert mean_interval([0.50, 0.55]) == (0.525, None, None, 2)
    assert mean_interval([0.9, 0.9, 0.9]) == (pytest.approx(0.9), None, None, 3)
    assert mean_interval([0.1 + 0.2, 0.3, 0.3])[1:] == (None, None, 3)


@given(values=VALUES)
def test_an_interval_of_accuracies_ends_where_accuracies_do(values):
    whole, cut = mean_interval(values), mean_interval(values, within=SHARE)
    assert (cut.low, cut.high) == (max(whole.low, 0.0), min(whole.high, 1.0))
    assert 0 <= cut.low <= cut.mean <= cut.high <= 1
    a, b = dict(enumerate(values)), dict.fromkeys(range(100, 103), 0.5)
    found = paired_difference(a, b, within=GAIN)
    assert -1 <= found.low <= found.difference <= found.high <= 1


@given(values=st.lists(st.sampled_from([0.1, 0.2, 0.2000000001, 0.5]), min_size=1, max_size=5))
def test_an_interval_and_a_verdict_are_there_together(values):
    found = one_sample(values)
    said = verdict(found.difference, found.n, found.p, "better", "worse")
    assert (found.low is None) == (found.withheld is not None) == (said in (FEW, ALIKE))
    assert found.withheld in (None, said)


def test_sides_that_are_equal_throughout_show_no_difference():
    found = one_sample([0.0, 0.0, 0.0])
    assert (found.low, found.p, found.withheld) == (None, 1.0, EQUAL)


@pytest.mark.parametrize("act", [lambda: mean_interval([]), lambda: paired_difference({}, {1: 0.5})])
def test_nothing_to_average(act):
    with pytest.raises(HslError, match="at least one"):
        act()


def test_interval_covers_the_true_mean_as_often_as_it_says():
    samples = np.random.default_rng(0).normal(0.7, 0.02, (1000, 5))
    covered = sum(low <= 0.7 <= high for _, low, high, _ in map(mean_interval, samples.tolist()))
    assert 0.93 < covered / 1000 < 0.97  # three standard errors around 0.95


def test_shared_seeds_are_paired():
    a = {1: 0.75, 2: 0.50, 3: 0.625}
    b = {1: 0.50, 2: 0.25, 3: 0.25}
    found = paired_difference(a, b)  # differences 0.25, 0.25, 0.375
    half = T_2 * np.std([0.25, 0.25, 0.375], ddof=1) / math.sqrt(3)
    mean = 0.875 / 3
    expected = (mean, mean - half, mean + half, 3, "paired")
    assert found[:4] == pytest.approx(expected[:4], abs=1e-4)
    assert found.kind == "paired"


def test_seeds_of_one_side_are_left_out_of_pairs():
    a, b = {1: 0.5, 2: 0.6, 3: 0.9}, {1: 0.4, 2: 0.5, 4: 0.0}
    assert paired_difference(a, b) == (pytest.approx(0.1), None, None, 2, "paired", None)


@given(a=VALUES, b=VALUES)
def test_other_seeds_are_compared_by_welch(a, b):
    found = paired_difference(dict(enumerate(a)), dict(enumerate(b, start=100)))
    va, vb = np.var(a, ddof=1) / len(a), np.var(b, ddof=1) / len(b)
    assert found.kind == "unpaired"
    assert found.n == min(len(a), len(b))
    assert found.difference == pytest.approx(np.mean(a) - np.mean(b))
    if va + vb > 1e-12:
        df = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
        half = stats.t.ppf(0.975, df) * math.sqrt(va + vb)
        assert found.high - found.low == pytest.approx(2 * half, rel=1e-6)


@pytest.mark.parametrize("b", [{1: 0.25}, {2: 0.25}, {2: 0.5, 3: 0.0}])
def test_one_seed_gives_a_point(b):
    assert paired_difference({1: 0.5}, b) == (0.25, None, None, 1, "point", None)


def test_pairing_takes_out_what_the_seeds_share():
    generator = np.random.default_rng(1)
    shared = generator.normal(0, 0.1, 5)
    a = {seed: 0.6 + value + generator.normal(0, 0.01) for seed, value in enumerate(shared.tolist())}
    b = {seed: 0.5 + value for seed, value in enumerate(shared.tolist())}
    paired, unpaired = paired_difference(a, b), paired_difference(a, {k + 10: v for k, v in b.items()})
    assert paired.low > 0 > unpaired.low


def test_p_value_of_a_worked_example():
    found = paired_difference({1: 0.2, 2: 0.4, 3: 0.6}, {1: 0.1, 2: 0.2, 3: 0.3})
    t = 0.2 / (0.1 / math.sqrt(3))  # differences 0.1, 0.2, 0.3
    assert found.p == pytest.approx(1 - t / math.sqrt(2 + t**2))  # closed form for two degrees of freedom


def test_equal_sides_differ_by_chance_alone():
    values = {1: 0.5, 2: 0.6, 3: 0.7}
    assert paired_difference(values, values).p == 1.0


@pytest.mark.parametrize("shift", [0, 10])  # the same seeds, other seeds
def test_constant_difference_has_no_p_value(shift):
    a = dict.fromkeys((1, 2, 3), 0.9)
    assert paired_difference(a, dict.fromkeys((1 + shift, 2 + shift, 3 + shift), 0.8)).p is None


def test_correction_of_a_worked_example():
    found = adjusted([0.01, None, 0.04, 0.03])
    assert found[1] is None
    assert [p for p in found if p is not None] == pytest.approx([0.03, 0.04, 0.04])


def test_nothing_to_correct():
    assert adjusted([None]) == [None]


def test_family_of_true_nulls_is_rarely_rejected():
    draws = np.random.default_rng(3).normal(0, 0.01, (1000, 4, 5))
    values = stats.ttest_1samp(draws, 0.0, axis=2).pvalue
    rejected = sum(min(p for p in adjusted(row) if p is not None) < 0.05 for row in values.tolist())
    assert rejected / 1000 <= 0.06
