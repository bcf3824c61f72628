"""Questions to a store in SQL that only reads."""

from collections.abc import Mapping

import pyarrow as pa

from hsl.errors import HslError
from hsl.store.columns import TABLES
from hsl.store.database import require_select, run, sandbox, scanned_columns, table_names
from hsl.store.rows import arrow_schema, columns_of
from hsl.store.store import Store


def query(store: Store, sql: str) -> pa.Table:
    """What one SELECT over the views trials, epochs, cells and evaluations returns.

    Args:
        store: The store to ask.
        sql: One statement of DuckDB's SQL that only reads; ``DESCRIBE trials`` lists the columns.

    Raises:
        HslError: If the statement is no single SELECT, is wrong, or needs files, the network or an extension.
        StoreError: If there is no store.
    """
    with sandbox({}) as parser:
        require_select(parser, sql)
        named = table_names(parser, sql)
    with sandbox({name: arrow_schema(name).empty_table() for name in TABLES}) as planner:
        columns = scanned_columns(planner, sql)
    if columns is not None:
        try:
            scanned = {name: [c.name for c in columns_of(name) if c.name in columns] for name in named}
            return _answer(store, sql, scanned)
        except HslError:
            pass  # any error is reported of the whole tables
    return _answer(store, sql, dict.fromkeys(named))


def _answer(store: Store, sql: str, columns: Mapping[str, list[str] | None]) -> pa.Table:
    # A table of which no column is scanned need not be read.
    tables = {
        name: arrow_schema(name).empty_table() if only == [] else store.read(name, only)
        for name, only in columns.items()
    }
    with sandbox(tables) as connection:
        return run(connection, sql)


def passes_per_second(store: Store) -> float | None:
    """Forward-backward passes per second of training over all trials; None where nothing is recorded."""
    if not store.exists():
        return None
    answer = query(store, "SELECT sum(passes) / sum(seconds) AS speed FROM trials WHERE seconds > 0")
    speed = answer["speed"][0].as_py()
    return None if speed is None else float(speed)
