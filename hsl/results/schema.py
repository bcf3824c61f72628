"""The columns of the result store: the one table from which files, checks and documentation are made.

A new column is added here and must be nullable, because files written before it do not have it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import Any, cast

import pyarrow as pa

from hsl.errors import StoreError, UnknownNameError, close_match

SCHEMA_VERSION = 1
"""Version of the columns; written into every file. It changes when a column changes its meaning."""

TABLE_KEY = b"hsl.table"
VERSION_KEY = b"hsl.schema_version"


@dataclass(frozen=True)
class Column:
    """One column of the store.

    Attributes:
        name: Name in the file and in SQL.
        type: "string", "int64", "float64", "bool", "timestamp" (UTC, in us) or "json" (stored as text).
        unit: Unit or kind of value; empty where there is none.
        meaning: One sentence for the documentation.
        required: Whether every row must have a value.
        allowed: The only values permitted; empty for any.
    """

    name: str
    type: str
    unit: str
    meaning: str
    required: bool = False
    allowed: tuple[str, ...] = ()


def _metrics() -> tuple[Column, ...]:
    rows = []
    for split in ("val", "test"):
        for difficulty, data in (("clean", "unchanged"), ("matched", "as hard as the training")):
            name = f"{split}_{difficulty}"
            rows.append(
                Column(f"{name}_accuracy", "float64", "fraction", f"Accuracy on {data} {split} data.")
            )
            rows.append(Column(f"{name}_loss", "float64", "nats", f"Mean loss on {data} {split} data."))
    return tuple(rows)


_TRIALS = (
    Column("sequence", "int64", "", "Order of arrival, counted over the whole sweep.", True),
    Column("trial_id", "string", "", "Hash of the non-default configuration and the seed.", True),
    Column("configuration_id", "string", "", "Hash of the non-default configuration without the seed.", True),
    Column("cell", "string", "", "The cell that the trial belongs to.", True),
    Column("stage", "string", "", "What the trial is for.", True, ("search", "confirm")),
    Column("seed", "int64", "", "Seed of everything random.", True),
    Column("dataset", "string", "", "Name of the data set.", True),
    Column("model", "string", "", "Name of the model.", True),
    Column("regime", "string", "", "Name of the hardness regime.", True),
    Column("method", "string", "", "How the mask is found and changed.", True),
    Column(
        "distribution", "string", "", "How non-zeros are split over layers; null where the method has none."
    ),
    Column("sparsity", "float64", "fraction", "Requested fraction of zeros among prunable weights.", True),
    Column("parameters", "json", "", "Tuned parameters: dotted name to value.", True),
    Column("configuration", "json", "", "The full configuration.", True),
    Column("status", "string", "", "How the trial ended.", True, ("completed", "stopped", "failed")),
    Column("reason", "string", "", "Why it was stopped or failed."),
    Column("epochs", "int64", "epochs", "Epochs trained.", True),
    Column("budget_epochs", "int64", "epochs", "Epochs of a full training.", True),
    Column("objective", "float64", "", "Validation metric that search and early stopping maximise."),
    *_metrics(),
    Column("train_loss", "float64", "nats", "Mean training loss of the last epoch."),
    Column("realised_sparsity", "float64", "fraction", "Fraction of zeros reached at the end."),
    Column("parameters_total", "int64", "weights", "Prunable weights of the model."),
    Column("nonzeros", "int64", "weights", "Active prunable weights at the end."),
    Column("layer_densities", "json", "", "Layer name to its fraction of active weights at the end."),
    Column("seconds", "float64", "s", "Training time."),
    Column("passes", "float64", "samples", "Forward-backward passes, counted per sample."),
    Column("training_flops", "float64", "fraction", "Training operations beside dense, parent included."),
    Column("inference_flops", "float64", "fraction", "Operations of a forward pass beside dense."),
    Column("exempt", "bool", "", "Whether early stopping was not allowed to stop the trial.", True),
    Column("attempts", "int64", "", "How often the trial was started.", True),
    Column("device", "string", "", "Device it was trained on."),
    Column("node", "string", "", "Machine it was trained on."),
    Column("started_at", "timestamp", "UTC", "Start of the first attempt."),
    Column("ended_at", "timestamp", "UTC", "End of the last attempt."),
    Column("provenance", "json", "", "Versions, commit and machine that produced the row."),
)

_EPOCHS = (
    Column("sequence", "int64", "", "Order of arrival, counted over the whole sweep.", True),
    Column("trial_id", "string", "", "The trial.", True),
    Column("cell", "string", "", "The cell that the trial belongs to.", True),
    Column("epoch", "int64", "epochs", "Epoch that ended, counted from 1.", True),
    Column("epochs_at_target", "int64", "epochs", "Epochs trained since the target sparsity was reached."),
    Column("lr", "float64", "", "Learning rate at the end of the epoch."),
    Column("train_loss", "float64", "nats", "Mean training loss."),
    Column("train_accuracy", "float64", "fraction", "Accuracy on the training data as trained on."),
    *_metrics(),
    Column(
        "sparsity", "float64", "fraction", "Fraction of zeros among prunable weights at the end of the epoch."
    ),
    Column("seconds", "float64", "s", "Time of the epoch."),
)

_CELLS = (
    Column("cell", "string", "", "Name of the cell: one combination of levels.", True),
    Column("regime", "string", "", "Name of the hardness regime.", True),
    Column("levels", "json", "", "Factor to level.", True),
    Column("baseline", "bool", "", "Whether it is the dense baseline of its regime.", True),
    Column("configurations", "int64", "", "Budget: configurations to search.", True),
    Column("space_hash", "string", "", "Hash of the search space that planned the cell."),
)

TABLES: Mapping[str, tuple[Column, ...]] = {"trials": _TRIALS, "epochs": _EPOCHS, "cells": _CELLS}

KEYS: Mapping[str, tuple[str, ...]] = {
    "trials": ("trial_id",),
    "epochs": ("trial_id", "epoch"),
    "cells": ("cell",),
}
"""The columns of which a table has at most one row per combination of values."""

_ARROW_TYPES = {
    "string": pa.string(),
    "json": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def columns(table: str) -> tuple[Column, ...]:
    """The columns of `table`.

    Raises:
        UnknownNameError: If there is no such table.
    """
    if table not in TABLES:
        raise UnknownNameError("table", table, TABLES)
    return TABLES[table]


def arrow_schema(table: str) -> pa.Schema:
    """The columns of `table` as a pyarrow schema; its metadata names the table and SCHEMA_VERSION."""
    fields = [pa.field(column.name, _ARROW_TYPES[column.type]) for column in columns(table)]
    metadata = {TABLE_KEY: table.encode(), VERSION_KEY: str(SCHEMA_VERSION).encode()}
    return pa.schema(fields, metadata=metadata)


def check_row(table: str, row: Mapping[str, object]) -> dict[str, object]:
    """`row` as it is stored: every column present, JSON as text, NaN as null.

    NaN becomes null because every average and every ordering of a column that holds a NaN is wrong; that a
    training diverged is told by status and reason.

    Args:
        table: Name of the table.
        row: Column name to value. Nullable columns may be left out. JSON is given as text or object.

    Returns:
        A new dict with the columns of the table in their order.

    Raises:
        StoreError: If a column is unknown or missing, or a value has the wrong type.
    """
    known = [column.name for column in columns(table)]
    for name in row:
        if name not in known:
            hint = close_match(name, known)
            raise StoreError(f"{table} has no column {name!r}{hint}; columns: {', '.join(known)}")
    return {column.name: _check(table, column, row.get(column.name)) for column in columns(table)}


def to_arrow(table: str, rows: Iterable[Mapping[str, object]]) -> pa.Table:
    """`rows` (see `check_row`) as an Arrow table with the schema of `table`.

    Raises:
        StoreError: If a row does not fit.
    """
    checked = [check_row(table, row) for row in rows]
    return pa.Table.from_pylist(checked, schema=arrow_schema(table))


def conform(table: str, found: pa.Table) -> pa.Table:
    """A file's columns as those of `table`: missing ones are null, unknown ones are left out.

    Raises:
        ValueError: If `found` was written as another table, if a key column is absent or has nulls, or if a
            column cannot be converted to its type.
    """
    schema = arrow_schema(table)
    written_as = (found.schema.metadata or {}).get(TABLE_KEY, table.encode())
    if written_as != table.encode():
        raise ValueError(f"written as {written_as.decode(errors='replace')}")
    needed = [*KEYS[table], *(["sequence"] if "sequence" in schema.names else [])]
    if missing := [name for name in needed if name not in found.column_names]:
        raise ValueError(f"no column {', '.join(missing)}")
    if empty := [name for name in needed if found[name].null_count]:
        raise ValueError(f"nulls in column {', '.join(empty)}")
    arrays = [
        found[field.name].cast(field.type)
        if field.name in found.column_names
        else pa.nulls(len(found), field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def markdown() -> str:
    """The documented table of columns in Markdown, one section per table."""
    return "\n".join(_section(name) for name in TABLES)


def _section(table: str) -> str:
    head = f"### {table}\n\n| column | type | unit | meaning |\n|---|---|---|---|\n"
    return head + "".join(_line(column) for column in TABLES[table])


def _line(column: Column) -> str:
    kind = column.type if column.required else f"{column.type}, nullable"
    allowed = f" One of {', '.join(column.allowed)}." if column.allowed else ""
    return f"| `{column.name}` | {kind} | {column.unit} | {column.meaning}{allowed} |\n"


def _check(table: str, column: Column, value: object) -> object:
    if value is None:
        if column.required:
            raise StoreError(f"{table}.{column.name} has no value; every row of {table} needs one")
        return None
    try:
        stored = _CONVERTERS[column.type](value)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"{table}.{column.name} was given {value!r}, it takes {column.type}: {error}"
        raise StoreError(message) from error
    if column.allowed and stored not in column.allowed:
        raise StoreError(f"{table}.{column.name} was given {value!r}, it takes {', '.join(column.allowed)}")
    return stored


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("pass text")
    value.encode()  # a lone surrogate cannot be stored
    return value


def _integer(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise TypeError("pass an integer")
    if not -(2**63) <= int(value) < 2**63:
        raise ValueError("it must fit into 64 bits")
    return int(value)


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError("pass a number")
    return None if math.isnan(value) else float(value)


def _boolean(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError("pass True or False")
    return value


def _timestamp(value: object) -> datetime:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise TypeError("pass a datetime with a time zone, for example datetime.now(UTC)")
    return value.astimezone(UTC)


def _json(value: object) -> str:
    if isinstance(value, str):
        json.loads(value, parse_constant=_refuse_constant)
        return _string(value)
    if not isinstance(value, (Mapping, Sequence)):
        raise TypeError("pass JSON text, a mapping or a list")
    return _string(json.dumps(cast(Any, value), sort_keys=True, allow_nan=False, ensure_ascii=False))


def _refuse_constant(name: str) -> None:
    raise ValueError(f"JSON has no {name}")


_CONVERTERS: Mapping[str, Callable[[object], object]] = {
    "string": _string,
    "int64": _integer,
    "float64": _number,
    "bool": _boolean,
    "timestamp": _timestamp,
    "json": _json,
}
