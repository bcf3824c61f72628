"""Commands that ask a store."""

from __future__ import annotations

from typing import Annotated

import typer

from hsl.commands.options import Format, OutFormat, StoreUri

Filter = Annotated[str, typer.Argument(help="SQL condition on the columns of trials.", show_default=False)]


def compare(
    store: StoreUri,
    a: Filter,
    b: Filter,
    by: Annotated[
        str | None,
        typer.Option(
            help="Columns that make the groups, separated by commas.",
            show_default="regime, and sparsity where both have it",
        ),
    ] = None,
    metric: Annotated[str, typer.Option(help="matched, clean or worst_class accuracy.")] = "matched",
    format: OutFormat = Format.TABLE,
) -> None:
    """Compare confirmed trials that match A with those that match B: difference, interval, corrected p-value."""
    from hsl.results.compare import compare as compare_sides  # noqa: PLC0415
    from hsl.results.output import show_compared  # noqa: PLC0415
    from hsl.results.store import Store  # noqa: PLC0415

    groups = None if by is None else [name.strip() for name in by.split(",") if name.strip()]
    show_compared(compare_sides(Store(store), a, b, groups, metric), a, b, str(format))


def show(
    store: StoreUri,
    name: Annotated[str, typer.Argument(metavar="TRIAL|CELL", help="Id or name.", show_default=False)],
    format: OutFormat = Format.TABLE,
) -> None:
    """Show everything about one trial, or the trials of one cell: ranked, with its winner and its dense baseline."""
    from hsl.results import output  # noqa: PLC0415
    from hsl.results.inspect import for_people, inspect  # noqa: PLC0415
    from hsl.results.store import Store  # noqa: PLC0415

    found = inspect(Store(store), name)
    output.show(for_people(found) if format in {Format.TABLE, Format.MARKDOWN} else found, str(format))


def export(
    store: StoreUri,
    cell: Annotated[str, typer.Argument(metavar="CELL", help="Name of a cell.", show_default=False)],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="DIR", help="Write space.yaml and network.safetensors here."),
    ] = None,
) -> None:
    """Print the winner of a cell as a runnable space; with -o, write it and its confirmed network to a folder."""
    from hsl.results.store import Store  # noqa: PLC0415
    from hsl.search import export as exporting  # noqa: PLC0415

    if out is None:
        typer.echo(exporting.pinned_space(Store(store), cell), nl=False)
        return
    for path in exporting.export(store, cell, out):
        typer.echo(path)


ANSWERS = (compare, show, export)
