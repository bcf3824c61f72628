"""Epochs and regret, one line per replayed setting."""

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
    """Draw what `hsl.simulation.comparison.table` returned; an HTML file needs no network.

    Raises:
        HslError: If the file cannot be written.
    """
    options: dict[str, Any] = {"inline": True} if path.endswith(".html") else {"scale_factor": 2}
    try:
        _chart(table).save(path, **options)
    except OSError as error:
        raise HslError(f"cannot write {path}: {error}") from error


def _chart(table: pa.Table) -> Any:
    alt = _altair()
    data = alt.Data(values=[_point(row) for row in table.to_pylist()])
    title = alt.TitleParams(
        "What early stopping costs and misses", subtitle="Median over orders of arrival, lines: quartiles"
    )
    epochs = _panel(alt, data, "epochs", "epochs trained, % of all", labels=True)
    regret = _panel(alt, data, "regret", "regret, points (mean over cells)", labels=False)
    return alt.hconcat(epochs, regret).properties(title=title)


def _panel(alt: Any, data: Any, column: str, title: str, labels: bool) -> Any:
    """One line per setting, in the order of the table."""
    y = alt.Y("setting:N", sort=None, title=None, axis=alt.Axis(labelLimit=400) if labels else None)
    scale = alt.Scale(domain=["yes", "no"], range=["#0072b2", "#d55e00"])
    legend = {"title": "every cell has a finished trial"}
    colour = alt.Color("complete:N", scale=scale, **legend)
    shape = alt.Shape("complete:N", scale=alt.Scale(domain=["yes", "no"]), **legend)
    base = alt.Chart(data).encode(y=y, color=colour)
    x = alt.X(f"{column}:Q", title=title, scale=alt.Scale(zero=True))
    low = alt.X(f"{column}_low:Q", title=title)
    rules = base.mark_rule(strokeWidth=2).encode(x=low, x2=f"{column}_high:Q")
    tooltip = ["setting:N", "epochs:Q", "regret:Q", "cells_lost:Q", "seconds:Q"]
    points = base.mark_point(filled=True, size=90, opacity=1).encode(x=x, shape=shape, tooltip=tooltip)
    return (rules + points).properties(width=330, height=alt.Step(26))


def _point(row: dict[str, Any]) -> dict[str, Any]:
    percent = {name: 100 * row[name] for name in row if name.startswith(("epochs", "regret"))}
    return {**row, **percent, "complete": "no" if row["cells_lost"] else "yes"}


def _altair() -> Any:
    try:
        import altair  # noqa: PLC0415  an extra, and slow to import
        import vl_convert  # noqa: F401, PLC0415
    except ImportError as error:
        raise HslError(f"figures need the extra report ({error.name}): pip install 'hsl[report]'") from error
    return altair
