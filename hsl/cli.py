"""The command line. Thin: every command reads its arguments, calls one room, and shows what comes back.

Data goes to stdout, narration to stderr. Heavy imports happen inside the commands.
"""

from __future__ import annotations

import logging
import os
import shlex
import sys
from typing import Annotated, Any

import typer

from hsl import __version__
from hsl.commands.answers import ANSWERS, best
from hsl.commands.cluster import cluster as cluster_
from hsl.commands.edge import check_target, print_traceback, store_uri
from hsl.commands.evaluate import evaluate
from hsl.commands.logs import logs
from hsl.commands.options import ClusterFile, Format, OutFormat, Part
from hsl.commands.preview import preview
from hsl.commands.replay import replay
from hsl.commands.report import report
from hsl.commands.startup import ANSWERING, spare_pandas
from hsl.commands.status import status
from hsl.errors import ExitCode, HslError, printable
from hsl.provenance import redact_known
from hsl.registry import PLUGINS

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
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="HSL_STORAGE",
        help="Where stores are: folder, s3://, gs://, abfs://; the store is STORAGE/NAME.",
        show_default="runs",
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="HSL_STORE",
        help="Result store: path or s3://, gs://, abfs://.",
        show_default="runs/NAME",
    ),
]


@app.callback(invoke_without_command=True)
def _options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
    allow_plugins: Annotated[
        bool,
        typer.Option(
            "--allow-plugins", help="Import and run the package.module:attr that a space or a store names."
        ),
    ] = False,
) -> None:
    if version:
        typer.echo(f"hsl {__version__}")
        raise typer.Exit
    if context.invoked_subcommand in ANSWERING:
        spare_pandas()


@app.command()
def plan(
    space: SpaceFile,
    overrides: Overrides = None,
    store: StoreOption = None,
    storage: StorageOption = None,
    cluster: ClusterFile = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Show what a sweep would run, what it costs, and what is left out and why."""
    from hsl.cluster.fleet import find_fleet  # noqa: PLC0415
    from hsl.search.checks import check_priced  # noqa: PLC0415
    from hsl.search.cost import estimate  # noqa: PLC0415
    from hsl.search.describe import document, show_plan  # noqa: PLC0415
    from hsl.search.forecast import forecast  # noqa: PLC0415
    from hsl.search.offers import offers_of  # noqa: PLC0415
    from hsl.search.plan import make_plan  # noqa: PLC0415
    from hsl.search.space import load_space  # noqa: PLC0415

    made = make_plan(load_space(space, overrides or ()))
    fleet = find_fleet(cluster, os.environ.get("RAY_ADDRESS"))
    check_priced(made.space, fleet)
    rates = _recorded_rates(store_uri(store, storage, made.space.name))
    costs = estimate(made, rates.passes_per_second if rates else None)
    offers = offers_of(fleet, made.space.resources, costs, made.space.prices) if fleet else None
    budgets = forecast(made, costs, rates, offers)
    content = document(made, costs, budgets, rates is not None, offers)
    if format is Format.TABLE:
        from rich.console import Console  # noqa: PLC0415

        show_plan(made, costs, budgets, rates is not None, Console(), offers)
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
    storage: StorageOption = None,
    *,
    cluster: ClusterFile = None,
    address: Annotated[
        str | None,
        typer.Option(help="Address of a Ray cluster.", envvar="RAY_ADDRESS", show_default="this machine"),
    ] = None,
    optuna_storage: Annotated[
        str | None,
        typer.Option(
            help="Show the studies in this Optuna storage as well, for example sqlite:///studies.db."
        ),
    ] = None,
    log: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TRACKER",
            help="Tell this tracker of every epoch: tensorboard, wandb, mlflow; may be given several times.",
            show_default="none",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan instead.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train again what failed in earlier runs.")
    ] = False,
) -> None:
    """Train what the store lacks, and print the best configuration of every cell. Run it again to continue."""
    if dry_run:
        plan(space, overrides, store, storage, cluster)
        return
    from hsl.cluster.fleet import find_fleet  # noqa: PLC0415
    from hsl.search.space import load_space  # noqa: PLC0415

    if cluster and not address:
        raise HslError(
            f"{cluster!r} says how far a cluster grows; give its --address, or RAY_ADDRESS, as well"
        )
    loaded = load_space(space, overrides or ())
    fleet = find_fleet(cluster, address)
    uri = store_uri(store, storage, loaded.name)
    from rich.console import Console  # noqa: PLC0415

    from hsl.search.sweep import Sweep  # noqa: PLC0415

    try:
        made = Sweep(
            loaded,
            uri,
            Console(stderr=True),
            address,
            optuna_storage,
            retry_failed=retry_failed,
            trackers=log or (),
            fleet=fleet,
        )
        ended = made.run()
    except KeyboardInterrupt:
        typer.echo(f"interrupted; everything so far is in {uri}, the same command continues", err=True)
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if ended.ended or not ended.left:
        best(uri, metric=loaded.objective)
    typer.echo(f"{ended.trained} trials trained in this run; results in {uri}", err=True)
    if ended.left:
        typer.echo(f"{ended.left}; raise it and run the same command to continue", err=True)
    if ended.failed:
        typer.echo(
            f"{ended.failed} trials failed: hsl query {shlex.quote(uri)} "
            f"\"SELECT cell, trial_id, reason FROM trials WHERE status = 'failed'\"; "
            "--retry-failed trains them again",
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

    check_target(out)
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
    label_noise: Annotated[
        str | None,
        typer.Option(
            metavar="REGIME",
            help="Train the scoring models with this regime's wrong labels; tell if they are found.",
        ),
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
    from hsl.search.scores import asked_scores  # noqa: PLC0415
    from hsl.search.space import load_space  # noqa: PLC0415

    check_target(out)
    asked = asked_scores(load_space(space, overrides or ()), by, models, epoch, label_noise)
    from hsl.search.difficulty import draw_sheet, extremes, found_wrong, make_scores  # noqa: PLC0415
    from hsl.training.build import default_device  # noqa: PLC0415

    scores = make_scores(asked, store, device or default_device(), lambda line: typer.echo(line, err=True))
    shown = extremes(scores, str(split), top)
    if out:
        from hsl.training.score_files import write_table  # noqa: PLC0415

        write_table(out, scores)
    if sheet:
        draw_sheet(sheet, asked, shown)
    if found := found_wrong(scores):
        typer.echo(found, err=True)
    _show(shown, format)


for _command in (*ANSWERS, evaluate, logs, preview, replay, report, status):
    app.command()(_command)
app.command("cluster")(cluster_)


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


def _recorded_rates(store: str) -> Any:
    from hsl.results.rates import recorded_rates  # noqa: PLC0415
    from hsl.results.store import Store  # noqa: PLC0415

    return recorded_rates(Store(store))


def _table(rows: list[dict[str, Any]]) -> Any:
    import pyarrow as pa  # noqa: PLC0415

    names = {name: None for row in rows for name in row}
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _show(table: Any, format: Format) -> None:
    from hsl.results.output import show  # noqa: PLC0415

    show(table, str(format))


ANYWHERE = {"--debug", "--allow-plugins"}
"""Options of `hsl` itself that are understood after the command as well."""


def main() -> None:
    """Entry point: user errors are one message and an exit code; bugs keep their traceback."""
    given = ANYWHERE.intersection(sys.argv[1:])
    _gate_plugins("--allow-plugins" in given)
    try:
        app([argument for argument in sys.argv[1:] if argument not in ANYWHERE])
    except Exception as error:
        sys.excepthook = print_traceback  # Typer has set its own
        if not isinstance(error, HslError) or "--debug" in given:
            raise
        typer.echo(printable(f"Error: {redact_known(str(error))}"), err=True)
        sys.exit(error.exit_code)


def _gate_plugins(allowed: bool) -> None:
    """Code that a file names runs only if the user says so; it is then named before it is imported."""
    os.environ[PLUGINS] = "on" if allowed else "off"
    if allowed:
        logger = logging.getLogger("hsl.registry")
        logger.addHandler(logging.StreamHandler())
        logger.setLevel(logging.INFO)


if __name__ == "__main__":
    main()
