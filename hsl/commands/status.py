"""The command that says how a sweep is doing."""

import json

import typer

from hsl.commands.edge import show_rows
from hsl.commands.options import Format, OutFormat, StoreUri

RUNG_COLUMNS = (
    *("rung", "epoch", "kind", "entries", "stopped", "evidence", "acts"),
    *("exempt", "correlation", "correlation_low", "correlation_high", "false_stop_rate", "regret"),
)


def status(store: StoreUri, format: OutFormat = Format.TABLE) -> None:
    """Show how a sweep is doing, from another terminal or after the fact: cells, driver, machines, rungs, failures."""
    from hsl.driver.watch.status import read_status  # noqa: PLC0415
    from hsl.results.show.output import show  # noqa: PLC0415
    from hsl.results.show.text import plain  # noqa: PLC0415

    found = read_status(store)
    if format is Format.JSON:
        typer.echo(json.dumps(plain(found.document()), indent=2))
    elif format is Format.TABLE:
        typer.echo("\n".join([found.name, *found.lines()]))
        show(found.table())
        rungs = [{name: row[name] for name in RUNG_COLUMNS} for row in found.rungs]
        if rungs:
            show_rows(
                rungs,
                format,
                "Rungs by kind of trials; a rung acts when the evidence that it predicts is 20 or more.",
            )
        if found.failures:
            show_rows(found.failures, format, "Failed trials by reason; hsl show has all about one.")
    else:
        show(found.table(), str(format))
