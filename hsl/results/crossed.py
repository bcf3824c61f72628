"""Intervals over two things at once, seeds and test samples: every network of a seed answers every sample."""

from collections.abc import Sequence
from math import sqrt

import numpy as np
import numpy.typing as npt

from hsl.results.stats import MINIMUM_SEEDS, Range, quantile, within_range

Table = npt.NDArray[np.float64]


def crossed_interval(parts: Sequence[Table], level: float, within: Range) -> tuple[float, float] | None:
    """Confidence interval of a sum of means of tables [rows, columns], over new rows and new columns.

    Of one table the variance of its mean has a part for rows, one for columns and one for what is left, which are those
    of the two-way random model, from mean squares (Cornfield and Tukey, Annals of Mathematical Statistics 27, 1956).
    The quantile is Student's, with the degrees of freedom of Satterthwaite (Biometrics Bulletin 2, 1946): those of the
    rows where these decide, many where the columns do. A bootstrap that draws rows and columns (the pigeonhole
    bootstrap, Owen, Annals of Applied Statistics 1, 2007) agrees for many rows; with five its 95 % interval holds the
    truth in 97 % of worlds where noise decides and in 87 % where rows do, and this one in 93 to 96 % of either. It is
    never narrower than the t interval over rows alone.

    Args:
        parts: float64 [rows, columns] each, with the same columns: one of paired differences, or a side and the
            negative other side, whose rows are independent.
        level: Of confidence, in (0, 1).
        within: Lowest and highest possible value, at which the interval ends.

    Returns:
        Its ends; None with fewer than `MINIMUM_SEEDS` rows or two columns, or if nothing varies.
    """
    if min(map(len, parts)) < MINIMUM_SEEDS or parts[0].shape[1] < 2:
        return None
    rows = [(float(part.mean(1).var(ddof=1)) / len(part), len(part) - 1.0) for part in parts]
    samples = parts[0].shape[1]
    of_columns = float(sum(part.mean(0) for part in parts).var(ddof=1)) / samples
    columns = (max(of_columns - sum(map(_rest, parts)), 0.0), samples - 1.0)
    half = max(_half(rows, level), _half([*rows, columns], level))
    mean = float(sum(part.mean() for part in parts))
    return within_range(mean - half, mean + half, within) if half > 0 else None


def _rest(part: Table) -> float:
    """The part of the variance of a table's mean that neither rows nor columns explain."""
    left = part - part.mean(1, keepdims=True) - part.mean(0) + part.mean()
    rows, columns = part.shape
    return float((left**2).sum()) / ((rows - 1) * (columns - 1) * part.size)


def _half(terms: Sequence[tuple[float, float]], level: float) -> float:
    """Half the interval of an estimate whose variance has these parts, each with its degrees of freedom."""
    total = sum(variance for variance, _ in terms)
    if total <= 0:
        return 0.0
    weights = [(variance / total, freedom) for variance, freedom in terms]  # tiny variances have no squares
    return quantile(1 / sum(weight**2 / freedom for weight, freedom in weights), level) * sqrt(total)
