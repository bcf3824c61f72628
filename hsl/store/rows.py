"""Checks of rows and files of the result store against its columns; the columns as documentation."""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from numbers import Integral, Real
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc

from hsl.errors import StoreError, UnknownNameError, close_match
from hsl.store.columns import KEYS, TABLES, Column

SCHEMA_VERSION = 1
"""Version of the columns, written into every file; it changes when a column changes its meaning."""

_LARGEST = 2**53
"""Smallest integer beyond which floats are not exact."""

_BOUNDED_UNITS = {"fraction", "s", "h", "samples"}
_BOUND = 1e15
"""Limit of values of these units, so that sums of their squares are finite."""

TABLE_KEY = b"hsl.table"
VERSION_KEY = b"hsl.schema_version"

_ARROW_TYPES = {
    "string": pa.string(),
    "json": pa.string(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "bool": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
}


def columns_of(table: str) -> tuple[Column, ...]:
    """The columns of `table`.

    Raises:
        UnknownNameError: If there is no such table.
    """
    if table not in TABLES:
        raise UnknownNameError("table", table, TABLES)
    return TABLES[table]


def check_names(table: str, names: Iterable[str]) -> None:
    """Refuse names that no column of `table` has.

    Raises:
        UnknownNameError: If there is no such table or column.
    """
    known = [column.name for column in columns_of(table)]
    for name in names:
        if name not in known:
            raise UnknownNameError("column", name, known)


def arrow_schema(table: str) -> pa.Schema:
    """The columns of `table` as a pyarrow schema; its metadata names the table and SCHEMA_VERSION."""
    fields = [pa.field(column.name, _ARROW_TYPES[column.type]) for column in columns_of(table)]
    metadata = {TABLE_KEY: table.encode(), VERSION_KEY: str(SCHEMA_VERSION).encode()}
    return pa.schema(fields, metadata=metadata)


def check_row(table: str, row: Mapping[str, object]) -> dict[str, object]:
    """Convert a row to what is stored: every column in order, JSON as text, NaN as null.

    NaN becomes null because averages and orderings of a column that holds a NaN are wrong; status and reason say
    that a training diverged.

    Args:
        table: Name of the table.
        row: Column name to value. Nullable columns may be left out. JSON is given as text or object.

    Raises:
        StoreError: If a column is unknown or missing, or a value has the wrong type.
    """
    columns = columns_of(table)
    known = [column.name for column in columns]
    for name in row:
        if name not in known:
            hint = close_match(name, known)
            raise StoreError(f"{table} has no column {name!r}{hint}; columns: {', '.join(known)}")
    return {column.name: _check(table, column, row.get(column.name)) for column in columns}


def to_arrow(table: str, rows: Iterable[Mapping[str, object]]) -> pa.Table:
    """`rows` (see `check_row`) as an Arrow table with the schema of `table`.

    Raises:
        StoreError: If a row does not fit.
    """
    return checked_table(table, [check_row(table, row) for row in rows])


def checked_table(table: str, rows: list[dict[str, object]]) -> pa.Table:
    """Rows from `check_row` as an Arrow table with the schema of `table`."""
    return pa.Table.from_pylist(rows, schema=arrow_schema(table))


def needed(table: str) -> list[str]:
    """The columns that identify and order rows: the key, and the order of arrival."""
    counted = any(column.name == "sequence" for column in columns_of(table))
    return [*KEYS[table], *(["sequence"] if counted else [])]


def conform(table: str, found: pa.Table, wanted: Sequence[str] | None = None) -> pa.Table:
    """Convert the rows of a file to the columns of `table`: missing ones are null, unknown ones are left out.

    Args:
        table: Name of the table.
        found: Rows as they are in the file.
        wanted: Columns to return, at least those of `needed`; all by default.

    Raises:
        ValueError: If `found` was written as another table, if a column of `needed` is absent or has nulls, or if
            a column cannot be converted to its type.
    """
    schema = arrow_schema(table)
    written_as = (found.schema.metadata or {}).get(TABLE_KEY, table.encode())
    if written_as != table.encode():
        raise ValueError(f"written as {written_as.decode(errors='replace')}")
    if missing := [name for name in needed(table) if name not in found.column_names]:
        raise ValueError(f"no column {', '.join(missing)}")
    if empty := [name for name in needed(table) if found[name].null_count]:
        raise ValueError(f"nulls in column {', '.join(empty)}")
    present = set(found.column_names)
    fields = [field for field in schema if wanted is None or field.name in wanted]
    arrays = [
        found[field.name].cast(field.type) if field.name in present else pa.nulls(len(found), field.type)
        for field in fields
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields, metadata=schema.metadata))


def require_values(table: str, rows: pa.Table) -> None:
    """Refuse rows without a required value, or with one that is not permitted, in any of the columns of `rows`.

    Not permitted are values other than the allowed ones, integers that are negative or so large that sums overflow,
    and fractions, times and sample counts that are not finite.

    Raises:
        StoreError: For the first such row.
    """
    for column in columns_of(table):
        if column.name in rows.column_names:
            values = rows[column.name]
            if column.required and values.null_count:
                raise _unfit(table, column, rows, pc.is_null(values))
            wrong = _impossible(column, values)
            if wrong is not None and pc.any(wrong).as_py():
                raise _unfit(table, column, rows, wrong)


def _impossible(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Mask of the values that are not permitted; None if the column permits any."""
    if column.allowed:
        known = pc.is_in(values, value_set=pa.array(column.allowed, pa.string()))
        return pc.and_(pc.is_valid(values), pc.invert(known))
    if column.type == "int64" and column.name != "seed":  # seeds are never summed
        return pc.or_(pc.less(values, 0), pc.greater_equal(values, _LARGEST))
    if column.unit in _BOUNDED_UNITS:
        return pc.invert(pc.less_equal(pc.abs(values), _BOUND))  # NaN compares false
    return None


def _unfit(table: str, column: Column, rows: pa.Table, wrong: pa.ChunkedArray) -> StoreError:
    names = [name for name in KEYS[table] if name in rows.column_names]
    row = rows.select([*names, column.name]).filter(wrong).slice(0, 1).to_pylist()[0]
    where = ", ".join(f"{name} {row[name]!r}" for name in names)
    given = "no value" if row[column.name] is None else repr(row[column.name])
    ranges = {"int64": "0 to 2**53", "float64": "a finite number"}
    takes = ", ".join(column.allowed) or ranges.get(column.type, column.type)
    return StoreError(
        f"{table}.{column.name} of {where} is {given}, it takes {takes}; restore the files of {table}/ "
        "or remove those that something else wrote"
    )


def markdown() -> str:
    """The documentation of all columns in Markdown, one section per table."""
    head = "### {}\n\n| column | type | unit | meaning |\n|---|---|---|---|\n"
    return "\n".join(head.format(table) + "".join(map(_line, columns)) for table, columns in TABLES.items())


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
        json.loads(value, parse_constant=refuse_constant)
        return _string(value)
    if not isinstance(value, (Mapping, Sequence)):
        raise TypeError("pass JSON text, a mapping or a list")
    return _string(json.dumps(cast(Any, value), allow_nan=False, ensure_ascii=False))


def refuse_constant(name: str) -> None:
    """Reject NaN and the infinities, which `json.loads` accepts otherwise."""
    raise ValueError(f"JSON has no {name}")


_CONVERTERS: Mapping[str, Callable[[object], object]] = {
    "string": _string,
    "int64": _integer,
    "float64": _number,
    "bool": _boolean,
    "timestamp": _timestamp,
    "json": _json,
}
