"""Means and differences with 95 % t intervals and p-values.

Student's t distribution is that of scipy.special, which loads in a tenth of the time of scipy.stats; what is
built on it are the textbook formulas, which scipy.stats has as ttest_1samp, ttest_rel and ttest_ind.
"""

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import NormalDist, fmean, variance
from typing import NamedTuple

from hsl.errors import HslError

CONFIDENCE = 0.95

_ROUNDING = 1e-9
"""Accuracies closer than this are the same number of samples, counted in floating point."""


class Interval(NamedTuple):
    """A mean with its confidence interval.

    Attributes:
        mean: Mean of the values.
        low: Lower end; None, like `high`, where there are too few values for an interval.
        n: Number of values.
    """

    mean: float
    low: float | None
    high: float | None
    n: int


class Difference(NamedTuple):
    """A difference of two means with its confidence interval.

    Attributes:
        difference: First mean minus second; over the pairs only, where it is paired.
        low: Lower end; None, like `high`, where there are too few values for an interval.
        n: Number of pairs, or the size of the smaller sample.
        kind: "paired", "unpaired", or "point" where there is no interval.
        p: Two-sided p-value of no difference; None where there is no interval, or where the values do not
            vary although they differ, so that a t test says nothing.
    """

    difference: float
    low: float | None
    high: float | None
    n: int
    kind: str
    p: float | None = None


def mean_interval(values: Sequence[float], level: float = CONFIDENCE) -> Interval:
    """Mean and t interval of independent values; a single value has an interval without ends.

    Args:
        values: At least one finite number, for example the accuracy of each seed.
        level: Of confidence, in (0, 1).

    Raises:
        HslError: If there is no value.
    """
    _require(values)
    mean, n = fmean(values), len(values)
    if n < 2:
        return Interval(mean, None, None, n)
    half = _half_width(sqrt(variance(values) / n), n - 1, level)
    return Interval(mean, mean - half, mean + half, n)


def paired_difference(
    a: Mapping[int, float], b: Mapping[int, float], level: float = CONFIDENCE
) -> Difference:
    """Mean of `a` minus mean of `b` with a 95 % t interval, paired by seed where it can be.

    Two or more shared seeds are compared pair by pair, which takes out what a seed does to both; seeds of one
    side only are then left out. Otherwise it is Welch's interval for independent samples of unequal variance.

    Args:
        a: Value of each seed, at least one.
        b: As `a`.
        level: Of confidence of the interval, as of `one_sample`.

    Returns:
        The difference; a "point" without ends where a side has a single value and less than two seeds are
        shared.

    Raises:
        HslError: If a side has no value.
    """
    _require(a)
    _require(b)
    shared = sorted(a.keys() & b.keys())
    if len(shared) >= 2:
        found = one_sample([a[seed] - b[seed] for seed in shared], level=level)
        return found._replace(
            difference=fmean(a[seed] for seed in shared) - fmean(b[seed] for seed in shared)
        )
    return _unpaired(list(a.values()), list(b.values()), level)


def one_sample(values: Sequence[float], expected: float = 0.0, level: float = CONFIDENCE) -> Difference:
    """Mean of `values` with a 95 % t interval, and the t test of whether it is `expected`.

    Args:
        values: At least one finite number, for example the difference of each seed.
        expected: Mean under the null hypothesis.
        level: Of confidence of the interval, above 95 % where seeds were added until the result was clear (see
            `hsl.results.sequential`); the p-value is enlarged alike, so that 0.05 decides in any case.

    Returns:
        The mean as a "paired" difference; a "point" without ends for a single value.

    Raises:
        HslError: If there is no value.
    """
    mean, low, high, n = mean_interval(values, level)
    if low is None:
        return Difference(mean, None, None, n, "point")
    p = _p_value(mean - expected, sqrt(variance(values) / n), n - 1, _spread(values))
    return Difference(mean, low, high, n, "paired", _enlarged(p, level))


def _unpaired(a: Sequence[float], b: Sequence[float], level: float) -> Difference:
    """Welch's test, with the degrees of freedom of Welch and Satterthwaite."""
    difference, n = fmean(a) - fmean(b), min(len(a), len(b))
    if n < 2:
        return Difference(difference, None, None, n, "point")
    shares = [variance(side) / len(side) for side in (a, b)]
    if not sum(shares):
        p = _p_value(difference, 0.0, 1, 0.0)
        return Difference(difference, difference, difference, n, "unpaired", p)
    weights = [share / sum(shares) for share in shares]  # divided first: tiny shares have no squares
    freedom = 1 / sum(w**2 / (len(side) - 1) for w, side in zip(weights, (a, b), strict=True))
    error = sqrt(sum(shares))
    half = _half_width(error, freedom, level)
    p = _enlarged(_p_value(difference, error, freedom, _spread(a) + _spread(b)), level)
    return Difference(difference, difference - half, difference + half, n, "unpaired", p)


def wilson_interval(successes: int, trials: int, level: float = CONFIDENCE) -> tuple[float, float]:
    """Wilson's interval of a share (Journal of the American Statistical Association 22, 1927).

    Args:
        successes: From 0 to `trials`.
        trials: At least 1.
        level: Of confidence, in (0, 1).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    share, weight = successes / trials, z**2 / trials
    middle = share + weight / 2
    half = sqrt(weight * (share * (1 - share) + weight / 4))
    low, high = ((middle + end) / (1 + weight) for end in (-half, half))
    return (low if successes else 0.0), (high if successes < trials else 1.0)


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number by Benjamini-Hochberg, as scipy.stats.false_discovery_control does.

    It bounds the expected share of false claims among all claims, and where nothing differs anywhere the
    chance of any (Benjamini and Hochberg, Journal of the Royal Statistical Society B 57, 1995).

    Args:
        p_values: In [0, 1]; None where nothing was tested, which is not counted.
    """
    ranked = sorted((p, index) for index, p in enumerate(p_values) if p is not None)
    corrected, lowest = list(p_values), 1.0
    for rank, (p, index) in reversed(list(enumerate(ranked, start=1))):
        corrected[index] = lowest = min(lowest, p * len(ranked) / rank)
    return corrected


def _half_width(error: float, freedom: float, level: float) -> float:
    """Half the width of the t interval of an estimate with this standard error."""
    from scipy.special import stdtrit  # noqa: PLC0415 (commands without statistics need not load it)

    return float(stdtrit(freedom, (1 + level) / 2)) * error


def _p_value(difference: float, error: float, freedom: float, spread: float) -> float | None:
    """Two-sided p-value of a t test; None where the values do not vary although they differ."""
    if spread <= _ROUNDING:
        return 1.0 if abs(difference) <= _ROUNDING else None
    from scipy.special import stdtr  # noqa: PLC0415

    return float(2 * stdtr(freedom, -abs(difference) / error))


def _enlarged(p: float | None, level: float) -> float | None:
    """The p-value scaled by (1 - 0.95) / (1 - `level`)."""
    return None if p is None else min(1.0, p * (1 - CONFIDENCE) / (1 - level))


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _require(values: Sequence[float] | Mapping[int, float]) -> None:
    if not values:
        raise HslError("no values to average; give at least one")
