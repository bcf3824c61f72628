"""Figures as image files."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
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
_CHARACTER = 5.2
"""Mean width of a character of the caption in pixels."""


def write_images(figures: Sequence[Figure], palette: Palette, folder: Path) -> list[Path]:
    """Draw every figure as PNG and SVG into a folder, which is made, and return the files."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for figure in figures:
        written += [folder / f"{figure.name}.svg", folder / f"{figure.name}.png"]
        svg = vl_convert.vegalite_to_svg(poster(figure, palette), vl_version=VEGA_LITE)
        written[-2].write_text(svg, encoding="utf-8")
        written[-1].write_bytes(vl_convert.svg_to_png(svg, scale=_SCALE))
    return written


def poster(figure: Figure, palette: Palette) -> dict[str, Any]:
    """A figure with all that a page says about it, as one Vega-Lite specification: title, caption, panels, legend."""
    drawn = {variant: draw(figure, palette, variant, static=True) for variant in figure.variants}
    shared = {key: next(iter(drawn.values()))[key] for key in ("config", "$schema")}
    columns = min(_COLUMNS if len(figure.panels) > 4 else 2, len(figure.panels))
    width = _WIDTH * 2 if columns == 1 else _WIDTH
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
        "padding": 12,
        "title": _heading(figure, int(columns * width / _CHARACTER)),
        "concat": panels,
        "columns": columns,
    }


def _heading(figure: Figure, characters: int) -> dict[str, Any]:
    """Title, and subtitle with caption in lines of a length."""
    lines = [line for text in (figure.subtitle, figure.caption) for line in wrap(text, characters)]
    title = wrap(figure.title, int(characters * 0.7))
    return {"text": title, "subtitle": lines, "fontSize": 16, "subtitleFontSize": 11, "offset": 14}
