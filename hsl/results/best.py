"""Which configuration is best, and is it better than dense: chosen on validation, reported on test."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from typing import Any

import duckdb
import pyarrow as pa

from hsl.errors import HslError, NothingMatchedError, UnknownNameError
from hsl.results import schema
from hsl.results.database import filtered, labelled, run, sandbox
from hsl.results.stats import Difference, mean_interval, paired_difference
from hsl.results.store import Store

METRICS = ("matched", "clean", "worst_class")

# Only completed trials are averaged. A configuration that was confirmed is judged by its confirming seeds
# alone: the search seed is the one by which it was selected.
_RANKED = """
WITH configurations AS (
  SELECT {keys}, baseline, configuration_id, stage = 'confirm' AS confirmed,
    any_value(cell) AS cell, any_value(dataset) AS dataset, any_value(model) AS model,
    any_value(regime) AS regime, any_value(method) AS method, any_value(distribution) AS distribution,
    any_value(parameters) AS parameters,
    count(*) FILTER (stage = 'search') AS searched,
    count(*) FILTER (stage = 'search' AND status = 'stopped') AS stopped_early,
    count(*) FILTER (status = 'failed') AS broken,
    count(*) FILTER (usable) AS seeds,
    count(*) FILTER (stage = 'confirm' AND NOT usable) AS seeds_lost,
    avg(objective) FILTER (usable) AS score,
    avg(seconds) FILTER (usable) AS seconds,
    list({{'seed': seed, 'test': test_{metric}_accuracy, 'val': val_{metric}_accuracy}} ORDER BY seed)
      FILTER (usable) AS runs
  FROM (SELECT *, status = 'completed' AND coalesce(isfinite(objective), false) AS usable FROM {source})
  GROUP BY {names}, baseline, configuration_id, stage
), counted AS (
  SELECT *, (sum(searched) OVER everyone)::BIGINT AS considered,
    (sum(stopped_early) OVER everyone)::BIGINT AS stopped, (sum(broken) OVER everyone)::BIGINT AS failed
  FROM configurations WINDOW everyone AS (PARTITION BY {names}, baseline)
), preferred AS (
  SELECT * FROM counted WHERE seeds > 0
  QUALIFY row_number() OVER (PARTITION BY {names}, baseline, configuration_id ORDER BY confirmed DESC) = 1
)
SELECT *, row_number() OVER (
  PARTITION BY {names}, baseline ORDER BY confirmed DESC, score DESC, configuration_id) AS rank
FROM preferred QUALIFY rank <= {top} ORDER BY {names}, baseline DESC, rank
"""

_ANSWER = pa.schema(
    [
        ("baseline", pa.bool_()),
        ("rank", pa.int64()),
        ("cell", pa.string()),
        ("configuration_id", pa.string()),
        ("method", pa.string()),
        ("distribution", pa.string()),
        ("parameters", pa.string()),
        ("metric", pa.string()),
        ("confirmed", pa.bool_()),
        ("seeds", pa.int64()),
        ("seeds_lost", pa.int64()),
        ("test_mean", pa.float64()),
        ("test_low", pa.float64()),
        ("test_high", pa.float64()),
        ("val_mean", pa.float64()),
        ("dense_mean", pa.float64()),
        ("difference", pa.float64()),
        ("difference_low", pa.float64()),
        ("difference_high", pa.float64()),
        ("difference_kind", pa.string()),
        ("seconds", pa.float64()),
        ("considered", pa.int64()),
        ("stopped", pa.int64()),
        ("failed", pa.int64()),
    ]
)

_COMPARED = {"sparsity", "method", "distribution"}
"""Factors in which a sparse cell differs from its dense baseline."""


def best(
    store: Store,
    by: Sequence[str] = ("regime", "sparsity"),
    where: str | None = None,
    top: int = 1,
    metric: str = "matched",
) -> pa.Table:
    """The best configuration of every group, with what it reaches on test and its difference to dense.

    Chosen by the mean validation objective over the seeds of the confirm stage. In a group without a
    confirmed configuration it is the best completed trial of the search, which is marked (`confirmed` is
    false) and has no interval, because the same number selected it. Test metrics choose nothing. Stopped and
    failed trials are counted and never averaged. Dense baselines have rows of their own and are what
    `difference` refers to: the baseline with the same regime, data set, model and other factors.

    Args:
        store: Where to read.
        by: Columns of trials; every combination of their values is a group.
        where: SQL expression over the columns of trials and `baseline`: which trials compete. The dense
            baseline that others are compared to is not subject to it.
        top: Configurations per group, at least 1.
        metric: "matched", "clean" or "worst_class": whose accuracies are reported.

    Returns:
        One row per group and rank: the columns of `by`, then baseline, rank, cell, configuration_id, method,
        distribution, parameters (short text), metric, confirmed, seeds (averaged), seeds_lost (confirming
        trials that did not complete), test_mean with test_low and test_high (95 % interval), val_mean,
        dense_mean, difference with difference_low, difference_high and difference_kind ("paired", "unpaired",
        or "point" for no interval), seconds (per trial), and of the group's search: considered, stopped;
        failed counts both stages. Accuracies are fractions.

    Raises:
        NothingMatchedError: If no completed trial matches.
        HslError: If an argument is out of range, or `where` is no expression over these columns.
    """
    check_columns(by)
    check_metric(metric)
    if top < 1:
        raise HslError(f"top={top}: give the number of configurations per group, at least 1")
    tables = {name: store.read(name) for name in ("trials", "cells")}
    with sandbox(tables) as connection:
        connection.register("labelled", labelled(connection))
        connection.register("matching", filtered(connection, "labelled", where))
        winners = _ranked(connection, "matching", by, top, metric)
        if not winners:
            raise NothingMatchedError(_what_exists(connection, where))
        dense = [row for row in _ranked(connection, "labelled", ("cell",), 1, metric) if row["baseline"]]
    levels = {
        row["cell"]: json.loads(row["levels"])
        for row in tables["cells"].select(["cell", "levels"]).to_pylist()
    }
    rows = [_answer(row, by, _baseline_of(row, dense, levels), metric) for row in winners]
    return pa.Table.from_pylist(rows, schema=_answer_schema(by))


def ranks(tables: Mapping[str, pa.Table], cells: Sequence[str]) -> dict[tuple[str, str], int]:
    """How `best` ranks the configurations of some cells that have a completed trial, without any statistics.

    Args:
        tables: The tables trials and cells.
        cells: Names of cells.

    Returns:
        Cell and configuration_id to rank, from 1.
    """
    named = pa.table({"cell": pa.array(cells, pa.string())})
    with sandbox({**tables, "named": named}) as connection:
        connection.register("labelled", labelled(connection))
        wanted = run(connection, "SELECT * FROM labelled WHERE cell IN (SELECT cell FROM named)")
        connection.register("matching", wanted)
        rows = _ranked(connection, "matching", ("cell",), max(len(wanted), 1), "matched")
    return {(row["cell"], row["configuration_id"]): row["rank"] for row in rows}


def short_parameters(text: str) -> str:
    """Tuned parameters on one line: ``lr=0.0513 drop_fraction=0.3``.

    Method and distribution have columns of their own and are left out; a name is cut to its last part where
    that is unique.

    Args:
        text: JSON, dotted name to value.
    """
    values = {name: value for name, value in json.loads(text).items() if name not in _COMPARED}
    last = [name.rpartition(".")[2] for name in values]
    names = [short if last.count(short) == 1 else name for name, short in zip(values, last, strict=True)]
    return " ".join(f"{name}={_short(value)}" for name, value in zip(names, values.values(), strict=True))


def _short(value: object) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.3g}" if isinstance(value, float) else json.dumps(value)


def check_columns(by: Sequence[str]) -> None:
    """Refuse groups by anything but columns of trials, each named once."""
    known = [column.name for column in schema.columns("trials")]
    for name in by:
        if name not in known:
            raise UnknownNameError("column", name, known)
    if len(set(by)) != len(by):
        raise HslError(f"by={list(by)}: name every column once")


def check_metric(metric: str) -> None:
    """Refuse anything but a metric."""
    if metric not in METRICS:
        raise UnknownNameError("metric", metric, METRICS)


def _ranked(
    connection: duckdb.DuckDBPyConnection, source: str, by: Sequence[str], top: int, metric: str
) -> list[dict[str, Any]]:
    """The first `top` configurations per group of `source`; key_0, key_1, ... name the group."""
    keys = ", ".join(f'"{name}" AS key_{i}' for i, name in enumerate(by)) or "0 AS key_0"
    names = ", ".join(f"key_{i}" for i in range(max(len(by), 1)))
    sql = _RANKED.format(keys=keys, names=names, source=source, top=int(top), metric=metric)
    rows: list[dict[str, Any]] = run(connection, sql).to_pylist()
    return rows


def _baseline_of(
    row: Mapping[str, Any], dense: Iterable[Mapping[str, Any]], levels: Mapping[str, Mapping[str, object]]
) -> Mapping[str, Any] | None:
    """The dense row that agrees with `row` in everything that is not a question of sparsity."""

    def agrees(other: Mapping[str, Any]) -> bool:
        mine, its = levels.get(row["cell"], {}), levels.get(other["cell"], {})
        factors = (mine.keys() & its.keys()) - _COMPARED
        same = all(row[name] == other[name] for name in ("regime", "dataset", "model"))
        return same and all(mine[factor] == its[factor] for factor in factors)

    return next((other for other in dense if agrees(other)), None)


def _answer(
    row: Mapping[str, Any], by: Sequence[str], dense: Mapping[str, Any] | None, metric: str
) -> dict[str, object]:
    """One row of the result of `best`."""
    values = list(_tests(row).values())
    mean, low, high, _ = mean_interval(values) if values else (None, None, None, 0)
    validation = [run["val"] for run in row["runs"] if run["val"] is not None]
    gain = None if row["baseline"] or dense is None else _gain(row, dense)
    return {
        **{name: row[name] for name in _ANSWER.names if name in row},
        **{name: row[f"key_{i}"] for i, name in enumerate(by)},
        "parameters": short_parameters(row["parameters"]),
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
    }


def _tests(row: Mapping[str, Any]) -> dict[int, float]:
    return {run["seed"]: run["test"] for run in row["runs"] if run["test"] is not None}


def _gain(row: Mapping[str, Any], dense: Mapping[str, Any]) -> Difference | None:
    """What `row` gains over `dense` on test; an interval needs both to be confirmed."""
    mine, its = _tests(row), _tests(dense)
    if not mine or not its:
        return None
    if row["confirmed"] and dense["confirmed"]:
        return paired_difference(mine, its)
    difference = fmean(mine.values()) - fmean(its.values())
    return Difference(difference, None, None, min(len(mine), len(its)), "point")


def _answer_schema(by: Sequence[str]) -> pa.Schema:
    trials = schema.arrow_schema("trials")
    return pa.schema(
        [trials.field(name) for name in by] + [field for field in _ANSWER if field.name not in by]
    )


def _what_exists(connection: duckdb.DuckDBPyConnection, where: str | None) -> str:
    sql = """SELECT count(*) AS trials, count(*) FILTER (status = 'completed') AS completed,
      list(DISTINCT regime ORDER BY regime) AS regimes, list(DISTINCT sparsity ORDER BY sparsity) AS
      sparsities, list(DISTINCT method ORDER BY method) AS methods FROM labelled"""
    found = run(connection, sql).to_pylist()[0]
    if not found["trials"]:
        return "no trial is stored yet; run `hsl sweep` first"
    known = "; ".join(
        f"{name}: {', '.join(map(str, found[name][:20]))}" for name in ("regimes", "sparsities", "methods")
    )
    asked = f" matches {where!r}" if where else " exists"
    counts = f"{found['trials']} trials, {found['completed']} completed"
    return f"no completed trial{asked}; stored: {counts}; {known}"
