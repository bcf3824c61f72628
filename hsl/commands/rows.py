"""Rows of a command, shown in the format that was asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from hsl.commands.options import Format


def show_rows(rows: Sequence[Mapping[str, Any]], format: Format, caption: str = "") -> None:
    """Show rows; a value that a row lacks is empty there."""
    import pyarrow as pa  # noqa: PLC0415

    from hsl.results.show.output import show  # noqa: PLC0415

    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    show(table, str(format), caption=caption)
