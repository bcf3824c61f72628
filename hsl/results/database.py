"""A DuckDB that holds the tables of a store and reaches nothing else: no file, no network, no extension."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
import pyarrow as pa

from hsl.errors import HslError
from hsl.results.columns import TABLES

_SANDBOX = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}

_LABELLED = """
SELECT trials.*, coalesce(planned.baseline, method = 'dense') AS baseline
FROM trials LEFT JOIN (SELECT cell, baseline FROM cells) AS planned USING (cell)
"""


def sandbox(tables: Mapping[str, pa.Table]) -> duckdb.DuckDBPyConnection:
    """A database of `tables` from which SQL reaches nothing else."""
    connection = duckdb.connect(":memory:", config=_SANDBOX)
    for name, table in tables.items():
        connection.register(name, table)
    connection.execute("SET lock_configuration = true")
    return connection


def require_select(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Refuse everything but one SELECT (which DESCRIBE and SHOW are as well).

    Raises:
        HslError: If `sql` is anything else, or does not parse.
    """
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise HslError(one_line(error)) from error
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        given = ", ".join(kinds) or "nothing"
        raise HslError(
            f"a query is one SELECT over trials, epochs, cells and evaluations, it only reads; given: {given}"
        )


def table_names(connection: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """The tables that `sql` reads (others need not be loaded), or all where that cannot be told."""
    try:
        named = {name.casefold() for name in connection.get_table_names(sql)}
    except duckdb.Error:
        named = set()
    return named & set(TABLES) or set(TABLES)


def run(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The rows that `sql` returns.

    Raises:
        HslError: If it is wrong, or asks for something outside the tables.
    """
    try:
        return connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise HslError(one_line(error)) from error


def labelled(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The trials with a column `baseline`: whether the cell is the dense reference of its regime."""
    return run(connection, _LABELLED)


def filtered(connection: duckdb.DuckDBPyConnection, view: str, where: str | None) -> pa.Table:
    """The rows of `view` for which `where` holds: one expression, which nothing can follow.

    Raises:
        HslError: If `where` is no expression over the columns of `view`.
    """
    rows = connection.table(view)
    try:
        return (rows.filter(where) if where else rows).to_arrow_table()
    except duckdb.Error as error:
        raise HslError(f"condition {where!r}: {one_line(error)}") from error


def one_line(error: duckdb.Error) -> str:
    """DuckDB's reason without its drawing of the place, and where to look next."""
    reason = str(error).partition("\n")[0].rstrip(" .")
    return f"{reason}; tables are trials, epochs, cells and evaluations, `DESCRIBE trials` lists columns"
