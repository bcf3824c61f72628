"""The tables of several stores as one: SQL over all their rows, each with the number of its store."""

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa

from hsl.store.columns import KEYS, TABLES
from hsl.store.database import run
from hsl.store.documents import mapping
from hsl.store.rows import columns_of, conform

NUMBERS = (
    *("epochs", "objective", "val_clean_accuracy", "val_matched_accuracy"),
    *("test_clean_accuracy", "test_matched_accuracy", "realised_sparsity", "nonzeros"),
)
"""Columns in which two completed rows of one trial must agree; time and machine may differ."""

# A completed row is preferred to a stopped or failed one; among equals that of the first store is taken.
_TRIALS = """
CREATE TABLE chosen AS SELECT * FROM all_trials QUALIFY row_number() OVER (
  PARTITION BY trial_id ORDER BY list_position(['completed', 'stopped', 'failed'], status), source) = 1
"""

# Epochs come from the store of their trial's row; those of a trial under way from where it has most epochs.
_EPOCHS = """
CREATE TABLE owners AS
SELECT trial_id, source FROM chosen UNION ALL (
  SELECT trial_id, source FROM all_epochs ANTI JOIN chosen USING (trial_id)
  GROUP BY trial_id, source
  QUALIFY row_number() OVER (PARTITION BY trial_id ORDER BY max(epoch) DESC, source) = 1);
CREATE TABLE chosen_epochs AS SELECT all_epochs.* FROM all_epochs SEMI JOIN owners USING (trial_id, source);
CREATE TABLE numbered AS
SELECT *, row_number() OVER (ORDER BY source, sequence, kind, trial_id) - 1 AS number FROM (
  SELECT source, sequence, 'trial' AS kind, trial_id FROM chosen
  UNION ALL SELECT source, sequence, 'epoch' AS kind, trial_id FROM chosen_epochs)
"""

_RENUMBERED = """
SELECT rows.* REPLACE (number AS sequence) FROM {rows} AS rows
JOIN numbered USING (source, sequence, trial_id) WHERE kind = '{kind}' ORDER BY number
"""

# Evaluations of a network come from the store of its row, and from any other if only that has them.
_EVALUATIONS = """
SELECT rows.* FROM all_evaluations AS rows LEFT JOIN owners USING (trial_id)
QUALIFY row_number() OVER (PARTITION BY {keys}
  ORDER BY (owners.source = rows.source) DESC NULLS LAST, rows.source) = 1
ORDER BY rows.source, {keys}
"""

_CELLS = """
SELECT * FROM all_cells QUALIFY row_number() OVER (PARTITION BY cell ORDER BY source) = 1
ORDER BY source, cell
"""

_SESSIONS = """
SELECT * FROM all_sessions QUALIFY row_number() OVER (PARTITION BY session ORDER BY updated_at DESC, source) = 1
ORDER BY source, started_at, session
"""

_CONFLICTS = """
SELECT trial_id, list(source ORDER BY source) AS sources FROM all_trials WHERE status = 'completed'
GROUP BY trial_id HAVING count(DISTINCT {numbers}) > 1 ORDER BY trial_id
"""

_MEANINGS = """
SELECT source, cell, regime, dataset, model, split_seed,
  coalesce(json_extract(configuration, '$.regime')::VARCHAR, '{}') AS regime_key,
  json_extract(configuration, ['$.model', '$.split', '$.training'])::VARCHAR[] AS parts,
  list_sort(json_keys(CASE WHEN json_valid(parameters) THEN parameters END)) AS tuned
FROM all_trials WHERE json_valid(configuration) GROUP BY ALL ORDER BY ALL
"""


class Conflict(NamedTuple):
    """A trial with different numbers in the stores `sources`."""

    trial_id: str
    sources: list[int]


class Renaming(NamedTuple):
    """A "cell" or "regime" (`kind`) of store number `source` whose name means something else in another store."""

    source: int
    kind: str
    old: str
    new: str


def together(tables: Sequence[Mapping[str, pa.Table]]) -> dict[str, pa.Table]:
    """All rows of every table, as `all_trials` and so on, with the number of their store in `source`."""
    found = {}
    for table in TABLES:
        rows = pa.concat_tables(store[table] for store in tables)
        source = np.repeat(np.arange(len(tables)), [len(store[table]) for store in tables])
        found[f"all_{table}"] = rows.append_column("source", pa.array(source, pa.int64()))
    return found


def conflicts(connection: duckdb.DuckDBPyConnection) -> list[Conflict]:
    """Trials whose completed rows differ in their numbers."""
    numbers = "{" + ", ".join(f"'{name}': {name}" for name in NUMBERS) + "}"
    found = run(connection, _CONFLICTS.format(numbers=numbers)).to_pylist()
    return [Conflict(row["trial_id"], row["sources"]) for row in found]


def renamings(connection: duckdb.DuckDBPyConnection, prefixes: Sequence[str]) -> list[Renaming]:
    """New names, with the prefix of their store, for cells and regimes of one name but different meanings."""
    trials = run(connection, _MEANINGS).to_pylist()
    planned = run(connection, "SELECT source, cell, regime, levels, baseline FROM all_cells").to_pylist()
    fixed = _with_fixed(trials, planned)
    clashing = {
        "cell": _clashes(fixed, "cell", ("dataset", "model", "split_seed", "regime_key", "fixed"))
        | _clashes(planned, "cell", ("levels", "baseline")),
        "regime": _clashes(fixed, "regime", ("regime_key",))
        | _clashes(fixed, "regime", ("fixed",), among=("dataset", "model")),
    }
    found = {
        (kind, row["source"], row[kind])
        for kind, names in clashing.items()
        for row in (*trials, *planned)
        if row[kind] in names
    }
    return [Renaming(source, kind, old, f"{prefixes[source]}:{old}") for kind, source, old in sorted(found)]


def _with_fixed(
    trials: Iterable[Mapping[str, Any]], planned: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Trials with what is `fixed` in their store: the network, the division and the training.

    Axes that any store compares or tunes are left out: stores of one search may differ in them.
    """
    varied = {axis for row in trials for axis in row["tuned"] or ()}
    varied |= {axis for row in planned for axis in mapping(row, "cells", "levels")}
    return [row | {"fixed": _fixed(row["parts"], varied)} for row in map(dict, trials)]


def _fixed(parts: Sequence[str | None], varied: Container[str]) -> str:
    model, split, training = map(_object, parts)
    own = {f"split.{name}": value for name, value in split.items() if name != "seed"}  # which has a column
    own |= {f"training.{name}": value for name, value in training.items()} | {"model": model}
    return json.dumps({axis: value for axis, value in own.items() if axis not in varied}, sort_keys=True)


def _object(text: str | None) -> dict[str, Any]:
    """A JSON object; empty for anything else."""
    found = json.loads(text) if text else None
    return found if isinstance(found, dict) else {}


def _clashes(
    rows: Iterable[Mapping[str, Any]], kind: str, meaning: Sequence[str], among: Sequence[str] = ()
) -> set[str]:
    """Names in column `kind` for which two stores have no common values of the columns `meaning`.

    Rows that differ in the columns `among` are kept apart by every answer, and are not compared.
    """
    found: dict[tuple[Any, ...], dict[int, set[Any]]] = defaultdict(lambda: defaultdict(set))
    for row in rows:
        if row[kind] is not None:  # files of versions without this column
            place = (row[kind], *(row[name] for name in among))
            found[place][row["source"]].add(tuple(row[name] for name in meaning))
    return {
        name
        for (name, *_), by in found.items()
        if any(a.isdisjoint(b) for a, b in combinations(by.values(), 2))
    }


def rename(connection: duckdb.DuckDBPyConnection, renamed: Sequence[Renaming]) -> None:
    """Replace the tables by tables with the new names."""
    if not renamed:
        return
    connection.register("renamed", pa.Table.from_pylist([item._asdict() for item in renamed]))
    for table in [name for name in TABLES if name != "sessions"]:  # sessions name no cell
        changed = run(connection, _renamed_sql(table))
        connection.unregister(f"all_{table}")
        connection.register(f"all_{table}", changed)


def _renamed_sql(table: str) -> str:
    names = {column.name for column in columns_of(table)}
    replaced = ["coalesce(c.new, t.cell) AS cell"]
    joins = "LEFT JOIN renamed c ON c.kind = 'cell' AND c.source = t.source AND c.old = t.cell"
    if "regime" in names:
        replaced.append("coalesce(r.new, t.regime) AS regime")
        joins += " LEFT JOIN renamed r ON r.kind = 'regime' AND r.source = t.source AND r.old = t.regime"
    if "levels" in names:
        named = "json_merge_patch(t.levels, json_object('regime', r.new))::VARCHAR"
        replaced.append(f"CASE WHEN r.new IS NULL THEN t.levels ELSE {named} END AS levels")
    return f"SELECT t.* REPLACE ({', '.join(replaced)}) FROM all_{table} t {joins}"


def united(connection: duckdb.DuckDBPyConnection) -> dict[str, pa.Table]:
    """The tables of the merged store; the table `chosen` has its trials with their `source`."""
    connection.execute(_TRIALS)
    connection.execute(_EPOCHS)
    found = {
        "cells": run(connection, _CELLS),
        "epochs": run(connection, _RENUMBERED.format(rows="chosen_epochs", kind="epoch")),
        "sessions": run(connection, _SESSIONS),
        "evaluations": run(connection, _EVALUATIONS.format(keys=", ".join(KEYS["evaluations"]))),
        "trials": run(connection, _RENUMBERED.format(rows="chosen", kind="trial")),
    }
    return {table: conform(table, rows) for table, rows in found.items()}
