"""Rows of a command, shown as it was asked for."""

from collections.abc import Mapping, Sequence
from typing import Any

from hsl.commands.options import Format


def show_rows(rows: Sequence[Mapping[str, Any]], format: Format) -> None:
    """Show rows; what one lacks is empty there."""
    import pyarrow as pa  # noqa: PLC0415

    from hsl.results.show.output import show  # noqa: PLC0415

    names = {name: None for row in rows for name in row}
    show(pa.table({name: [row.get(name) for row in rows] for name in names}), str(format))
