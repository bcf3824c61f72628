"""Trials of two sides of a comparison, paired by seed or by division of the data set, and what follows from them."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

from hsl.results.divisions import SPLIT
from hsl.results.per_sample import KeptSamples
from hsl.results.shaping import grouped
from hsl.results.stats import GAIN, paired_difference

_SPLIT = f"by_{SPLIT}"

Row = Mapping[str, Any]
Trials = dict[tuple[Any, ...], list[Row]]
"""Levels, the seed and, last, the unit -> trials; several where a filter covers several configurations."""

Units = dict[int, list[list[Row]]]
"""Seed, or division of the data set where there are several -> its trials, in groups of equal levels and seed."""


def candidates_of(rows: Sequence[dict[str, Any]]) -> int:
    """Among how many combinations of confirmed configurations, one of each cell, winners of a division were chosen."""
    usable = [row for row in rows if row["usable"]]
    divisions = grouped(usable, lambda row: row[_SPLIT]).values()
    return max((math.prod(map(len, _by_cell(own))) for own in divisions), default=1)


def _by_cell(rows: Iterable[Row]) -> set[frozenset[str]]:
    """Configurations of each cell; two names of a cell, as in a merged store, are one."""
    cells = grouped(rows, lambda row: row["cell"]).values()
    return {frozenset(row["configuration_id"] for row in own) for own in cells}


def of_same_splits(x: list[dict[str, Any]], y: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Trials on those divisions of the data set that both sides have; all where they have none in common."""
    shared = _splits_of(x) & _splits_of(y)
    return [[row for row in side if not shared or row[_SPLIT] in shared] for side in (x, y)]


def _splits_of(rows: Iterable[Row]) -> set[Any]:
    return {row[_SPLIT] for row in rows}


def unit_of(rows: Iterable[Row]) -> str:
    """Column whose values are the sample: divisions of the data set where there are several, else seeds."""
    return _SPLIT if len(_splits_of(rows)) > 1 else "seed"


def trials_of(rows: Iterable[Row], axes: Sequence[str], unit: str) -> Trials:
    """Trials of a group by levels, seed and unit.

    A configuration counts once, also where a merged store has it under two names.

    Args:
        rows: Trials with their levels.
        axes: Factors of which both sides have a level.
        unit: As of `unit_of`.
    """
    found: dict[tuple[Any, ...], dict[str, Row]] = defaultdict(dict)
    for row in rows:
        key = (*(row["levels"].get(axis) for axis in axes), row["seed"], row[unit])
        found[key].setdefault(row["configuration_id"], row)
    return {key: list(trials.values()) for key, trials in found.items()}


def paired(a: Trials, b: Trials) -> tuple[Units, Units]:
    """Trials by unit: those of what both sides have, if that is two units or more; else all."""
    shared = a.keys() & b.keys()
    if len({key[-1] for key in shared}) >= 2:
        a, b = ({key: side[key] for key in shared} for side in (a, b))
    return _by_unit(a), _by_unit(b)


def _by_unit(trials: Trials) -> Units:
    by_unit = grouped(sorted(trials, key=str), lambda key: key[-1])
    return {seed: [trials[key] for key in keys] for seed, keys in by_unit.items()}


def _mean_per_unit(seeds: Units) -> dict[int, float]:
    return {
        seed: fmean(fmean(row["value"] for row in group) for group in groups)
        for seed, groups in seeds.items()
    }


def difference(first: Units, second: Units, level: float) -> dict[str, Any]:
    """Columns of the means of two sides and of their difference, with an interval at a level of confidence."""
    a, b = _mean_per_unit(first), _mean_per_unit(second)
    found = paired_difference(a, b, level, GAIN)
    if found.kind == "paired":
        shared = a.keys() & b.keys()
        a, b = ({seed: side[seed] for seed in shared} for side in (a, b))
    return {
        "a_mean": fmean(a.values()),
        "b_mean": fmean(b.values()),
        "difference": found.difference,
        "difference_low": found.low,
        "difference_high": found.high,
        "difference_kind": found.kind,
        "n": found.n,
        "a_cells": _cells_of(first),
        "b_cells": _cells_of(second),
        **_counts(first, second),
        "p_value": found.p,
    }


def _cells_of(side: Units) -> int:
    """Number of cells whose winners a side averages, on one division of the data set."""
    rows = [row for groups in side.values() for group in groups for row in group]
    return max(len(_by_cell(own)) for own in grouped(rows, lambda row: row[_SPLIT]).values())


def _counts(a: Units, b: Units) -> dict[str, int]:
    """Numbers of seeds and divisions: those that are paired, or of the side with fewer where less than two are."""
    counts = {}
    for name, column in (("seeds", "seed"), ("splits", _SPLIT)):
        x, y = (
            {row[column] for groups in side.values() for group in groups for row in group} for side in (a, b)
        )
        shared = len(x & y)
        counts[name] = shared if shared >= 2 or shared == min(len(x), len(y)) else min(len(x), len(y))
    return counts


def over_samples(a: Units, b: Units, level: float, kept: KeptSamples) -> dict[str, Any]:
    """Columns of the interval over seeds and test samples."""
    low, high, samples = kept.difference(_names(a), _names(b), level)
    return {"samples": samples, "difference_samples_low": low, "difference_samples_high": high}


def _names(seeds: Units) -> dict[int, list[list[str]]]:
    return {seed: [[row["trial_id"] for row in group] for group in groups] for seed, groups in seeds.items()}
