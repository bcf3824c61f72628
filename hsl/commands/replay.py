"""The command that replays a search with other early stopping."""

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from hsl.commands.edge import narrate
from hsl.commands.options import Format, OutFormat, StoreUri
from hsl.errors import HslError


def replay(
    store: StoreUri,
    early_stopping: Annotated[
        list[str] | None,
        typer.Option(
            metavar="YAML",
            help="As in a space, for example '{kind: promotion, grace: 2}'; may be given several times.",
            show_default="stratified, promotion, median",
        ),
    ] = None,
    *,
    policy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="YAML",
            help="Keys of a space that say how it is searched, laid over the stored one: sampler, early_stopping, "
            "budget, lag ..., for example '{sampler: tpe, budget: {configurations_per_cell: 6}}'; several times.",
            show_default="none",
        ),
    ] = None,
    bias: Annotated[
        bool, typer.Option("--bias", help="Show what each costs dense more than sparse cells, by regime.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Trials that run at once.")] = 8,
    orders: Annotated[int, typer.Option(min=1, help="Random orders of arrival.")] = 30,
    trials: Annotated[
        int | None,
        typer.Option(min=1, help="Draw as many from the recorded curves.", show_default="those recorded"),
    ] = None,
    warm_start: Annotated[
        int,
        typer.Option(
            min=0, help="Replay as well with so many stand-ins of the best of neighbouring cells first."
        ),
    ] = 0,
    figure: Annotated[
        str | None, typer.Option(help="Draw epochs and regret here (.html, .png, .svg).")
    ] = None,
    epoch_seconds: Annotated[
        float | None,
        typer.Option(
            min=1e-6, help="Stretch time so that an epoch takes so long.", show_default="as recorded"
        ),
    ] = None,
    spot_rate: Annotated[
        list[float] | None,
        typer.Option(
            min=0,
            help="Replay on nodes of which so many are preempted per node and hour, at random; several times for "
            "several rates.",
            show_default="none is preempted",
        ),
    ] = None,
    checkpoint_interval: Annotated[
        float | None,
        typer.Option(min=0, help="Epochs between checkpoints.", show_default="as recorded"),
    ] = None,
    replacement_minutes: Annotated[
        float | None, typer.Option(min=0, help="Until another node is there.", show_default="5")
    ] = None,
    trials_per_node: Annotated[
        int | None, typer.Option(min=1, help="Trials on one node at once.", show_default="1")
    ] = None,
    spot_price: Annotated[float | None, typer.Option(min=0, help="Of a node and hour.")] = None,
    on_demand_price: Annotated[
        float | None, typer.Option(min=0, help="Of one that is not taken away.")
    ] = None,
    format: OutFormat = Format.TABLE,
) -> None:
    """Show what other early stopping would have cost and missed, on trials of the search that went to the end."""
    from hsl.results.show.output import show  # noqa: PLC0415
    from hsl.simulation.comparison import bias_table, replays, table  # noqa: PLC0415
    from hsl.simulation.curves import by_cell  # noqa: PLC0415
    from hsl.simulation.spot import Prices, spot_table  # noqa: PLC0415
    from hsl.simulation.spot_nodes import Spot  # noqa: PLC0415
    from hsl.space.policies import early_stopping_of  # noqa: PLC0415

    asked = [early_stopping_of(text) for text in early_stopping or ()]
    nodes = {
        "checkpoint-interval": checkpoint_interval,
        "replacement-minutes": replacement_minutes,
        "trials-per-node": trials_per_node,
        "spot-price": spot_price,
        "on-demand-price": on_demand_price,
    }
    _check(nodes, spot_rate, warm_start, figure)
    if bias and (figure or spot_rate is not None):
        raise HslError("--bias goes with neither --figure nor --spot-rate; run the two one after the other")
    policies = _policies(store, policy or ())
    curves = _curves(store, trials, epoch_seconds)
    if spot_rate is not None:
        interval = _recorded_interval(store) if checkpoint_interval is None else checkpoint_interval
        minutes = 5.0 if replacement_minutes is None else replacement_minutes
        spot = Spot(0.0, interval, 60 * minutes, trials_per_node or 1)
        prices = Prices(spot_price, on_demand_price)
        preempted = spot_table(curves, asked, workers, orders, spot_rate, spot, prices)
        show(preempted, str(format), caption=_spot_caption(len(curves), workers, orders, spot))
        return
    cells = by_cell(curves)
    runs = replays(cells, asked, workers, orders, _warm(store, warm_start), policies)
    if bias:
        show(bias_table(runs, cells), str(format), caption=_bias_caption(len(curves), workers, orders))
        return
    answer = table(runs, cells)
    show(answer, str(format), caption=_caption(len(curves), workers, orders))
    if figure:
        from hsl.simulation.figure import draw  # noqa: PLC0415

        draw(answer, figure)


def _check(nodes: dict[str, Any], spot_rate: list[float] | None, warm_start: int, figure: str | None) -> None:
    """Refuse options that would do nothing, before anything is replayed."""
    given = [name for name, value in nodes.items() if value is not None]
    if given and spot_rate is None:
        raise HslError(f"--{', --'.join(given)}: only with --spot-rate, for example --spot-rate 0.05")
    if spot_rate is not None and (warm_start or figure):
        raise HslError(
            "--spot-rate goes with neither --figure nor --warm-start; run the two one after the other"
        )
    if figure:
        from hsl.simulation.figure import check_target  # noqa: PLC0415

        check_target(figure)


def _curves(store: str, trials: int | None, epoch_seconds: float | None) -> Any:
    from hsl.simulation.curves import paced, read_curves, resampled  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    curves, left_out = read_curves(Store(store))
    if left_out:
        narrate(f"{left_out} trials are left out: they were stopped or failed")
    if trials:
        curves = resampled(curves, trials, seed=0)
    return paced(curves, epoch_seconds) if epoch_seconds else curves


def _recorded_interval(store: str) -> float:
    from hsl.space.stored import stored_space  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    without = "its checkpoint interval is unknown; give --checkpoint-interval"
    return float(stored_space(Store(store), without).training.checkpoint_every)


def _warm(store: str, count: int) -> Any:
    if not count:
        return None
    from hsl.simulation.warm_start import sources, warmed  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    neighbouring = sources(Store(store))
    return lambda order: warmed(order, neighbouring, count)


def _policies(store: str, texts: Sequence[str]) -> dict[str, Any]:
    """Spaces by the text that was given."""
    if not texts:
        return {}
    from hsl.space.policies import policy_of  # noqa: PLC0415
    from hsl.space.stored import stored_space  # noqa: PLC0415
    from hsl.store.store import Store  # noqa: PLC0415

    space = stored_space(Store(store), "what is searched is unknown; leave out --policy")
    return {text: policy_of(text, space) for text in texts}


def _bias_caption(curves: int, workers: int, orders: int) -> str:
    return (
        f"{curves} recorded curves, {workers} workers; means over {orders} orders of arrival, low and high: 95 % "
        f"interval.\nbias: points that a search costs dense more than sparse cells of the regime (above 0 it favours "
        f"sparse); true_bias: the same of test accuracies, of fresh seeds where there are any."
    )


def _caption(curves: int, workers: int, orders: int) -> str:
    return (
        f"{curves} recorded curves, {workers} workers; medians over {orders} orders of arrival, low and high "
        f"are quartiles.\nepochs: share of all; regret: best of a cell less the best trained to the end, mean "
        f"over cells that have one; true_regret: the same of test accuracies, of fresh seeds where there are any, mean "
        f"with 95 % interval; seconds: virtual, without start-up."
    )


def _spot_caption(curves: int, workers: int, orders: int, spot: Any) -> str:
    return (
        f"{curves} curves, {workers} workers, {spot.trials_per_node} to a node, checkpoints every "
        f"{spot.checkpoint_interval:g} epochs, another node after {spot.replacement / 60:g} min; medians over "
        f"{orders} orders of arrival.\nspot_rate: preemptions per node and hour; repeated: epochs trained again, "
        f"share; cost: node hours at the spot price; on_demand: without preemptions, at that price. Not counted: "
        f"booting and idle nodes."
    )
