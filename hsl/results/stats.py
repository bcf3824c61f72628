"""Means and differences with 95 % t intervals and p-values: one rule for every answer.

Seeds are the sample: an interval says how results vary with the seed of the training (initialisation, order, masks), on
one fixed split and one fixed test set. It says nothing about other test samples (see `hsl.results.crossed`) or another
split. Below `MINIMUM_SEEDS`
values, and where values do not vary, there is neither interval nor p-value. An interval of accuracies ends where
accuracies do.

Student's t distribution is that of scipy.special, which loads in a tenth of the time of scipy.stats; what is
built on it are the textbook formulas, which scipy.stats has as ttest_1samp, ttest_rel and ttest_ind.
"""

from collections.abc import Mapping, Sequence
from math import inf, sqrt
from statistics import NormalDist, fmean, variance
from typing import NamedTuple

from hsl.errors import HslError

CONFIDENCE = 0.95

CHOSEN = "allow for the choice: they hold for all of the confirmed candidates together (Bonferroni)"
"""What intervals of what was chosen among several do."""

COVERS = "over training seeds on one fixed split and test set"
"""What the intervals of accuracies cover, in one phrase for captions."""

COVERS_SAMPLES = "over training seeds and test samples, on one fixed split"
"""What those cover for which a store keeps the predictions of test samples."""

SHARE, GAIN = (0.0, 1.0), (-1.0, 1.0)
"""Ranges of accuracies, and of differences of them."""

Range = tuple[float, float]

SIGNIFICANCE = 0.05
MINIMUM_SEEDS = 3
"""Fewer seeds have neither an interval nor a verdict, in any answer, even with a small p-value."""

FEW, ALIKE, EQUAL = "not enough seeds", "seeds do not vary", "no difference shown"
"""Why there is no verdict; the first two have no interval either."""

_ROUNDING = 1e-9
"""Accuracies closer than this are the same number of samples, counted in floating point."""


class Interval(NamedTuple):
    """A mean with its confidence interval.

    Attributes:
        mean: Mean of the values.
        low: Lower end; None, like `high`, where there are too few values for an interval, or they do not vary.
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
        low: Lower end; None, like `high`, where there are too few values for an interval, or they do not vary.
        n: Number of pairs, or the size of the smaller sample.
        kind: "paired" or "unpaired"; "point" where a side has a single value that is not shared.
        p: Two-sided p-value of no difference; None where there is no interval, 1 if the sides are equal throughout.
    """

    difference: float
    low: float | None
    high: float | None
    n: int
    kind: str
    p: float | None = None

    @property
    def withheld(self) -> str | None:
        """Why it has no interval, as `verdict` says it: `FEW`, `ALIKE` or, of equal sides, `EQUAL`; else None."""
        if self.n < MINIMUM_SEEDS:
            return FEW
        if self.low is not None:
            return None
        return ALIKE if self.p is None else EQUAL


def mean_interval(
    values: Sequence[float], level: float = CONFIDENCE, within: Range | None = None
) -> Interval:
    """Mean and t interval of independent values; without ends below `MINIMUM_SEEDS`, or if they do not vary.

    Args:
        values: At least one finite number, for example the accuracy of each seed.
        level: Of confidence, in (0, 1).
        within: Lowest and highest possible mean, at which the interval ends.

    Raises:
        HslError: If there is no value.
    """
    _require(values)
    mean, n = fmean(values), len(values)
    if n < MINIMUM_SEEDS or _spread(values) <= _ROUNDING:
        return Interval(mean, None, None, n)
    return Interval(mean, *_ends(mean, sqrt(variance(values) / n), n - 1, level, within), n)


def paired_difference(
    a: Mapping[int, float], b: Mapping[int, float], level: float = CONFIDENCE, within: Range | None = None
) -> Difference:
    """Mean of `a` minus mean of `b` with a 95 % t interval, paired by seed where it can be.

    Two or more shared seeds are compared pair by pair, which takes out what a seed does to both; seeds of one
    side only are then left out. Otherwise it is Welch's interval for independent samples of unequal variance.

    Args:
        a: Value of each seed, at least one.
        b: As `a`.
        level: Of confidence of the interval, as of `one_sample`.
        within: Lowest and highest possible difference, at which the interval ends.

    Returns:
        The difference; a "point" where a side has a single value and less than two seeds are shared.

    Raises:
        HslError: If a side has no value.
    """
    _require(a)
    _require(b)
    shared = sorted(a.keys() & b.keys())
    if len(shared) >= 2:
        found = one_sample([a[seed] - b[seed] for seed in shared], level=level, within=within)
        return found._replace(
            difference=fmean(a[seed] for seed in shared) - fmean(b[seed] for seed in shared)
        )
    return _unpaired(list(a.values()), list(b.values()), level, within)


def level_of_chosen(level: float, candidates: int) -> float:
    """Confidence of intervals for what was chosen among several, so that those of all candidates hold together.

    The interval of the chosen one, however it was chosen, then misses with at most the promised probability
    (Bonferroni).

    Args:
        level: Of confidence of an interval of one that was not chosen, in (0, 1).
        candidates: Among how many it was chosen; 0 and 1 choose nothing.
    """
    return 1 - (1 - level) / max(candidates, 1)


def one_sample(
    values: Sequence[float], expected: float = 0.0, level: float = CONFIDENCE, within: Range | None = None
) -> Difference:
    """Mean of `values` with a 95 % t interval, and the t test of whether it is `expected`.

    Args:
        values: At least one finite number, for example the difference of each seed.
        expected: Mean under the null hypothesis.
        level: Of confidence of the interval, above 95 % where seeds were added until the result was clear (see
            `hsl.results.sequential`), or for what was chosen (see `level_of_chosen`); the p-value is enlarged alike,
            so that 0.05 decides in any case.
        within: Lowest and highest possible mean, at which the interval ends.

    Returns:
        The mean as a "paired" difference; a "point" for a single value.

    Raises:
        HslError: If there is no value.
    """
    mean, low, high, n = mean_interval(values, level, within)
    if low is None:
        return _without_interval(mean, mean - expected, n, "paired")
    p = _p_value(mean - expected, sqrt(variance(values) / n), n - 1)
    return Difference(mean, low, high, n, "paired", _enlarged(p, level))


def _unpaired(a: Sequence[float], b: Sequence[float], level: float, within: Range | None) -> Difference:
    """Welch's test, with the degrees of freedom of Welch and Satterthwaite."""
    difference, n = fmean(a) - fmean(b), min(len(a), len(b))
    if n < MINIMUM_SEEDS or max(_spread(a), _spread(b)) <= _ROUNDING:
        return _without_interval(difference, difference, n, "unpaired")
    shares = [variance(side) / len(side) for side in (a, b)]
    weights = [share / sum(shares) for share in shares]  # divided first: tiny shares have no squares
    freedom = 1 / sum(w**2 / (len(side) - 1) for w, side in zip(weights, (a, b), strict=True))
    error = sqrt(sum(shares))
    p = _enlarged(_p_value(difference, error, freedom), level)
    return Difference(difference, *_ends(difference, error, freedom, level, within), n, "unpaired", p)


def _without_interval(difference: float, error: float, n: int, kind: str) -> Difference:
    """The difference of too few values, or of values that do not vary, `error` away from the null hypothesis."""
    is_equal = n >= MINIMUM_SEEDS and abs(error) <= _ROUNDING
    return Difference(difference, None, None, n, kind if n > 1 else "point", 1.0 if is_equal else None)


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


def _ends(
    estimate: float, error: float, freedom: float, level: float, within: Range | None
) -> tuple[float, float]:
    """The t interval of an estimate with this standard error, cut off at the ends of what is possible."""
    half = quantile(freedom, level) * error
    return within_range(estimate - half, estimate + half, within)


def quantile(freedom: float, level: float) -> float:
    """Of Student's t: half of an interval at this level, in standard errors."""
    from scipy.special import stdtrit  # noqa: PLC0415 (commands without statistics need not load it)

    return float(stdtrit(freedom, (1 + level) / 2))


def within_range(low: float, high: float, within: Range | None) -> tuple[float, float]:
    """The ends of an interval, cut off at the ends of what is possible."""
    lowest, highest = within or (-inf, inf)
    return max(low, lowest), min(high, highest)


def _p_value(difference: float, error: float, freedom: float) -> float:
    """Two-sided p-value of a t test."""
    from scipy.special import stdtr  # noqa: PLC0415

    return float(2 * stdtr(freedom, -abs(difference) / error))


def verdict(difference: float, seeds: int, p_adjusted: float | None, better: str, worse: str) -> str:
    """One of `FEW`, `ALIKE` and `EQUAL`, or which side is better: `better` where the difference is positive."""
    if seeds < MINIMUM_SEEDS:
        return FEW
    if p_adjusted is None:
        return ALIKE
    if p_adjusted >= SIGNIFICANCE:
        return EQUAL
    return better if difference > 0 else worse


def _enlarged(p: float, level: float) -> float:
    """The p-value scaled by (1 - 0.95) / (1 - `level`)."""
    return min(1.0, p * (1 - CONFIDENCE) / (1 - level))


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _require(values: Sequence[float] | Mapping[int, float]) -> None:
    if not values:
        raise HslError("no values to average; give at least one")
