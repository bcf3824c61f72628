"""Single tables as files of a store: Parquet, with a checksum of every page."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from hsl.errors import DamagedError
from hsl.filesystems import place
from hsl.store.checkpoints import bytes_at


def write_table(uri: str, table: pa.Table) -> None:
    """Place `table` as one Parquet file, atomically."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, write_page_checksum=True)
    place(uri, buffer.getvalue())


def stored_table(uri: str, what: str) -> pa.Table | None:
    """The table that was written; None if there is no file.

    Args:
        uri: Of the file.
        what: What is in it, for messages, with its verb: "the scores are".

    Raises:
        DamagedError: If it is not a Parquet file, or one of its pages is not what was written.
    """
    content = bytes_at(uri)
    if content is None:
        return None
    try:
        return pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(f"{what} damaged ({error})") from error
