"""Sheets of images with captions, for looking at samples. Torch-free."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hsl.errors import HslError

TILE = 96
"""Side of the square that an image is scaled to, in pixels."""

CAPTION = 18
GAP = 8


@dataclass(frozen=True)
class Tile:
    """An image uint8 [C, H, W], grey or RGB (else its first channel is shown), and the short caption below it."""

    image: np.ndarray
    caption: str


def sheet(rows: Mapping[str, Sequence[Tile]]) -> Image.Image:
    """Rows of captioned images, by their titles, on white: an RGB image as wide as the longest row."""
    longest = max((len(tiles) for tiles in rows.values()), default=0)
    row_height = CAPTION + TILE + CAPTION + GAP
    size = (GAP + max(longest, 2) * (TILE + GAP), GAP + len(rows) * row_height)
    canvas = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=13)
    for number, (title, tiles) in enumerate(rows.items()):
        top = GAP + number * row_height
        draw.text((GAP, top), title, fill="black", font=font)
        for place, tile in enumerate(tiles):
            left = GAP + place * (TILE + GAP)
            canvas.paste(_scaled(tile.image), (left, top + CAPTION))
            draw.text((left, top + CAPTION + TILE + 1), tile.caption, fill="black", font=font)
    return canvas


def draw(path: str, rows: Mapping[str, Sequence[Tile]]) -> None:
    """Save a `sheet` as PNG, with the folders of its path; HslError if the file cannot be written."""
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        sheet(rows).save(path, format="PNG")
    except OSError as error:
        raise HslError(f"cannot write the sheet {path!r}: {error}; give another path") from error


def _scaled(image: np.ndarray) -> Image.Image:
    """The image in a square of `TILE` pixels; pixels stay visible, proportions stay as they are."""
    channels = image.transpose(1, 2, 0)
    shown = Image.fromarray(np.ascontiguousarray(channels if image.shape[0] == 3 else channels[..., 0]))
    scale = TILE / max(shown.size)
    size = tuple(max(1, round(side * scale)) for side in shown.size)
    square = Image.new("RGB", (TILE, TILE), "lightgrey")
    square.paste(shown.convert("RGB").resize((size[0], size[1]), Image.Resampling.NEAREST), (0, 0))
    return square
