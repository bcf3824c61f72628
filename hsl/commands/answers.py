"""Commands that ask a store."""

from typing import Annotated

import typer

from hsl.commands.edge import narrate
from hsl.commands.options import Checkpoint, Format, OutFormat, StoreUri
from hsl.errors import printable

Metric = Annotated[str, typer.Option(help="matched, clean or worst_class accuracy.")]
Filter = Annotated[str, typer.Argument(help="SQL condition on the columns of trials.", show_default=False)]


def best(
    store: StoreUri,
    by: Annotated[
        str | None,
        typer.Option(
            help="Columns that make the groups, separated by commas.",
            show_default="regime,sparsity; of a front regime; dataset, model if several",
        ),
    ] = None,
    where: Annotated[str | None, typer.Option(help="SQL condition on the columns of trials.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Configurations per group.")] = 1,
    metric: Metric = "matched",
    *,
    pareto: Annotated[
        tuple[str, str] | None,
        typer.Option(
            metavar="OBJECTIVE OBJECTIVE",
            help="The front instead, for example accuracy flops: accuracy (on validation), sparsity, "
            "flops (of training), inference_flops, nonzeros, seconds.",
        ),
    ] = None,
    confirmed_only: Annotated[
        bool | None,
        typer.Option(
            "--confirmed-only/--with-unconfirmed",
            help="Whether what was not retrained with fresh seeds is left out, or ranked last.",
            show_default="shown, and marked, only in groups where nothing is confirmed",
        ),
    ] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Show the best configuration of every group: chosen on validation, confirmed with fresh seeds, against dense.

    Intervals (95 % t) are over training seeds on one fixed split and test set; there is none below three seeds, or if
    seeds do not vary. Where evaluation.per_sample has kept which test samples are correct, CI+ is over these as well.
    """
    from hsl.results.best import best as find_best  # noqa: PLC0415
    from hsl.results.show.output import show_best  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    found = find_best(
        Store(store), _names(by), where, top, metric, pareto=pareto, confirmed_only=confirmed_only
    )
    show_best(found, str(format), pareto=pareto)


def claims(store: StoreUri, format: OutFormat = Format.TABLE) -> None:
    """Test the claims of the paper inside its bounds: supported, contradicted, not enough data, or not testable.

    A claim is tested on the networks, data sets, sparsities and methods that the paper makes it of, with three seeds or
    more; intervals are over training seeds on one fixed split and test set.
    """
    from hsl.results.claims import evaluate  # noqa: PLC0415
    from hsl.results.show.output import show_claims  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    show_claims(evaluate(Store(store)), str(format))


def query(
    store: StoreUri,
    sql: Annotated[
        str,
        typer.Argument(
            metavar="SQL",
            help="A SELECT over trials, epochs, cells, evaluations, sessions.",
            show_default=False,
        ),
    ],
    format: OutFormat = Format.TABLE,
) -> None:
    """Ask a store in SQL; it only reads. Values are shown as they are: accuracies are fractions."""
    from hsl.results.query import query as run_query  # noqa: PLC0415
    from hsl.results.show.output import show as show_rows  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    show_rows(run_query(Store(store), sql), str(format), in_percent=False)


def compare(
    store: StoreUri,
    a: Filter,
    b: Filter,
    by: Annotated[
        str | None,
        typer.Option(
            help="Columns that make the groups, separated by commas.",
            show_default="regime; sparsity if both have it; dataset, model if several",
        ),
    ] = None,
    metric: Metric = "matched",
    format: OutFormat = Format.TABLE,
) -> None:
    """Compare confirmed trials that match A with those that match B: difference, interval, corrected p-value.

    Intervals (95 % t) are over training seeds on one fixed split and test set; there is none below three seeds, or if
    seeds do not vary. Where evaluation.per_sample has kept which test samples are correct, CI+ is over these as well.
    """
    from hsl.results.compare import compare as compare_sides  # noqa: PLC0415
    from hsl.results.show.output import show_compared  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    show_compared(compare_sides(Store(store), a, b, _names(by), metric), a, b, str(format))


def show(
    store: StoreUri,
    name: Annotated[str, typer.Argument(metavar="TRIAL|CELL", help="Id or name.", show_default=False)],
    format: OutFormat = Format.TABLE,
) -> None:
    """Show everything about one trial, or the trials of one cell: ranked, with its winner and its dense baseline."""
    from hsl.results.inspect import evaluations, for_people, inspect  # noqa: PLC0415
    from hsl.results.show import output  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    opened = Store(store)
    found = inspect(opened, name)
    if format in {Format.TABLE, Format.MARKDOWN}:
        found = for_people(found, evaluations(opened, found))
    output.show(found, str(format))


def export(
    store: StoreUri,
    cell: Annotated[str, typer.Argument(metavar="CELL", help="Name of a cell.", show_default=False)],
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="DIR", help="Write space.yaml and network.safetensors here."),
    ] = None,
    checkpoint: Annotated[
        Checkpoint, typer.Option(help="Network: at the end, or at its best on validation.")
    ] = Checkpoint.FINAL,
) -> None:
    """Print the winner of a cell as a runnable space; with -o, write it and its confirmed network to a folder."""
    from hsl import winner as exporting  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    if out is None:
        typer.echo(exporting.pinned_space(Store(store), cell), nl=False)
        return
    for path in exporting.export(store, cell, out, str(checkpoint)):
        typer.echo(path)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def merge(
    stores: Annotated[
        list[str], typer.Argument(metavar="STORE...", help="Stores to read.", show_default=False)
    ],
    into: Annotated[str, typer.Option("--into", metavar="NEW", help="Where to write.", show_default=False)],
    on_conflict: Annotated[
        str,
        typer.Option(
            help="Of a trial with different numbers in two stores: refuse, or take the first store's."
        ),
    ] = "refuse",
    networks: Annotated[
        bool, typer.Option("--networks/--no-networks", help="Copy the networks of confirmed trials.")
    ] = True,
    logs: Annotated[bool, typer.Option("--logs/--no-logs", help="Copy the logs of trials.")] = True,
    format: OutFormat = Format.TABLE,
) -> None:
    """Write several stores into one: every trial once, numbered again. Repeated, it changes nothing."""
    from hsl.results.show.output import show as show_rows  # noqa: PLC0415
    from hsl.store.merge import merge as merge_stores  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    done = merge_stores([Store(uri) for uri in stores], Store(into), on_conflict, networks, logs)
    for line in done.narration():
        narrate(printable(line))
    show_rows(done.stores, str(format))


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


ANSWERS = (best, compare, claims, query, show, export, merge)
