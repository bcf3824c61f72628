"""A DuckDB database of the tables of a store without access to anything else: no file, no network, no extension."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import duckdb
import pyarrow as pa

from hsl.errors import HslError
from hsl.store.columns import TABLES
from hsl.store.rows import columns_of

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
    """Refuse everything but one SELECT (DESCRIBE and SHOW count as such).

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
        raise HslError(f"a query is one SELECT over {', '.join(TABLES)}; it only reads; given: {given}")


def table_names(connection: duckdb.DuckDBPyConnection, sql: str) -> set[str]:
    """The tables that `sql` reads (others need not be loaded), or all if that is not clear."""
    try:
        named = {name.casefold() for name in connection.get_table_names(sql)}
    except duckdb.Error:
        named = set()
    return named & set(TABLES) or set(TABLES)


def scanned_columns(connection: duckdb.DuckDBPyConnection, sql: str) -> set[str] | None:
    """Columns that `sql` reads from any table, by the plan of DuckDB; None if the plan does not say.

    Loading only these matters: reading a column costs more than most queries of it.
    """
    try:
        plan = json.loads(connection.sql(f"EXPLAIN (FORMAT JSON) {sql}").fetchall()[0][1])
    except (duckdb.Error, ValueError, IndexError):
        return None
    nodes = list(_nodes(plan))
    scans = [node["extra_info"].get("Projections") for node in nodes if "ARROW_SCAN" in node["name"]]
    described = any("COLUMN_DATA" in node["name"] for node in nodes)  # DESCRIBE lists all columns
    if described or not scans or not all(scans):
        return None
    return {name for found in scans for name in ([found] if isinstance(found, str) else found)}


def _nodes(plan: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for node in plan:
        yield node
        yield from _nodes(node["children"])


def mentioned_columns(condition: str | None) -> list[str]:
    """Columns of trials that `condition` names, or all if it may select columns by pattern."""
    known = [column.name for column in columns_of("trials")]
    words = _words(condition)
    return known if "columns" in words else [name for name in known if name in words]


def _words(condition: str | None) -> set[str]:
    return set(re.findall(r"\w+", (condition or "").casefold()))


def check_selects(condition: str | None) -> None:
    """Refuse a condition on test results: it chooses trials by what they are to show, and means are of the lucky ones.

    Raises:
        HslError: If it names a column of test results.
    """
    words = _words(condition)
    results = [column.name for column in columns_of("trials") if "test_" in column.name]
    if chosen := [name for name in results if name in words]:
        raise HslError(
            f"condition {condition!r} selects by {', '.join(chosen)}: test results choose nothing, or what is shown "
            "would be the mean of the lucky seeds; leave it out, or look at single trials with hsl query"
        )


def run(connection: duckdb.DuckDBPyConnection, sql: str) -> pa.Table:
    """The rows that `sql` returns.

    Raises:
        HslError: If it is wrong, or asks for something outside the tables.
    """
    try:
        return connection.sql(sql).to_arrow_table()
    except duckdb.Error as error:
        raise HslError(one_line(error)) from error


def label(connection: duckdb.DuckDBPyConnection) -> None:
    """Make a view `labelled`: trials with `baseline`, whether the cell is the dense reference of its regime."""
    connection.execute(f"CREATE VIEW labelled AS {_LABELLED}")


def select(connection: duckdb.DuckDBPyConnection, name: str, where: str | None) -> None:
    """Make a table `name` of the rows of `labelled` for which `where` holds: one expression.

    Raises:
        HslError: If `where` is no expression over the columns, or if anything follows it.
    """
    rows = connection.view("labelled")
    try:
        connection.register(name, (rows.filter(where) if where else rows).to_arrow_table())
    except duckdb.Error as error:
        raise HslError(f"condition {where!r}: {one_line(error)}") from error


def one_line(error: duckdb.Error) -> str:
    """DuckDB's message without its drawing of the position, and where to look next."""
    reason = str(error).partition("\n")[0].rstrip(" .")
    return f"{reason}; tables are {', '.join(TABLES)}; `DESCRIBE trials` lists columns"
