"""Figures as image files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import vl_convert

from hsl.results.report.charts import draw
from hsl.results.report.structs import Figure
from hsl.results.report.style import Palette

VEGA_LITE = "6.4"
"""Version of Vega-Lite that draws, in images and on the page alike."""

_WIDTH = 330
_COLUMNS = 3
_SCALE = 2.0


def write_images(figures: Sequence[Figure], palette: Palette, folder: Path) -> list[Path]:
    """Draw every figure as PNG and SVG.

    Args:
        figures: The figures.
        palette: The look of methods.
        folder: Where to; it is made.

    Returns:
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in figures:
        specification = poster(figure, palette)
        written += [folder / f"{figure.name}.svg", folder / f"{figure.name}.png"]
        svg = vl_convert.vegalite_to_svg(specification, vl_version=VEGA_LITE)
        written[-2].write_text(svg, encoding="utf-8")
        written[-1].write_bytes(vl_convert.svg_to_png(svg, scale=_SCALE))
    return written


def poster(figure: Figure, palette: Palette) -> dict[str, Any]:
    """All panels of a figure with title, subtitle and legend as one Vega-Lite specification."""
    drawn = {variant: draw(figure, palette, variant, static=True) for variant in figure.variants}
    shared = {key: next(iter(drawn.values()))[key] for key in ("config", "$schema")}
    width = _WIDTH * 2 if len(figure.panels) == 1 else _WIDTH
    panels = [
        {
            **{key: value for key, value in drawn[panel.variant].items() if key not in shared},
            "data": {"values": list(panel.rows)},
            "title": panel.title,
            "width": width,
        }
        for panel in figure.panels
    ]
    return {
        **shared,
        "title": {"text": figure.title, "subtitle": figure.subtitle, "fontSize": 16, "offset": 12},
        "concat": panels,
        "columns": _COLUMNS if len(panels) > 4 else 2,
    }
