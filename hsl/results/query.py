"""Questions to a store: any SQL that only reads, and which configuration is best."""

from __future__ import annotations

import pyarrow as pa

from hsl.results.best import best
from hsl.results.database import require_select, run, sandbox, table_names
from hsl.results.store import Store

__all__ = ["best", "passes_per_second", "query"]


def query(store: Store, sql: str) -> pa.Table:
    """What one SELECT over the views trials, epochs and cells returns.

    Args:
        store: Where to read.
        sql: One statement of DuckDB's SQL that only reads; ``DESCRIBE trials`` lists the columns.

    Returns:
        The result, column by column.

    Raises:
        HslError: If the statement is not a single SELECT, needs files, the network or an extension, or is
            wrong.
        StoreError: If there is no store.
    """
    with sandbox({}) as parser:
        require_select(parser, sql)
        named = table_names(parser, sql)
    with sandbox({name: store.read(name) for name in named}) as connection:
        return run(connection, sql)


def passes_per_second(store: Store) -> float | None:
    """Forward-backward passes per second of training over all trials; None where nothing is recorded."""
    if not store.exists():
        return None
    answer = query(store, "SELECT sum(passes) / sum(seconds) AS speed FROM trials WHERE seconds > 0")
    speed = answer["speed"][0].as_py()
    return None if speed is None else float(speed)
