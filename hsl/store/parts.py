"""Files of a table: their names and order, their content as rows, and the newest row of each key."""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hsl.errors import StoreError
from hsl.store.columns import KEYS
from hsl.store.former import FORMER, with_former
from hsl.store.rows import SCHEMA_VERSION, VERSION_KEY, arrow_schema, conform, needed, require_values

_NAME = re.compile(r"part-(?P<session>[0-9a-f]+)-(?P<number>\d+)\.parquet")


class Part(NamedTuple):
    """One file of a table; parts are ordered from old to new."""

    number: int
    session: str

    @property
    def name(self) -> str:
        """Name of the file."""
        return f"part-{self.session}-{self.number}.parquet"


def parse(name: str) -> Part | None:
    """The part with this file name; None if it is not a part."""
    match = _NAME.fullmatch(name)
    return Part(int(match["number"]), match["session"]) if match else None


def decode(table: str, source: pa.NativeFile, columns: Sequence[str] | None = None) -> pa.Table:
    """Read columns of a file as they are in it.

    Args:
        table: Name of the table.
        source: The open file, of which only these columns are read.
        columns: Columns to read in addition to those of `rows.needed`; those that the file lacks are left out. By
            default all, including unknown ones.

    Raises:
        StoreError: If a newer version wrote the file, in which a column may have another meaning; or if
            `rows.require_values` refuses a row.
        pyarrow.ArrowException, OSError, ValueError, KeyError: If it is not a file of this table.
    """
    file = pq.ParquetFile(source, pre_buffer=True, page_checksum_verification=True)
    found = file.schema_arrow
    _check_version(found)
    if len(set(found.names)) < len(found.names):
        raise ValueError("two columns have one name")
    wanted = found.names if columns is None else {*columns, *needed(table), *_former(table, found, columns)}
    rows = with_former(table, file.read(columns=[name for name in found.names if name in wanted]))
    fit = conform(table, rows, columns)
    require_values(table, fit.select([name for name in fit.column_names if name in rows.column_names]))
    return rows


def _former(table: str, found: pa.Schema, columns: Sequence[str]) -> set[str]:
    """Columns from which others are made that are requested and that the file lacks."""
    return {
        former.source
        for name, former in FORMER.get(table, {}).items()
        if name in columns and name not in found.names
    }


def _check_version(found: pa.Schema) -> None:
    version = (found.metadata or {}).get(VERSION_KEY, b"0")
    if version.isdigit() and int(version) > SCHEMA_VERSION:
        raise StoreError(
            f"this store was written by a newer hsl: schema version {int(version)}, and this one reads "
            f"{SCHEMA_VERSION}; update hsl (pip install -U hsl)"
        )


def newest(table: str, parts: Iterable[pa.Table], columns: Sequence[str] | None = None) -> pa.Table:
    """The row of each key with the highest sequence, or of the newest file if equal, ordered by sequence.

    `parts` are the rows of the files of `table` from old to new; all columns are returned by default.
    """
    names = arrow_schema(table).names if columns is None else list(columns)
    loaded = list(dict.fromkeys((*names, *needed(table))))
    empty = arrow_schema(table).empty_table()
    rows = pa.concat_tables(conform(table, part, loaded) for part in (empty, *parts))
    rows = _in_order(rows)
    if _has_duplicates(rows, KEYS[table]):
        numbered = rows.select(list(KEYS[table])).append_column("#", pa.array(range(len(rows)), pa.int64()))
        last = numbered.group_by(list(KEYS[table])).aggregate([("#", "max")])["#_max"]
        rows = rows.take(last.take(pc.sort_indices(last)))
    return rows.select(names)


def _in_order(rows: pa.Table) -> pa.Table:
    """Sort by sequence, if there is one, unless the rows are in order already, as most are."""
    if "sequence" not in rows.column_names or len(rows) < 2:
        return rows
    sequence = rows["sequence"].combine_chunks()
    if pc.all(pc.less_equal(sequence[:-1], sequence[1:])).as_py():
        return rows
    return rows.take(pc.sort_indices(rows, [("sequence", "ascending")]))


def _has_duplicates(rows: pa.Table, keys: Sequence[str]) -> bool:
    """Whether two rows have the same key; sorting numbers takes a fraction of the time of grouping."""
    numbers = np.zeros(len(rows), np.int64)
    span = 1
    for name in keys:
        own = rows[name].combine_chunks()
        if not pa.types.is_integer(own.type):
            own = own.dictionary_encode().indices
        codes = own.to_numpy(zero_copy_only=False).astype(np.int64)
        low, high = (int(codes.min()), int(codes.max())) if len(codes) else (0, 0)
        span *= high - low + 1
        if span >= 2**63:
            return len(rows.group_by(list(keys)).aggregate([])) < len(rows)
        numbers = numbers * (high - low + 1) + (codes - low)
    numbers.sort()
    return bool((numbers[1:] == numbers[:-1]).any())
