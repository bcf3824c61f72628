"""What another early stopping would have cost."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hsl.commands.options import Format, OutFormat, StoreUri


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
    format: OutFormat = Format.TABLE,
) -> None:
    """Show what other early stopping would have cost and missed, on trials of the search that went to the end."""
    from hsl.results.output import show  # noqa: PLC0415
    from hsl.results.store import Store  # noqa: PLC0415
    from hsl.search.curves import read_curves, resampled  # noqa: PLC0415
    from hsl.search.replays import table  # noqa: PLC0415
    from hsl.search.space import early_stopping_of  # noqa: PLC0415

    asked = [early_stopping_of(text) for text in early_stopping or ()]
    if figure:
        from hsl.search.replay_figure import check_target  # noqa: PLC0415

        check_target(figure)
    curves, left_out = read_curves(Store(store))
    if left_out:
        typer.echo(f"{left_out} trials are left out: they were stopped or failed", err=True)
    if trials:
        curves = resampled(curves, trials, seed=0)
    answer = table(curves, asked, workers, orders, _warm(store, warm_start))
    show(answer, str(format), caption=_caption(len(curves), workers, orders))
    if figure:
        from hsl.search.replay_figure import draw  # noqa: PLC0415

        draw(answer, figure)


def _warm(store: str, count: int) -> Any:
    if not count:
        return None
    from hsl.results.store import Store  # noqa: PLC0415
    from hsl.search.warm_order import sources, warmed  # noqa: PLC0415

    neighbouring = sources(Store(store))
    return lambda order: warmed(order, neighbouring, count)


def _caption(curves: int, workers: int, orders: int) -> str:
    return (
        f"{curves} recorded curves, {workers} workers; medians over {orders} orders of arrival, low and high "
        f"are quartiles.\nepochs: share of all; regret: best of a cell less the best trained to the end, mean "
        f"over cells that have one; seconds: virtual, without start-up."
    )
