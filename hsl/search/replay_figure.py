"""Regret over epochs, one point per replayed setting."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from hsl.errors import HslError

SUFFIXES = (".html", ".png", ".svg")


def check_target(path: str) -> None:
    """Refuse a figure that cannot be drawn, before anything is replayed.

    Raises:
        HslError: If the suffix is unknown or the extra ``report`` is not installed.
    """
    if Path(path).suffix not in SUFFIXES:
        raise HslError(f"cannot draw {path!r}; give a name that ends in {', '.join(SUFFIXES)}")
    _altair()


def draw(table: pa.Table, path: str) -> None:
    """Draw what `hsl.search.replays.table` returned; an HTML file needs no network.

    Raises:
        HslError: If the file cannot be written.
    """
    try:
        if path.endswith(".html"):
            _chart(table).save(path, inline=True)
        else:
            _chart(table).save(path, scale_factor=2)
    except OSError as error:
        raise HslError(f"cannot write {path}: {error}") from error


def _chart(table: pa.Table) -> Any:
    alt = _altair()
    rows = [_point(row) for row in table.to_pylist()]
    x = alt.X("epochs:Q", title="epochs trained, % of all", scale=alt.Scale(domain=[0, 100]))
    y = alt.Y("regret:Q", title="regret, points (mean over cells)")
    base = alt.Chart(alt.Data(values=rows))
    legend = {"title": "every cell has a finished trial"}
    colour = alt.Color(
        "complete:N", **legend, scale=alt.Scale(domain=["yes", "no"], range=["#0072b2", "#d55e00"])
    )
    across = base.mark_rule().encode(x="epochs_low:Q", x2="epochs_high:Q", y=y, color=colour)
    along = base.mark_rule().encode(x=x, y="regret_low:Q", y2="regret_high:Q", color=colour)
    shape = alt.Shape("complete:N", **legend, scale=alt.Scale(domain=["yes", "no"]))
    points = base.mark_point(filled=True, size=90, opacity=1).encode(
        x=x,
        y=y,
        color=colour,
        shape=shape,
        tooltip=["setting:N", "epochs:Q", "regret:Q", "cells_lost:Q", "seconds:Q"],
    )
    names = base.mark_text(align="left", dx=8, dy=-7).encode(x=x, y=y, text="setting:N")
    title = alt.TitleParams(
        "What early stopping costs and misses", subtitle="Median over orders of arrival, lines: quartiles"
    )
    return (across + along + points + names).properties(width=720, height=400, title=title)


def _point(row: dict[str, Any]) -> dict[str, Any]:
    percent = [name for name in row if name.startswith(("epochs", "regret"))]
    return {
        **row,
        **{name: 100 * row[name] for name in percent},
        "complete": "no" if row["cells_lost"] else "yes",
    }


def _altair() -> Any:
    try:
        import altair  # noqa: PLC0415  an extra, and slow to import
        import vl_convert  # noqa: F401, PLC0415
    except ImportError as error:
        raise HslError(f"figures need the extra report ({error.name}): pip install 'hsl[report]'") from error
    return altair
