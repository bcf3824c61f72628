"""Is one set of trials better than another: differences with intervals, and p-values corrected over groups."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean
from typing import Any

import duckdb
import pyarrow as pa

from hsl.errors import HslError, NothingMatchedError
from hsl.results.best import check_columns, check_metric
from hsl.results.dense import READ_CELLS, READ_TRIALS, SCOPE, counterparts, is_sparsification, levels_of
from hsl.results.divisions import OF_SPLITS, SPLIT
from hsl.results.pairs import (
    Row,
    Units,
    candidates_of,
    difference,
    of_same_splits,
    over_samples,
    paired,
    trials_of,
    unit_of,
)
from hsl.results.per_sample import KeptSamples
from hsl.results.ranking import TESTED, TIE, USABLE
from hsl.results.sequential import asked_levels
from hsl.results.shaping import fields, grouped
from hsl.results.stats import CONFIDENCE, adjusted, level_of_chosen, verdict
from hsl.store.database import check_selects, label, mentioned_columns, run, sandbox, select
from hsl.store.rows import arrow_schema
from hsl.store.store import Store

_SCOPE = SCOPE[:-1]
"""What is never paired with each other, nor mixed but for divisions of the data set."""

_NETWORK = ("method", "distribution", "sparsity")

_OF_TRIALS = ("trial_id", "configuration_id", "seed", "stage", "status", "objective", *TESTED)
_READ = (*_OF_TRIALS, *READ_TRIALS, *_NETWORK)

_SIDE = """
SELECT trial_id, configuration_id, seed, cell, baseline, objective, test_{metric}_accuracy AS value,
  {usable} AND coalesce(isfinite(test_{metric}_accuracy), false) AS usable, {columns}
FROM side WHERE stage = 'confirm' ORDER BY cell, trial_id
"""

_ANSWER = (
    *fields(pa.string(), "metric"),
    *fields(pa.float64(), "a_mean", "b_mean", "difference", "difference_low", "difference_high"),
    *fields(pa.string(), "difference_kind"),
    *fields(pa.int64(), "seeds", "seeds_lost", "a_cells", "b_cells", "candidates", "splits", "samples"),
    *fields(pa.float64(), "difference_samples_low", "difference_samples_high"),
    *fields(pa.float64(), "p_value", "p_adjusted"),
    *fields(pa.string(), "verdict"),
)


@dataclass(frozen=True)
class _Side:
    """The trials of one filter.

    Attributes:
        rows: Its completed confirming trials, with their levels.
        dense: Whether all of them are dense.
        level: Of confidence that its cells ask for, because seeds were added until the result was clear.
    """

    rows: list[dict[str, Any]]
    dense: bool
    level: float

    def levels(self, axis: str) -> set[Any]:
        """Levels of `axis` among the rows; None stands for none."""
        return {row["levels"].get(axis) for row in self.rows}


def compare(
    store: Store, a: str, b: str, by: Sequence[str] | None = None, metric: str = "matched"
) -> pa.Table:
    """The difference on test between the trials of two filters, group by group.

    Only completed trials of the confirm stage count, and of each cell in a group those of its winner, the
    configuration with the best mean of the validation objective, as `best` has it. Inside a group, values are paired
    by seed and by every factor that both sides share levels of, and averaged to one value per seed: the seeds are the
    sample. Where a group holds several divisions of the data set (`split_seed`), these are, with one value each
    (`hsl.results.divisions`). With less than two shared ones it is Welch's test. A side that is dense throughout is
    compared to the sparse trials of every group with the same other columns, as dense has no sparsity, method or
    distribution; of its trials those of the dense counterparts count (`hsl.results.dense`), if it holds any.

    Args:
        store: Where to read.
        a: SQL expression over the columns of trials and `baseline`: the first side.
        b: The same for the second; no trial may match both.
        by: Columns of trials; every combination of values that both sides have is a group. By default regime,
            sparsity where the sides share one, and data set and model where there are several.
        metric: "matched", "clean" or "worst_class": whose accuracies are compared.

    Returns:
        One row per group: the columns of `by`, then metric, a_mean, b_mean, difference (a - b) with its 95 %
        interval and kind ("paired", "unpaired", or "point" for no interval), seeds, seeds_lost (confirming trials of
        the winners of both sides that have no such accuracy), a_cells and b_cells (whose winners are averaged, where a
        group holds several of a side), candidates (pairs of confirmed configurations that winners were chosen
        among; intervals and p-values hold for all of them together), splits, samples (of the test set)
        with difference_samples_low and difference_samples_high (as of `best`), p_value (two-sided t test), p_adjusted
        (Benjamini-Hochberg over all rows) and verdict: "a is better" or "b is better" (p_adjusted below 0.05),
        "no difference shown", "not enough seeds" (less than 3), or "seeds do not vary" (no t test is possible); the
        last two have neither interval nor p_value. Intervals, p-values and verdicts are over training seeds, on one
        fixed split and test set; of several splits (splits above 1) over these.
        Accuracies are fractions.

    Raises:
        NothingMatchedError: If a side has no such trial, or the sides have no group in common.
        HslError: If a trial matches both filters, a filter is on test results, or an argument is out of range.
    """
    check_metric(metric)
    check_columns(by or ())
    for where in (a, b):
        check_selects(where)
    first, second = _sides(store, a, b, by or (), metric)
    columns = _default_columns(first, second) if by is None else tuple(by)
    asked = max(first.level, second.level)
    kept = KeptSamples.of(store, metric)
    rows = list[dict[str, Any]]()
    for group, x, y in _groups(first, second, columns):
        level = level_of_chosen(asked, group["candidates"])
        rows.append({**group, "metric": metric, **difference(x, y, level), **over_samples(x, y, level, kept)})
    if not rows:
        raise NothingMatchedError(
            f"{a!r} and {b!r} have no {' x '.join(columns)} in common; compare over other columns (by)"
        )
    for row, p in zip(rows, adjusted([row["p_value"] for row in rows]), strict=True):
        row["p_adjusted"] = p
        said = verdict(row["difference"], row["n"], p, "a is better", "b is better")
        row["verdict"] = OF_SPLITS.get(said, said) if row["splits"] > 1 else said
    schema = pa.schema([*map(arrow_schema("trials").field, columns), *_ANSWER])
    return pa.Table.from_pylist(rows, schema=schema)


def _sides(store: Store, a: str, b: str, by: Sequence[str], metric: str) -> tuple[_Side, _Side]:
    named = [name for where in (a, b) for name in mentioned_columns(where)]
    columns = dict.fromkeys((*_READ, f"test_{metric}_accuracy", *by, *named))
    cells = store.read("cells", [*READ_CELLS, "confidence"])
    trials = store.read("trials", list(columns))
    levels, dense = levels_of(cells), counterparts(cells, trials)
    with sandbox({"trials": trials, "cells": cells}) as connection:
        label(connection)
        found = [_rows(connection, where, by, metric) for where in (a, b)]
    for where, rows in zip((a, b), found, strict=True):
        if not any(row["usable"] for row in rows):
            raise NothingMatchedError(
                f"no completed trial of the confirm stage matches {where!r}; trials of the search are not "
                "compared, because their seed has chosen them"
            )
    if both := {row["trial_id"] for row in found[0]} & {row["trial_id"] for row in found[1]}:
        raise HslError(f"{len(both)} trials match both {a!r} and {b!r}; no trial is compared to itself")
    asked = asked_levels(cells)
    first, second = ([_with_levels(row, levels, dense) for row in rows] for rows in found)
    return _side(first, asked), _side(second, asked)


def _rows(
    connection: duckdb.DuckDBPyConnection, where: str, by: Sequence[str], metric: str
) -> list[dict[str, Any]]:
    select(connection, "side", where)
    named = dict.fromkeys((*by, "regime", *_SCOPE, *_NETWORK))
    columns = ", ".join(f'"{name}" AS "by_{name}"' for name in named)
    return run(connection, _SIDE.format(metric=metric, usable=USABLE, columns=columns)).to_pylist()


def _with_levels(
    row: Row, levels: Mapping[str, Mapping[str, Any]], dense: Mapping[str, str]
) -> dict[str, Any]:
    own = {axis: json.dumps(level, sort_keys=True) for axis, level in levels.get(row["cell"], {}).items()}
    known = {name: row[f"by_{name}"] for name in (*_SCOPE, "regime", "sparsity")}
    return {**row, "levels": {**own, **known}, "counterpart": dense.get(row["cell"])}


def _side(rows: list[dict[str, Any]], asked: Mapping[str, float]) -> _Side:
    dense = all(row["baseline"] or row["by_method"] == "dense" for row in rows)
    return _Side(rows, dense, max((asked.get(row["cell"], CONFIDENCE) for row in rows), default=CONFIDENCE))


def _default_columns(a: _Side, b: _Side) -> tuple[str, ...]:
    several = [name for name in _SCOPE if name != SPLIT and len(a.levels(name) | b.levels(name)) > 1]
    shared = a.levels("sparsity") & b.levels("sparsity") or a.dense != b.dense
    return (*several, "regime", "sparsity") if shared else (*several, "regime")


def _groups(a: _Side, b: _Side, columns: Sequence[str]) -> Iterable[tuple[dict[str, Any], Units, Units]]:
    """Every group that both sides have, with the winners' trials of either side by seed."""
    broadcast = a.dense != b.dense
    own = [name for name in columns if not (broadcast and is_sparsification(name))]
    axes = _shared_axes(a, b, broadcast)
    parts = []
    for side in (a, b):
        names = own if side.dense else columns
        parts.append((names, grouped(side.rows, partial(_key, columns=names))))
    for group in _combinations((b if a.dense else a).rows, columns):
        x, y = (rows.get(tuple(group[name] for name in names), []) for names, rows in parts)
        if broadcast:
            x, y = (_counterparts(x, y), y) if a.dense else (x, _counterparts(y, x))
        candidates = candidates_of(x) * candidates_of(y)
        x, y = (_of_winners(side) for side in (x, y))
        lost = sum(not row["usable"] for row in (*x, *y))
        x, y = ([row for row in side if row["usable"]] for side in (x, y))
        if x and y:
            x, y = of_same_splits(x, y)
            unit = unit_of([*x, *y])
            sides = paired(trials_of(x, axes, unit), trials_of(y, axes, unit))
            yield ({**group, "seeds_lost": lost, "candidates": candidates}, *sides)


def _of_winners(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The trials of the winner of each cell, as `hsl.results.ranking` chooses it among confirmed configurations."""
    kept: list[dict[str, Any]] = []
    for own in grouped(rows, lambda row: row["cell"]).values():
        configurations = grouped(own, lambda row: row["configuration_id"])
        first = min(configurations, key=lambda name: (-_objective(configurations[name]), name))
        kept += configurations[first]
    return kept


def _objective(rows: Sequence[Row]) -> float:
    """Mean of the validation objective over the seeds that count; minus infinity where there are none."""
    known = sorted(row["objective"] for row in rows if row["usable"])
    return round(fmean(known), TIE) if known else -math.inf


def _counterparts(dense: list[dict[str, Any]], sparse: Sequence[Row]) -> list[dict[str, Any]]:
    """Of dense trials those of the counterparts of sparse ones; all where none of them is one."""
    cells = {row["counterpart"] for row in sparse}
    return [row for row in dense if row["cell"] in cells] or dense


def _shared_axes(a: _Side, b: _Side, broadcast: bool) -> list[str]:
    """Factors of which both sides have a level: like is paired with like."""
    axes = {axis for side in (a, b) for row in side.rows for axis in row["levels"]}
    if broadcast:
        axes = {axis for axis in axes if not is_sparsification(axis)}
    return sorted(axis for axis in axes if a.levels(axis) & b.levels(axis))


def _combinations(rows: Iterable[Row], columns: Sequence[str]) -> list[dict[str, Any]]:
    found = {_key(row, columns) for row in rows}
    ordered = sorted(found, key=lambda values: [(value is None, value) for value in values])
    return [dict(zip(columns, values, strict=True)) for values in ordered]


def _key(row: Row, columns: Sequence[str]) -> tuple[Any, ...]:
    return tuple(row[f"by_{name}"] for name in columns)
