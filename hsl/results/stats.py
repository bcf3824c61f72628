"""Means and differences with 95 % t intervals and p-values, computed by scipy.

scipy.stats is imported where it is used: it takes most of a second, which commands that need no interval
save.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from statistics import fmean
from typing import Any, NamedTuple

from hsl.errors import HslError

CONFIDENCE = 0.95

_ROUNDING = 1e-9
"""Accuracies closer than this are the same number of samples, counted in floating point."""


class Interval(NamedTuple):
    """A mean with its confidence interval.

    Attributes:
        mean: Mean of the values.
        low: Lower end; None where there are too few values for an interval.
        high: Upper end; None where `low` is.
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
        low: Lower end; None where there are too few values for an interval.
        high: Upper end; None where `low` is.
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


def mean_interval(values: Sequence[float]) -> Interval:
    """Mean and 95 % t interval of independent values.

    Args:
        values: At least one finite number, for example the accuracy of each seed.

    Returns:
        The interval; without ends for a single value.

    Raises:
        HslError: If there is no value.
    """
    _require(values)
    if len(values) < 2:
        return Interval(fmean(values), None, None, len(values))
    from scipy import stats  # noqa: PLC0415 (slow to import)

    with _nearly_equal_values():
        low, high = _ends(stats.ttest_1samp(values, 0.0))
    return Interval(fmean(values), low, high, len(values))


def paired_difference(a: Mapping[int, float], b: Mapping[int, float]) -> Difference:
    """Mean of `a` minus mean of `b` with a 95 % t interval, paired by seed where it can be.

    Two or more shared seeds are compared pair by pair, which takes out what a seed does to both; seeds of one
    side only are then left out. Otherwise it is Welch's interval for independent samples of unequal variance.

    Args:
        a: Seed to value, at least one.
        b: Seed to value, at least one.

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
        return _paired([a[seed] for seed in shared], [b[seed] for seed in shared])
    return _unpaired(list(a.values()), list(b.values()))


def _paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    from scipy import stats  # noqa: PLC0415 (slow to import)

    with _nearly_equal_values():
        test = stats.ttest_rel(a, b)
        low, high = _ends(test)
    p = _p_value(test, _spread([x - y for x, y in zip(a, b, strict=True)]), fmean(a) - fmean(b))
    return Difference(fmean(a) - fmean(b), low, high, len(a), "paired", p)


def _unpaired(a: Sequence[float], b: Sequence[float]) -> Difference:
    difference, n = fmean(a) - fmean(b), min(len(a), len(b))
    if n < 2:
        return Difference(difference, None, None, n, "point")
    from scipy import stats  # noqa: PLC0415 (slow to import)

    with _nearly_equal_values():
        test = stats.ttest_ind(a, b, equal_var=False)
        low, high = _ends(test)
    return Difference(
        difference, low, high, n, "unpaired", _p_value(test, _spread(a) + _spread(b), difference)
    )


def adjusted(p_values: Sequence[float | None]) -> list[float | None]:
    """p-values corrected for their number: Benjamini-Hochberg, as scipy.stats.false_discovery_control.

    It bounds the expected share of false claims among all claims, and where nothing differs anywhere the
    chance of any (Benjamini and Hochberg, Journal of the Royal Statistical Society B 57, 1995).

    Args:
        p_values: In [0, 1]; None where nothing was tested, which is not counted.
    """
    tested = [p for p in p_values if p is not None]
    if not tested:
        return list(p_values)
    from scipy import stats  # noqa: PLC0415 (slow to import)

    corrected = iter(stats.false_discovery_control(tested, method="bh").tolist())
    return [None if p is None else next(corrected) for p in p_values]


def _p_value(test: Any, spread: float, difference: float) -> float | None:
    if spread > _ROUNDING:
        return float(test.pvalue)
    return 1.0 if abs(difference) <= _ROUNDING else None


def _spread(values: Sequence[float]) -> float:
    return max(values) - min(values)


def _ends(test: Any) -> tuple[float, float]:
    interval = test.confidence_interval(CONFIDENCE)
    return float(interval.low), float(interval.high)


@contextmanager
def _nearly_equal_values() -> Iterator[None]:
    """On small test sets seeds may agree to the last digit; scipy then warns and is right all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        yield


def _require(values: Sequence[float] | Mapping[int, float]) -> None:
    if not values:
        raise HslError("no values to average; give at least one")
