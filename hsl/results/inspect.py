"""One trial or one cell of a store, with everything that is known about it."""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hsl.errors import NothingMatchedError, close_match
from hsl.results.best import short_parameters
from hsl.results.dense import counterparts
from hsl.results.ranking import ranks
from hsl.results.shaping import fields
from hsl.results.show.text import cell as cell_text
from hsl.store.documents import document
from hsl.store.rows import arrow_schema, columns_of
from hsl.store.store import Store

ROLES = ("winner", "candidate", "dense")

_FOR_PEOPLE = (
    *("role", "rank", "trial_id", "stage", "status", "method", "distribution", "parameters"),
    *("objective", "test_matched_accuracy", "test_clean_accuracy", "seconds"),
)


def inspect(store: Store, name: str) -> pa.Table:
    """Everything about the trial or the cell called `name`.

    Returns:
        For a trial one row with the columns of trials. For a cell a row per trial with role ("winner",
        "candidate", or "dense" for the trials of the winner of its dense counterpart), rank of its configuration
        as `best` ranks it (null where no trial completed), and the columns of trials.

    Raises:
        NothingMatchedError: If there is neither a trial nor a cell of this name.
    """
    trials, cells = store.read("trials"), store.read("cells")
    found = trials.filter(pc.equal(trials["trial_id"], name))
    if len(found):
        return found
    names = {*cells["cell"].to_pylist(), *trials["cell"].to_pylist()}
    if name not in names:
        known = [*sorted(names), *trials["trial_id"].to_pylist()]
        raise NothingMatchedError(
            f"neither a trial nor a cell is called {name!r}{close_match(name, known)}; "
            f"cells: {', '.join(sorted(names)[:20])}; trials: hsl query {store.uri} 'SELECT trial_id FROM trials'"
        )
    dense = counterparts(cells, trials).get(name)  # of a dense cell itself
    return _cell({"trials": trials, "cells": cells}, name, None if dense == name else dense)


def evaluations(store: Store, trial: pa.Table) -> pa.Table:
    """The evaluations of the network of a trial that `inspect` found, in order; empty for a cell."""
    rows = store.read("evaluations")
    if "role" in trial.column_names:
        return rows.slice(0, 0)
    own = rows.filter(pc.equal(rows["trial_id"], trial["trial_id"][0]))
    return own.sort_by([(name, "ascending") for name in ("split", "checkpoint", "measure", "detail")])


def for_people(found: pa.Table, evaluated: pa.Table | None = None) -> pa.Table:
    """The result of `inspect` as a list of properties and `evaluations` (a trial) or in few columns (a cell)."""
    if "role" not in found.column_names:
        return pa.Table.from_pylist([*_properties(found.to_pylist()[0]), *_evaluated(evaluated)])
    rows = [{**row, "parameters": short_parameters(row)} for row in found.to_pylist()]
    return pa.Table.from_pylist(rows, schema=found.schema).select(_FOR_PEOPLE)


def _properties(row: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Property and value, JSON columns taken apart; what has no value is left out."""
    for column in columns_of("trials"):
        value = row[column.name]
        if value is None:
            continue
        if column.type == "json":
            value = document(row, "trials", column.name)
        unit = f" {column.unit}" if column.unit in {"s", "epochs"} else ""
        for name, part in _flat(value, column.name):
            percent = " %" if name.endswith("_accuracy") else unit
            yield {"property": name, "value": cell_text(name, part) + percent}


def _evaluated(rows: pa.Table | None) -> Iterator[dict[str, str]]:
    """Every accuracy: of which part of the data, which checkpoint and what, and on how many samples."""
    for row in rows.to_pylist() if rows is not None else ():
        if row["accuracy"] is not None:
            name = " ".join((row["split"], row["checkpoint"], row["measure"], row["detail"])).strip()
            value = f"{cell_text('_accuracy', row['accuracy'])} % of {row['samples']} samples"
            yield {"property": f"evaluations.{name}", "value": value}


def _flat(value: object, name: str) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{name}.{key}")
    else:
        yield name, value


def _cell(tables: Mapping[str, pa.Table], name: str, dense: str | None) -> pa.Table:
    trials, ranked = tables["trials"], ranks(tables, [name, *([dense] if dense else [])])
    rows = []
    for row in trials.filter(pc.is_in(trials["cell"], pa.array([name, dense], pa.string()))).to_pylist():
        rank = ranked.get((row["cell"], row["configuration_id"]))
        if row["cell"] == name or rank == 1:
            role = "dense" if row["cell"] != name else "winner" if rank == 1 else "candidate"
            rows.append({"role": role, "rank": rank, **row})
    rows.sort(key=lambda row: (ROLES.index(row["role"]), row["rank"] or inf, row["stage"], row["seed"]))
    first = (*fields(pa.string(), "role"), *fields(pa.int64(), "rank"))
    return pa.Table.from_pylist(rows, schema=pa.schema([*first, *arrow_schema("trials")]))
