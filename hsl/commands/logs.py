"""The command that prints what a trial has printed."""

from typing import Annotated

import typer

from hsl.commands.options import StoreUri
from hsl.errors import printable


def logs(
    store: StoreUri,
    trial: Annotated[
        str, typer.Argument(metavar="TRIAL", help="Id of a trial, or its beginning.", show_default=False)
    ],
) -> None:
    """Print the log of a trial: starts, epochs, checkpoints, warnings, what it printed, and why it failed."""
    from hsl.results.logs import read_log  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    typer.echo(printable(read_log(Store(store), trial).expandtabs()), nl=False)
