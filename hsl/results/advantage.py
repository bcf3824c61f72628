"""What the side of a comparison gains by having had more configurations to choose from."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb

from hsl.results.ranking import TIE, USABLE, key_columns, key_names
from hsl.results.shaping import values_of
from hsl.store.database import run

Key = tuple[Any, ...]


def expected_best(values: Sequence[float], count: int) -> float:
    """The mean of the best of `count` different ones of some values, over all ways to draw them.

    Args:
        values: At least `count`.
        count: At least 1.
    """
    total = math.comb(len(values), count)
    weights = (math.comb(rank, count - 1) / total for rank in range(len(values)))
    return math.fsum(weight * value for weight, value in zip(weights, sorted(values), strict=True))


def advantage(mine: Sequence[float], its: Sequence[float]) -> float | None:
    """How much better the best of one side is for having had more values than the other has; negative for less.

    The side with more is compared with as many of its own values as the other has.

    Args:
        mine: Validation objectives of the finished configurations of a side.
        its: Those of the side that it is compared to.

    Returns:
        In the units of the values; None if a side has none.
    """
    if not mine or not its:
        return None
    more, sign = (mine, 1) if len(mine) >= len(its) else (its, -1)
    gain = max(more) - expected_best(more, min(len(mine), len(its)))
    return round(sign * gain, TIE) + 0.0


def finished(
    connection: duckdb.DuckDBPyConnection, source: str, by: Sequence[str]
) -> Mapping[Key, list[float]]:
    """Validation objectives of the configurations that a search has trained to the end, by the values of some columns.

    Args:
        connection: Where the table is.
        source: Name of a table with the columns of trials.
        by: Columns; a configuration counts once in each combination of their values.
    """
    names = key_names(by)
    sql = f"""WITH found AS (
        SELECT {key_columns(by)}, configuration_id, max(objective) AS value FROM {source}
        WHERE stage = 'search' AND {USABLE} GROUP BY ALL)
      SELECT {", ".join(names)}, list(value ORDER BY value) AS found FROM found GROUP BY ALL"""
    rows = run(connection, sql).to_pylist()
    return {values_of(row, names): row["found"] for row in rows}
