"""The command that says how a sweep is doing."""

from __future__ import annotations

import json

import typer

from hsl.commands.options import Format, OutFormat, StoreUri


def status(store: StoreUri, format: OutFormat = Format.TABLE) -> None:
    """Show how a sweep is doing, from another terminal or after the fact: cells, driver, rate, failures."""
    from hsl.results.output import show  # noqa: PLC0415
    from hsl.results.text import plain  # noqa: PLC0415
    from hsl.search.status import read_status  # noqa: PLC0415

    found = read_status(store)
    if format is Format.JSON:
        typer.echo(json.dumps(plain(found.document()), indent=2))
        return
    if format is not Format.TABLE:
        show(found.table(), str(format))
        return
    typer.echo("\n".join([found.name, *found.lines()]))
    show(found.table())
    if found.failures:
        import pyarrow as pa  # noqa: PLC0415

        show(pa.Table.from_pylist(found.failures), caption="All of them: hsl query, status = 'failed'.")
