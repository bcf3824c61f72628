"""Answers over several divisions of a data set (factor ``split.seed``).

Every division has a search and a winner of its own, which is compared to the dense counterpart of the same division,
and counts once: an interval over divisions holds what the winners would reach on another division, with other
training seeds, and with other test samples where the data set has no test set of its own.
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from hsl.results.shaping import grouped, values_of
from hsl.results.stats import ALIKE, FEW, GAIN, MINIMUM_SEEDS, SHARE, mean_interval, one_sample

SPLIT = "split_seed"
"""Column of trials with the seed of the division."""

FEW_SPLITS, ALIKE_SPLITS = "not enough splits", "splits do not vary"

OF_SPLITS = {FEW: FEW_SPLITS, ALIKE: ALIKE_SPLITS}
"""Why there is no verdict or interval over seeds -> the same over divisions."""

COVERS_SPLITS = (
    "over splits and training seeds: each split has its own search and winner, and counts once; "
    f"none below {MINIMUM_SEEDS} splits"
)

Row = dict[str, Any]

_SUMS = ("seeds", "seeds_lost", "considered", "stopped", "failed", "finished")
_MEANS = (
    *("test_mean", "val_mean", "dense_mean", "objective", "score", "seconds", "advantage"),
    *("sparsity", "training_flops", "inference_flops", "nonzeros"),
)
_COMMON = ("cell", "configuration_id", "method", "distribution", "parameters")


def pooled(rows: Sequence[Row], by: Sequence[str]) -> list[Row]:
    """Winners of every division as one row per group.

    Args:
        rows: Rows of `hsl.results.best.best` with the level of their interval, one per group and division.
        by: Columns that make the groups.

    Returns:
        As `rows`, in their order, with the number of divisions as `splits`: sums of counts, means of everything else,
        what all winners have in common (else null), and t intervals over divisions if all are confirmed.
    """
    groups = grouped(rows, lambda row: (row["baseline"], *values_of(row, by)))
    return [_pooled(group) if len(group) > 1 else group[0] for group in groups.values()]


def _pooled(rows: Sequence[Row]) -> Row:
    return {
        **rows[0],
        **{name: sum(row[name] for row in rows) for name in _SUMS},
        **{name: _mean([row[name] for row in rows]) for name in _MEANS},
        **{name: rows[0][name] if len({row[name] for row in rows}) == 1 else None for name in _COMMON},
        **dict.fromkeys(("samples", "test_samples_low", "test_samples_high")),
        **dict.fromkeys(("difference_samples_low", "difference_samples_high")),
        "confirmed": all(row["confirmed"] for row in rows),
        "splits": len(rows),
        "candidates": max(row["candidates"] for row in rows),
        "dense_finished": None if rows[0]["baseline"] else sum(row["dense_finished"] for row in rows),
        **_intervals(rows),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _intervals(rows: Sequence[Row]) -> Mapping[str, Any]:
    """Intervals of the mean and of the difference, whose divisions are those that have a dense counterpart."""
    level = max(row["level"] for row in rows)
    tests = [row["test_mean"] for row in rows]
    whole = all(row["confirmed"] for row in rows) and None not in tests
    ends = mean_interval(tests, level, SHARE) if whole else None
    compared = [row for row in rows if row["difference"] is not None]
    found = {"test_low": ends and ends.low, "test_high": ends and ends.high}
    if not compared:
        return found
    gain = one_sample([row["difference"] for row in compared], level=level, within=GAIN)
    is_point = gain.kind == "point" or any(row["difference_kind"] == "point" for row in compared)
    why = None if is_point or gain.withheld is None else OF_SPLITS.get(gain.withheld, gain.withheld)
    return found | {
        "difference": gain.difference,
        "difference_low": None if is_point else gain.low,
        "difference_high": None if is_point else gain.high,
        "difference_kind": "point" if is_point else "paired",
        "difference_note": why,
    }
