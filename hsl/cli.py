"""The command line. Thin: every command reads its arguments, calls one room, and shows what comes back.

Data goes to stdout, narration to stderr. Heavy imports happen inside the commands.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from hsl import __version__
from hsl.commands.answers import ANSWERS, best
from hsl.commands.options import Format, OutFormat, Part
from hsl.errors import ExitCode, HslError, printable

EPILOG = (
    "Exit codes: 0 ok, 1 bug, 2 usage or invalid space, 3 finished with failed trials, "
    "4 nothing matched, 130 interrupted."
)

app = typer.Typer(
    help="Find the sparse neural network that learns hard data best.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


SpaceFile = Annotated[
    str, typer.Argument(metavar="SPACE", help="Search space, a YAML file.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, for example sparsity=0.9 training.epochs=10."),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store", envvar="HSL_STORE", help="Result store: path or s3://, gs://.", show_default="runs/NAME"
    ),
]


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
) -> None:
    if version:
        typer.echo(f"hsl {__version__}")
        raise typer.Exit


@app.command()
def plan(
    space: SpaceFile, overrides: Overrides = None, store: StoreOption = None, format: OutFormat = Format.TABLE
) -> None:
    """Show what a sweep would run, what it costs, and what is left out and why."""
    from hsl.search.cost import estimate  # noqa: PLC0415
    from hsl.search.describe import document, show_plan  # noqa: PLC0415
    from hsl.search.plan import make_plan  # noqa: PLC0415
    from hsl.search.space import load_space  # noqa: PLC0415

    made = make_plan(load_space(space, overrides or ()))
    speed = _recorded_speed(store or f"runs/{made.space.name}")
    costs = estimate(made, speed)
    content = document(made, costs, speed is not None)
    if format is Format.TABLE:
        from rich.console import Console  # noqa: PLC0415

        show_plan(made, costs, speed is not None, Console())
    elif format is Format.JSON:
        import json  # noqa: PLC0415

        typer.echo(json.dumps(content, indent=2))
    else:
        _show(_table(content["cells"]), format)


@app.command()
def sweep(
    space: SpaceFile,
    overrides: Overrides = None,
    store: StoreOption = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster.", envvar="RAY_ADDRESS", show_default="this machine"),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan instead.")] = False,
) -> None:
    """Train what the store lacks, and print the best configuration of every cell. Run it again to continue."""
    if dry_run:
        plan(space, overrides, store)
        return
    from hsl.search.space import load_space  # noqa: PLC0415

    loaded = load_space(space, overrides or ())
    uri = store or f"runs/{loaded.name}"
    from rich.console import Console  # noqa: PLC0415

    from hsl.search.sweep import Sweep  # noqa: PLC0415

    try:
        report = Sweep(loaded, uri, Console(stderr=True), address).run()
    except KeyboardInterrupt:
        typer.echo(f"interrupted; everything so far is in {uri}, the same command continues", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    best(uri, metric=loaded.objective)
    typer.echo(f"{report.trained} trials trained in this run; results in {uri}", err=True)
    if report.failed:
        typer.echo(
            f"{report.failed} trials failed: hsl query {uri} "
            f"\"SELECT cell, trial_id, reason FROM trials WHERE status = 'failed'\"",
            err=True,
        )
        raise typer.Exit(ExitCode.FAILED_TRIALS)


@app.command()
def train(
    space: SpaceFile,
    overrides: Overrides = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed.")] = 0,
    device: Annotated[
        str | None, typer.Option(help="Torch device.", show_default="cuda if there is one")
    ] = None,
    out: Annotated[str | None, typer.Option(help="Write the trained network here (safetensors).")] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Train one configuration in this process, without Ray: pin every factor, for example regime=pgd method=rigl."""
    from hsl.search.single import only_configuration, train_once  # noqa: PLC0415
    from hsl.search.space import load_space  # noqa: PLC0415

    loaded = load_space(space, overrides or ())
    chosen = only_configuration(loaded)
    from hsl.training import checkpoint  # noqa: PLC0415
    from hsl.training.build import default_device  # noqa: PLC0415

    trainer = train_once(loaded, chosen, seed, device or default_device(), _narrate_epoch)
    if out:
        checkpoint.write(
            out, {"trainer": trainer.state_dict(), "configuration": chosen.model_dump(mode="json")}
        )
    _show(_table(trainer.history), format)


@app.command()
def score(
    space: SpaceFile,
    overrides: Overrides = None,
    *,
    by: Annotated[str, typer.Option(help="Difficulty score: hsl list scores.")] = "el2n",
    models: Annotated[
        int | None, typer.Option(min=1, help="Scoring models that are averaged.", show_default="10")
    ] = None,
    epoch: Annotated[
        float | None,
        typer.Option(help="When to score, as a share of the training.", show_default="0.1, trajectories 1"),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="Result store that shares the scores with its sweep.", show_default="the cache"),
    ] = None,
    split: Annotated[Part, typer.Option(help="Samples that are listed and drawn.")] = Part.TRAIN,
    top: Annotated[int, typer.Option(min=1, max=100, help="How many of the hardest and easiest.")] = 10,
    out: Annotated[str | None, typer.Option(help="Write the scores of all samples here (Parquet).")] = None,
    sheet: Annotated[str | None, typer.Option(help="Draw the hardest and easiest images here (PNG).")] = None,
    device: Annotated[
        str | None, typer.Option(help="Torch device.", show_default="cuda if there is one")
    ] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Score the difficulty of every sample without Ray, and show the hardest and the easiest."""
    from hsl.search.plan import asked_scores  # noqa: PLC0415
    from hsl.search.space import load_space  # noqa: PLC0415

    asked = asked_scores(load_space(space, overrides or ()), by, models, epoch)
    from hsl.search.difficulty import draw_sheet, extremes, make_scores  # noqa: PLC0415
    from hsl.training.build import default_device  # noqa: PLC0415

    scores = make_scores(asked, store, device or default_device(), lambda line: typer.echo(line, err=True))
    shown = extremes(scores, str(split), top)
    if out:
        from hsl.training.score_files import write_table  # noqa: PLC0415

        write_table(out, scores)
    if sheet:
        draw_sheet(sheet, asked, shown)
    _show(shown, format)


for _answer in ANSWERS:
    app.command()(_answer)


@app.command("list")
def list_names(
    kind: Annotated[
        str | None, typer.Argument(help="methods, distributions, ...", show_default="all")
    ] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """List methods, distributions, scores, corruptions, attacks, data sets, models: whatever a space can name."""
    from hsl.catalogue import entries  # noqa: PLC0415

    _show(_table(entries(kind)), format)


def _narrate_epoch(row: Any) -> None:
    accuracy = row.get("val_matched_accuracy")
    shown = f", validation {100 * accuracy:.1f} %" if accuracy is not None else ""
    typer.echo(f"epoch {row['epoch']}: training loss {row['train_loss']:.4f}{shown}", err=True)


def _recorded_speed(store: str) -> float | None:
    from hsl.results.query import passes_per_second  # noqa: PLC0415
    from hsl.results.store import Store  # noqa: PLC0415

    return passes_per_second(Store(store))


def _table(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    names = {name: None for row in rows for name in row}
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _show(table: Any, format: Format) -> None:
    from hsl.results.output import show  # noqa: PLC0415

    show(table, str(format))


def main() -> None:
    """Entry point: user errors are one message and an exit code; bugs keep their traceback."""
    try:
        app()
    except HslError as error:
        if "--debug" in sys.argv:
            raise
        typer.echo(printable(f"Error: {error}"), err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
