"""Files of difficulty scores as tables. Torch-free."""

from __future__ import annotations

import pyarrow as pa

from hsl.errors import DamagedError
from hsl.store.tables import stored_table


def read_table(uri: str) -> pa.Table:
    """Columns ``id``, ``split``, ``label``, ``score``, in the order of the ids; ``is_wrong`` where labels were.

    Raises:
        FileNotFoundError: If there is no file.
        DamagedError: If it is not a Parquet file, or has no scores.
    """
    table = stored_table(uri, "the scores are")
    if table is None:
        raise FileNotFoundError(f"no scores at {uri}")
    if missing := {"id", "score"} - set(table.column_names):
        raise DamagedError(f"the scores are damaged (no column {', '.join(sorted(missing))})")
    return table
