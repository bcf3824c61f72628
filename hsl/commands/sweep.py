"""The commands that plan a sweep and run it."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Annotated

import typer

from hsl.commands.answers import best
from hsl.commands.edge import narrate, show_rows, store_uri
from hsl.commands.options import (
    ClusterFile,
    Format,
    OutFormat,
    Overrides,
    SpaceFile,
    StorageOption,
    StoreOption,
)
from hsl.errors import ExitCode, HslError, printable
from hsl.wording import count

if TYPE_CHECKING:
    from hsl.driver.sweep import SweepReport

SHOWN_REASONS = 3


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
    from hsl.planning.budgets import forecast  # noqa: PLC0415
    from hsl.planning.cluster_cost import offers_of  # noqa: PLC0415
    from hsl.planning.cost import estimate  # noqa: PLC0415
    from hsl.planning.plan import make_plan  # noqa: PLC0415
    from hsl.planning.show import document, show_plan  # noqa: PLC0415
    from hsl.results.rates import recorded_rates  # noqa: PLC0415
    from hsl.space.checks import check_priced  # noqa: PLC0415
    from hsl.space.load import load_space  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    made = make_plan(load_space(space, overrides or ()))
    fleet = find_fleet(cluster, os.environ.get("RAY_ADDRESS"))
    check_priced(made.space, fleet)
    rates = recorded_rates(Store(store_uri(store, storage, made.space.name)))
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
        show_rows(content["cells"], format)


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
            help="Report every epoch to this tracker: tensorboard, wandb, mlflow; may be given several times.",
            show_default="none",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan instead.")] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Train again what failed in earlier runs.")
    ] = False,
    new_data: Annotated[
        bool,
        typer.Option(
            "--new-data",
            help="The data set, or code of a plug-in, has changed: search it as a level of its own in the same store.",
        ),
    ] = False,
) -> None:
    """Train what the store lacks, and print the best configuration of every cell. Run it again to continue."""
    if dry_run:
        plan(space, overrides, store, storage, cluster)
        return
    from hsl.cluster.fleet import find_fleet  # noqa: PLC0415
    from hsl.space.load import load_space  # noqa: PLC0415

    if cluster and not address:
        raise HslError(
            f"{cluster!r} says how far a cluster grows; give its --address, or RAY_ADDRESS, as well"
        )
    loaded = load_space(space, overrides or ())
    fleet = find_fleet(cluster, address)
    uri = store_uri(store, storage, loaded.name)
    from rich.console import Console  # noqa: PLC0415

    from hsl.driver.sweep import SweepRequest  # noqa: PLC0415
    from hsl.driver.sweep import sweep as train  # noqa: PLC0415

    request = SweepRequest(loaded, uri, address, optuna_storage, retry_failed, log or (), fleet, new_data)
    try:
        ended = train(request, Console(stderr=True))
    except KeyboardInterrupt:
        narrate(f"interrupted; everything so far is in {uri}, the same command continues")
        raise typer.Exit(ExitCode.INTERRUPTED) from None
    if ended.completed or not (ended.failed or ended.left):
        best(uri, metric=loaded.objective)
    narrate(f"{ended.trained} trials trained in this run; results in {uri}")
    if ended.left:
        narrate(f"{ended.left}; raise it and run the same command to continue")
    if ended.failed:
        narrate(_failures(ended, uri))
        raise typer.Exit(ExitCode.FAILED_TRIALS)


def _failures(ended: SweepReport, uri: str) -> str:
    """How many trials failed, the most frequent reasons, and what to do."""
    none = "" if ended.completed else ", and none was completed"
    shown = list(ended.reasons.items())[:SHOWN_REASONS]
    reasons = "".join(f"\n  {number} x {printable(reason)}" for reason, number in shown)
    more = len(ended.reasons) - SHOWN_REASONS
    others = f"\n  and {count(more, 'other reason')}" if more > 0 else ""
    return (
        f"{count(ended.failed, 'trial')} failed{none}:{reasons}{others}\n"
        f"each of them: hsl query {shlex.quote(uri)} "
        "\"SELECT cell, trial_id, reason FROM trials WHERE status = 'failed'\"; "
        "--retry-failed trains them again"
    )
