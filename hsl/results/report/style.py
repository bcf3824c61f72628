"""How things look: one colour and one shape per method in every figure, in light, dark and on paper.

Figures name colours as CSS variables, so that a page changes its theme without drawing anything again. Image
files have no style sheet and get the light values instead.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

FONT = "system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', Arial, sans-serif"

# Ten hues in the order of Tableau 10, darker for a light page and lighter for a dark one.
_HUES_LIGHT = (
    "#4269b0", "#c2570c", "#b32d2d", "#23807d", "#3c8031",
    "#8a6d00", "#87498f", "#c2437c", "#7a5138", "#5f6670",
)  # fmt: skip
_HUES_DARK = (
    "#86b4f5", "#ff9d4d", "#ff8a87", "#6fd3cd", "#86d674",
    "#ecc94b", "#d6a2de", "#ff9fc6", "#d0a68c", "#b9bec7",
)  # fmt: skip

LIGHT: dict[str, str] = {
    "paper": "#ffffff",
    "ink": "#1b1f24",
    "muted": "#59626d",
    "line": "#d5dae0",
    "gain": "#1f6fd1",
    "loss": "#d9620a",
    "unclear": "#8b939d",
    **{f"hue{index}": value for index, value in enumerate(_HUES_LIGHT)},
}
DARK: dict[str, str] = {
    "paper": "#14171b",
    "ink": "#e8eaed",
    "muted": "#a4adb8",
    "line": "#363d46",
    "gain": "#5a9df5",
    "loss": "#f58a3c",
    "unclear": "#7d8590",
    **{f"hue{index}": value for index, value in enumerate(_HUES_DARK)},
}

# Outlines in a square from -1 to 1, as SVG paths: for the marks of a figure and for legends in HTML.
SHAPES = (
    "M1,0A1,1,0,1,1,-1,0A1,1,0,1,1,1,0Z",
    "M-.85,-.85H.85V.85H-.85Z",
    "M0,-1.15L1,0L0,1.15L-1,0Z",
    "M0,-1.05L1.1,.85H-1.1Z",
    "M0,1.05L1.1,-.85H-1.1Z",
    "M1.05,0L-.85,1.1V-1.1Z",
    "M-1.05,0L.85,1.1V-1.1Z",
    "M-.35,-1H.35V-.35H1V.35H.35V1H-.35V.35H-1V-.35H-.35Z",
    "M-1,-1H1L.25,0L1,1H-1L-.25,0Z",
    "M0,-1.25L.32,-.4L1.2,-.38L.5,.17L.74,1.02L0,.52L-.74,1.02L-.5,.17L-1.2,-.38L-.32,-.4Z",
)
CIRCLE, SQUARE, DIAMOND = SHAPES[:3]
CROSS = "M-0.7,-0.7L0.7,0.7M-0.7,0.7L0.7,-0.7"
STROKE = "M-1.3,-.15H1.3V.15H-1.3Z"

Palette = Mapping[str, tuple[str, str]]
"""Method to the name of its colour in the theme and to its shape."""


def palette(known: Sequence[str], stored: Collection[str]) -> Palette:
    """The look of every stored method.

    The colour is a function of the method alone, as long as the registry keeps its order; the shape is the
    first that no other method of the store has, so that up to ten methods are distinguished without colour.

    Args:
        known: All methods, in the order of their colours; "dense" has the colour of text.
        stored: The methods of the store.
    """
    others = [name for name in known if name != "dense"]
    present = [name for name in others if name in stored]
    looks = {
        name: (f"hue{others.index(name) % len(_HUES_LIGHT)}", SHAPES[index % len(SHAPES)])
        for index, name in enumerate(present)
    }
    return {"dense": ("ink", SHAPES[0]), **looks}


def color(name: str, static: bool) -> str:
    """A colour of the theme: a CSS variable, or its light value for an image file."""
    return LIGHT[name] if static else f"var(--{name})"


def chart_config(static: bool) -> dict[str, Any]:
    """The part of a specification that all figures share."""
    ink, muted, line = (color(name, static) for name in ("ink", "muted", "line"))
    axis = {
        "labelColor": ink, "titleColor": muted, "gridColor": line, "domainColor": line, "tickColor": line,
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "gridDash": [1, 3],
        "labelLimit": 140,
    }  # fmt: skip
    return {
        "font": FONT,
        "background": LIGHT["paper"] if static else "transparent",
        "axis": axis,
        "axisX": {"grid": False},
        "legend": {"labelColor": ink, "titleColor": muted, "labelFontSize": 12}
        if static
        else {"disable": True},
        "title": {"color": ink, "subtitleColor": muted, "fontSize": 14, "anchor": "start"},
        "text": {"color": ink, "fontSize": 12},
        "rule": {"color": ink},
        "view": {"stroke": None},
        "aria": False,
    }


def style_sheet(variables: dict[str, str]) -> str:
    """The theme as CSS declarations."""
    return "".join(f"--{name}:{value};" for name, value in variables.items())
