"""Group-sequential intervals, which stay valid although they are looked at after every seed.

A 95 % t interval that is looked at repeatedly misses the true mean far more often than in 5 % of all cases. Here
every look uses the same stricter level (the design of Pocock, Biometrika 64, 1977, for a t statistic), chosen so
that the probability that the interval of *any* look misses it is 5 %, for any rule by which one stops. The level is
found by simulation: for normal differences the joint distribution of the t statistics of all looks does not depend
on mean and variance, so that one seeded simulation of standard normal numbers serves all data.
"""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pyarrow as pa

from hsl.errors import HslError, StoreError
from hsl.results.stats import CONFIDENCE, MINIMUM_SEEDS, Interval

_RUNS = 100_000
_CHUNK = 10_000


def confidence_of_looks(looks: Sequence[int], confidence: float = CONFIDENCE) -> float:
    """Confidence level that each look must use so that all of them together have `confidence`.

    Args:
        looks: Numbers of values after which one looks, rising, each at least 2.
        confidence: Joint coverage of the intervals of all looks, in (0, 1).

    Returns:
        At least `confidence`, equal for a single look; accurate to about 1 % of its distance from 1.

    Raises:
        HslError: If there is no look, one is below 2, or they do not rise.
    """
    if not looks or looks[0] < 2 or any(a >= b for a, b in pairwise(looks)):
        raise HslError(f"looks {tuple(looks)}: give numbers of values that rise, from 2")
    return confidence if len(looks) == 1 else 1 - _nominal(tuple(looks), 1 - confidence)


@cache
def _nominal(looks: tuple[int, ...], alpha: float) -> float:
    """The `alpha` quantile of the smallest p-value of all looks where nothing is to be found."""
    from scipy.special import stdtr  # noqa: PLC0415 (commands without a look need not load it)

    random = np.random.default_rng(20241107)
    counts = np.array(looks)
    smallest = []
    for _ in range(_RUNS // _CHUNK):
        values = random.standard_normal((_CHUNK, looks[-1]))
        sums = np.cumsum(values, axis=1)[:, counts - 1]
        squares = np.cumsum(values**2, axis=1)[:, counts - 1]
        variance = (squares - sums**2 / counts) / (counts - 1)
        statistic = sums / np.sqrt(counts * variance)
        smallest.append(2 * stdtr(counts - 1, -np.abs(statistic)).min(axis=1))
    return float(np.quantile(np.concatenate(smallest), alpha))


def asked_levels(cells: pa.Table) -> dict[str, float]:
    """Level of the intervals of every cell: above 95 % where seeds were added until the result was clear.

    Args:
        cells: The table of cells, at least with the columns cell and confidence.

    Raises:
        StoreError: If a stored level is not between 0 and 1.
    """
    levels: dict[str, float] = {}
    for row in cells.select(["cell", "confidence"]).to_pylist():
        level = levels[row["cell"]] = CONFIDENCE if row["confidence"] is None else row["confidence"]
        if not 0 < level < 1:
            raise StoreError(
                f"cells.confidence of cell {row['cell']!r} is {level}, a level is between 0 and 1; "
                "restore the files of cells/ or remove those that something else wrote"
            )
    return levels


def is_decided(interval: Interval, width: float | None, clear: bool) -> bool:
    """Whether no more values are needed.

    Args:
        interval: At the level of `confidence_of_looks`.
        width: Its ends may be at most this far apart, as those of values that do not vary are; None: no width suffices.
        clear: Whether it suffices that the interval excludes zero.
    """
    low, high = interval.low, interval.high
    if low is None and high is None:
        return width is not None and interval.n >= MINIMUM_SEEDS
    if low is None or high is None:
        return False
    return (width is not None and high - low <= width) or (clear and (low > 0 or high < 0))
