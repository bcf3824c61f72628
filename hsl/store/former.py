"""Columns that files of earlier versions lack, from what these files have."""

import json
from collections.abc import Callable, Mapping
from typing import NamedTuple

import pyarrow as pa


class Former(NamedTuple):
    """Where the value of a column comes from: another column of the row, and a function of it."""

    source: str
    value: Callable[[str | None], object]


def _split_seed(configuration: str | None) -> object:
    """The seed of the split of a stored configuration, which has differences from the defaults only."""
    if configuration is None or '"split"' not in configuration:
        return 0
    try:
        return int(json.loads(configuration)["split"].get("seed", 0))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None  # reading the configuration itself says what is wrong with it


FORMER: Mapping[str, Mapping[str, Former]] = {"trials": {"split_seed": Former("configuration", _split_seed)}}
"""Table -> column that a later version has added -> where its value comes from."""


def with_former(table: str, rows: pa.Table) -> pa.Table:
    """The rows of a file with the columns that it lacks and that can be made from its own."""
    for name, (source, value) in FORMER.get(table, {}).items():
        if name not in rows.column_names and source in rows.column_names:
            texts = rows[source].combine_chunks().dictionary_encode()
            found = pa.array([value(text) for text in texts.dictionary.to_pylist()], pa.int64())
            rows = rows.append_column(name, found.take(texts.indices))
    return rows
