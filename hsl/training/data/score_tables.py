"""Files of difficulty scores as tables. Torch-free."""

from __future__ import annotations

import io

import pyarrow as pa
import pyarrow.parquet as pq

from hsl.errors import DamagedError
from hsl.filesystems import place
from hsl.store.checkpoints import content_of


def write_table(uri: str, table: pa.Table) -> None:
    """Place `table` as one Parquet file, atomically."""
    buffer = io.BytesIO()
    pq.write_table(table, buffer, write_page_checksum=True)
    place(uri, buffer.getvalue())


def read_table(uri: str) -> pa.Table:
    """Columns ``id``, ``split``, ``label``, ``score``, in the order of the ids; ``is_wrong`` where labels were.

    Raises:
        FileNotFoundError: If there is no file.
        DamagedError: If it is not a Parquet file, or has no scores.
    """
    content = content_of(uri)
    if content is None:
        raise FileNotFoundError(f"no scores at {uri}")
    try:
        table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    except (pa.ArrowException, OSError) as error:
        raise DamagedError(f"the scores are damaged ({error})") from error
    if missing := {"id", "score"} - set(table.column_names):
        raise DamagedError(f"the scores are damaged (no column {', '.join(sorted(missing))})")
    return table
