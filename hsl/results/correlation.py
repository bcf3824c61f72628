"""Rank correlation within groups that must not be mixed. Pure."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from hsl.results.stats import CONFIDENCE

_CLOSE_TO_ONE = 1 - 1e-12


@dataclass(frozen=True)
class Correlation:
    """Spearman's rank correlation with its interval.

    Attributes:
        rho: Estimate in [-1, 1].
        low: Lower end of the interval, of 95 % by default.
        high: Upper end.
        count: Number of pairs.
        freedom: `count` less one for each further group and three for the interval.
    """

    rho: float
    low: float
    high: float
    count: int
    freedom: int


def within_groups(
    groups: Iterable[Sequence[tuple[float, float]]], level: float = CONFIDENCE
) -> Correlation | None:
    """Rank correlation of pairs within groups: ranks are counted, and centred, inside each group.

    With one group this is Spearman's correlation. The interval is Fisher's z with the variance of Bonett and Wright
    (Psychometrika 65, 2000), each further group costing one degree of freedom for its mean.

    Args:
        groups: Pairs of values; groups of one pair are left out.
        level: Of the interval, two-sided, in (0, 1).

    Returns:
        None where there are fewer than four pairs beyond one per further group, or nothing differs.
    """
    used = [np.asarray(group, dtype=float) for group in groups if len(group) > 1]
    if not used:
        return None
    count = sum(map(len, used))
    freedom = count - (len(used) - 1) - 3
    ranks = [np.column_stack([_ranks(side) for side in group.T]) for group in used]
    x, y = np.concatenate([group - group.mean(axis=0) for group in ranks]).T
    spread = math.sqrt((x**2).sum() * (y**2).sum())
    if freedom < 1 or spread == 0:
        return None
    rho = float((x * y).sum() / spread)
    bounded = min(max(rho, -_CLOSE_TO_ONE), _CLOSE_TO_ONE)
    width = NormalDist().inv_cdf((1 + level) / 2) * math.sqrt((1 + bounded**2 / 2) / freedom)
    low, high = (math.tanh(math.atanh(bounded) + side * width) for side in (-1, 1))
    return Correlation(rho, low, high, count, freedom)


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks from 1/2, equal values sharing their mean rank: scipy.stats.rankdata, which takes long to import."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - counts / 2)[place])
