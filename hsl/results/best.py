"""Which configuration is best, and is it better than dense: chosen on validation, reported on test."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

import duckdb
import pyarrow as pa

from hsl.errors import HslError, NothingMatchedError, UnknownNameError
from hsl.results.advantage import advantage, finished
from hsl.results.dense import READ_CELLS, READ_TRIALS, SCOPE, DenseRows, counterparts
from hsl.results.divisions import SPLIT, pooled
from hsl.results.per_sample import KeptSamples
from hsl.results.ranking import READ, Ranking, check_objectives, key_names, ranked
from hsl.results.sequential import asked_levels
from hsl.results.shaping import fields, values_of
from hsl.results.stats import (
    CONFIDENCE,
    GAIN,
    SHARE,
    Difference,
    level_of_chosen,
    mean_interval,
    paired_difference,
)
from hsl.store.database import check_selects, label, mentioned_columns, run, sandbox, select
from hsl.store.documents import mapping
from hsl.store.rows import arrow_schema, check_names
from hsl.store.store import Store

METRICS = ("matched", "clean", "worst_class")

_ANSWER = pa.schema(
    [
        *fields(pa.bool_(), "baseline"),
        *fields(pa.int64(), "rank"),
        *fields(pa.string(), "cell", "configuration_id", "method", "distribution", "parameters", "metric"),
        *fields(pa.bool_(), "confirmed"),
        *fields(pa.int64(), "seeds", "seeds_lost", "splits", "candidates"),
        *fields(pa.float64(), "test_mean", "test_low", "test_high", "val_mean", "dense_mean"),
        *fields(pa.float64(), "difference", "difference_low", "difference_high"),
        *fields(pa.string(), "difference_kind", "difference_note"),
        *fields(pa.int64(), "samples"),
        *fields(pa.float64(), "test_samples_low", "test_samples_high"),
        *fields(pa.float64(), "difference_samples_low", "difference_samples_high"),
        *fields(pa.float64(), "seconds"),
        *fields(pa.int64(), "considered", "stopped", "failed", "finished", "dense_finished"),
        *fields(pa.float64(), "advantage"),
        *fields(pa.float64(), "objective", "sparsity", "training_flops", "inference_flops", "nonzeros"),
        *fields(pa.float64(), "score"),  # the name of objective in 0.1, kept for one version
    ]
)

_SHOWN = {"sparsity", "method", "distribution"}
"""Parameters that have a column of their own."""


def best(
    store: Store,
    by: Sequence[str] | None = None,
    where: str | None = None,
    top: int = 1,
    metric: str = "matched",
    *,
    pareto: tuple[str, str] | None = None,
    confirmed_only: bool | None = None,
) -> pa.Table:
    """The best configurations of every group, with what they reach on test and their difference to dense.

    Chosen by the mean validation objective over the seeds of the confirm stage. In a group without a
    confirmed configuration it is the best completed trial of the search, which is marked (`confirmed` is
    false) and has no interval, because the same number selected it. Test metrics choose nothing. Stopped and
    failed trials are counted and never averaged. Dense baselines have rows of their own and are what
    `difference` refers to (`hsl.results.dense` says which). Where seeds were added until the result was clear,
    intervals are widened so that they still hold at 95 %, and so are those of a group with several confirmed
    configurations, as over several sparsities: the best of them is chosen by the seeds that it is reported by.

    Args:
        store: Where to read.
        by: Columns of trials; every combination of their values is a group. By default regime and sparsity,
            regime for a front, and data set and model where several match. Regime and data set are added where several
            match: the easiest would win.
        where: SQL expression over the columns of trials and `baseline`: which trials compete. The dense
            baseline that others are compared to is not subject to it.
        top: Configurations per group, at least 1.
        metric: "matched", "clean" or "worst_class": whose accuracies are reported.
        pareto: Two of `OBJECTIVES`, for example ("accuracy", "flops"): instead of the `top` best, all
            configurations that no other of the group, dense included, beats in one without losing in the
            other. Accuracy is the validation objective.
        confirmed_only: True leaves out what is not confirmed, False ranks it after what is. By default it is
            shown only in groups where nothing is confirmed.

    Returns:
        One row per group and rank: the columns of `by`, then baseline, rank, cell, configuration_id, method,
        distribution, parameters (short text), metric, confirmed, seeds (averaged), seeds_lost (confirming
        trials that did not complete), candidates (confirmed configurations of the group that it was chosen among; the
        intervals hold for all of them together), splits (averaged; several where groups are not by `split_seed` and
        the store has several: `hsl.results.divisions`), test_mean with test_low and test_high (95 % t interval over
        training seeds, on one fixed split and test set; none below three seeds, or if they do not vary), val_mean,
        dense_mean, difference with difference_low, difference_high and difference_kind ("paired", "unpaired",
        or "point" for no interval) and difference_note (why there is no interval: "not enough seeds", "seeds do not
        vary"), samples (of the test set) with test_samples_low, test_samples_high,
        difference_samples_low and difference_samples_high (95 % intervals over training seeds *and* test samples, on
        one fixed split, paired by both where they can be, see `hsl.results.crossed`; of matched and clean accuracies,
        where `evaluation.per_sample` has kept which samples are correct), seconds (per trial), of the group's
        search: considered, stopped; failed (both stages), finished and dense_finished (configurations of the group, and
        of the dense counterpart, that the search has trained to the end), advantage (what the best of the group gains
        in the validation objective by having had more of them, or loses: `hsl.results.advantage`), objective (its mean
        over the seeds), sparsity, training_flops and inference_flops (relative to dense), nonzeros. Accuracies are
        fractions. A front is ordered from its first objective's best.

    Raises:
        NothingMatchedError: If no completed trial matches.
        HslError: If an argument is out of range, or `where` is no expression over these columns, or one over test
            results.
    """
    _check(by or (), metric, top, pareto)
    check_selects(where)
    tables = _tables(store, by or (), metric, where)
    with sandbox(tables) as connection:
        label(connection)
        select(connection, "matching", where)
        pools = top == 1 and pareto is None
        by = _default_groups(connection, pareto, pools) if by is None else _with_difficulty(connection, by)
        within = _within_splits(connection, by, pools)
        ranking = Ranking(within, metric, top, confirmed_only)
        winners = ranked(connection, "matching", ranking, pareto)
        if not winners:
            raise NothingMatchedError(_what_exists(connection, where, confirmed_only))
        tried = finished(connection, "(SELECT * FROM matching WHERE NOT baseline)", within)
        select(connection, "dense_trials", "baseline")
        tried_dense = finished(connection, "dense_trials", ["cell"])
        dense = ranked(connection, "dense_trials", Ranking(("cell", *SCOPE), metric))
    asked = asked_levels(tables["cells"])
    for row in (*winners, *dense):
        row["asked"] = asked.get(row["cell"], CONFIDENCE)
        row["level"] = level_of_chosen(row["asked"], row["candidates"])
    reference = DenseRows(counterparts(tables["cells"], tables["trials"]), dense)
    kept = KeptSamples.of(store, metric)
    rows = []
    for row in winners:
        counterpart = reference.of(row)
        its = tried_dense.get((counterpart["cell"],), []) if counterpart else []
        mine = its if row["baseline"] else tried.get(values_of(row, key_names(within)), [])
        rows.append(_answer(row, within, counterpart, metric, kept) | _tried(mine, its, row["baseline"]))
    rows = rows if within == by else pooled(rows, by)
    keys = map(arrow_schema("trials").field, by)
    others = (field for field in _ANSWER if field.name not in by)
    return pa.Table.from_pylist(rows, schema=pa.schema([*keys, *others]))


def _check(by: Sequence[str], metric: str, top: int, pareto: tuple[str, str] | None) -> None:
    check_columns(by)
    check_metric(metric)
    if top < 1:
        raise HslError(f"top={top}: give the number of configurations per group, at least 1")
    if pareto:
        check_objectives(pareto)
        if top != 1:
            raise HslError(f"top={top}: a front is shown whole; leave out top, or leave out pareto")


def _default_groups(
    connection: duckdb.DuckDBPyConnection, pareto: tuple[str, str] | None, pools: bool
) -> tuple[str, ...]:
    names = [name for name in SCOPE[:-1] if name != SPLIT or not pools]
    several = [name for name in names if _values_of(connection, name) > 1]
    return (*several, "regime") if pareto else (*several, "regime", "sparsity")


def _with_difficulty(connection: duckdb.DuckDBPyConnection, by: Sequence[str]) -> tuple[str, ...]:
    """The columns, with those of how hard the data are: among several data sets or regimes the easiest would win."""
    missing = [name for name in ("dataset", "regime") if name not in by and _values_of(connection, name) > 1]
    return (*by, *missing)


def _values_of(connection: duckdb.DuckDBPyConnection, column: str) -> int:
    """Number of different values of a column among the trials that compete."""
    sql = f'SELECT count(DISTINCT "{column}") AS n FROM matching'
    return int(run(connection, sql).to_pylist()[0]["n"])


def _within_splits(
    connection: duckdb.DuckDBPyConnection, by: tuple[str, ...], pools: bool
) -> tuple[str, ...]:
    """The columns within which configurations compete: never those of different divisions of the data set."""
    if SPLIT in by or _values_of(connection, SPLIT) < 2:
        return by
    if not pools:
        raise HslError(
            f"there are several splits, each with its own winners: add {SPLIT} to by, or ask for the first "
            "winner of each split (top=1, no front), which are then averaged"
        )
    return (*by, SPLIT)


def _tables(store: Store, by: Sequence[str], metric: str, where: str | None) -> dict[str, pa.Table]:
    """What the question needs of the store."""
    accuracies = (f"{split}_{metric}_accuracy" for split in ("val", "test"))
    columns = dict.fromkeys((*READ, *READ_TRIALS, *accuracies, *by, *mentioned_columns(where)))
    trials, cells = store.read("trials", list(columns)), store.read("cells", [*READ_CELLS, "confidence"])
    return {"trials": trials, "cells": cells}


def short_parameters(row: Mapping[str, Any]) -> str:
    """Tuned parameters on one line: ``lr=0.0513 drop_fraction=0.3``.

    Method and distribution have columns of their own and are left out; a name is cut to its last part where
    that is unique.

    Args:
        row: A trial, or a configuration, with `parameters` as it is stored.
    """
    values = mapping(row, "trials", "parameters")
    last = {name: name.rpartition(".")[2] for name in values if name not in _SHOWN}
    unique = Counter(last.values())
    return " ".join(
        f"{short if unique[short] == 1 else name}={_short(values[name])}" for name, short in last.items()
    )


def _short(value: object) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value)


def check_columns(by: Sequence[str]) -> None:
    """Refuse groups by anything but columns of trials, each named once."""
    check_names("trials", by)
    if len(set(by)) != len(by):
        raise HslError(f"by={list(by)}: name every column once")


def check_metric(metric: str) -> None:
    """Refuse anything but a metric."""
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)


def _answer(
    row: Mapping[str, Any],
    by: Sequence[str],
    dense: Mapping[str, Any] | None,
    metric: str,
    kept: KeptSamples,
) -> dict[str, object]:
    """One row of the result of `best`."""
    values = list(_tests(row).values())
    mean, low, high, _ = mean_interval(values, row["level"], SHARE) if values else (None, None, None, 0)
    validation = [run["val"] for run in row["runs"] if run["val"] is not None]
    gain = None if row["baseline"] or dense is None else _gain(row, dense)
    return {
        **row,
        **{name: row[f"key_{i}"] for i, name in enumerate(by)},
        "parameters": short_parameters(row),
        "score": row["objective"],
        "splits": 1,
        "metric": metric,
        "test_mean": mean,
        "test_low": low if row["confirmed"] else None,
        "test_high": high if row["confirmed"] else None,
        "val_mean": fmean(validation) if validation else None,
        "dense_mean": fmean(_tests(dense).values()) if dense and _tests(dense) else None,
        "difference": gain and gain.difference,
        "difference_low": gain and gain.low,
        "difference_high": gain and gain.high,
        "difference_kind": gain and gain.kind,
        "difference_note": (gain and gain.kind != "point" and gain.withheld) or None,
        **(_over_samples(row, None if row["baseline"] else dense, kept) if row["confirmed"] else {}),
    }


def _tried(mine: Sequence[float], its: Sequence[float], is_dense: bool) -> dict[str, object]:
    """Columns of how many configurations a winner and its dense counterpart were chosen from."""
    return {
        "finished": len(mine),
        "dense_finished": None if is_dense else len(its),
        "advantage": None if is_dense else advantage(mine, its),
    }


def _over_samples(
    row: Mapping[str, Any], dense: Mapping[str, Any] | None, kept: KeptSamples
) -> dict[str, object]:
    """Columns of the intervals over seeds and test samples."""
    low, high, samples = kept.mean(_runs(row), row["level"])
    found: dict[str, object] = {"samples": samples, "test_samples_low": low, "test_samples_high": high}
    if dense and dense["confirmed"]:
        gain = kept.difference(_runs(row), _runs(dense), _level(row, dense))
        found |= {"difference_samples_low": gain.low, "difference_samples_high": gain.high}
    return found


def _level(row: Mapping[str, Any], dense: Mapping[str, Any]) -> float:
    """Confidence of the difference of two confirmed ones, each chosen among its candidates."""
    return level_of_chosen(max(row["asked"], dense["asked"]), row["candidates"] * dense["candidates"])


def _runs(row: Mapping[str, Any]) -> dict[int, list[list[str]]]:
    return {run["seed"]: [[run["trial_id"]]] for run in row["runs"] if run["test"] is not None}


def _tests(row: Mapping[str, Any]) -> dict[int, float]:
    return {run["seed"]: run["test"] for run in row["runs"] if run["test"] is not None}


def _gain(row: Mapping[str, Any], dense: Mapping[str, Any]) -> Difference | None:
    """What `row` gains over `dense` on test; an interval needs both to be confirmed."""
    mine, its = _tests(row), _tests(dense)
    if not mine or not its:
        return None
    if row["confirmed"] and dense["confirmed"]:
        return paired_difference(mine, its, _level(row, dense), GAIN)
    difference = fmean(mine.values()) - fmean(its.values())
    return Difference(difference, None, None, min(len(mine), len(its)), "point")


def _what_exists(
    connection: duckdb.DuckDBPyConnection, where: str | None, confirmed_only: bool | None
) -> str:
    sql = """SELECT count(*) AS trials, count(*) FILTER (status = 'completed') AS completed,
      count(*) FILTER (status = 'completed' AND stage = 'confirm') AS confirmed,
      list(DISTINCT regime ORDER BY regime) AS regimes, list(DISTINCT sparsity ORDER BY sparsity) AS
      sparsities, list(DISTINCT method ORDER BY method) AS methods FROM labelled"""
    found = run(connection, sql).to_pylist()[0]
    if not found["trials"]:
        return "no trial is stored yet; run `hsl sweep` first"
    kinds = ("regimes", "sparsities", "methods")
    known = "; ".join(f"{name}: {', '.join(map(str, found[name][:20]))}" for name in kinds)
    kind = "completed trial of the confirm stage" if confirmed_only else "completed trial"
    asked = f"matches {where!r}" if where else "exists"
    counts = f"{found['trials']} trials, {found['completed']} completed, {found['confirmed']} of them confirm"
    return f"no {kind} {asked}; stored: {counts}; {known}"
