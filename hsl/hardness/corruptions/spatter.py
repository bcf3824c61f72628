"""Drops of water or mud.

The published script calls OpenCV on one image at a time; these are the same operations on a batch: Canny's
edges, a chamfer distance, histogram equalisation. Canny, A Computational Approach to Edge Detection, PAMI
1986; Borgefors, Distance Transformations in Digital Images, CVGIP 1986.
"""

import torch
from torch import Tensor

from hsl.hardness import keyed
from hsl.hardness.corruptions import filters
from hsl.hardness.corruptions.constants import constants_of
from hsl.hardness.corruptions.weather import tint

_WATER = (175.0, 238.0, 238.0)
_MUD = (63.0, 42.0, 20.0)
_FARTHEST = 20.0
_EDGE_BELOW, _EDGE_ABOVE = 50, 150
_STEPS = [
    (down, right, length)
    for moves, length in (((0, 1), 1.0), ((1, 1), 1.4), ((1, 2), 2.1969))
    for down, right in {(a * i, b * j) for a, b in (moves, moves[::-1]) for i in (1, -1) for j in (1, -1)}
]
"""Chamfer metric of 5 x 5 values: moves and their lengths."""


def spatter(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Splash water (severity 1 to 3) or mud (4 and 5) on the image.

    An image on which no drop falls is left alone. Takes one channel or three.
    """
    constants = constants_of("spatter", min(pixels.shape[2:]), severity)
    mean, sigma, smoothing, threshold, strength, is_mud = constants
    noise = keyed.normal(key, ids, (pixels.shape[2], pixels.shape[3])).double() * sigma + mean
    liquid = filters.gaussian_blur(noise, smoothing)
    liquid = liquid * (liquid >= threshold)
    pixels = pixels.double()
    if is_mud:
        cover = filters.gaussian_blur((liquid > threshold).double(), strength)[:, None]
        cover = cover * (cover >= 0.8)
        return pixels * (1 - cover) + cover * tint(_MUD, pixels)
    # More than 255 starts again at 0, as in the published script, which stores the liquid in 8 bits.
    film = water_film((liquid * 255).floor_().remainder_(256))[:, None]
    return pixels + strength * film * tint(_WATER, pixels)


def water_film(liquid: Tensor) -> Tensor:
    """Brightness of the water: most at one side of the drops, as if lit.

    Takes float64 [B, H, W], whole numbers in [0, 255]; returns float64 in [0, 1], 0 without any liquid.
    """
    distance = distance_to(edges(liquid.long()), _FARTHEST)
    height_map = equalized(_mean_of_nine(distance).add_(filters.ROUNDING).floor_().long())
    light = torch.tensor([[-2.0, -1, 0], [-1, 1, 1], [0, 1, 2]], dtype=torch.float64)
    lit = filters.correlate(height_map.double(), light).clamp_(0, 255)
    film = liquid * _mean_of_nine(lit).round_()
    highest = film.amax(dim=(1, 2), keepdim=True)
    return film / highest.clamp(min=1)


def _mean_of_nine(images: Tensor) -> Tensor:
    return filters.correlate(images, torch.full((3, 3), 1 / 9, dtype=torch.float64))


def edges(images: Tensor) -> Tensor:
    """Canny's edges with thresholds 50 and 150 on the sum of the absolute Sobel derivatives.

    Takes int64 [B, H, W] in [0, 255], returns bool [B, H, W].
    """
    right, down = _sobel(images)
    size = right.abs() + down.abs()
    ridge = _is_ridge(size, right, down)
    weak, strong = ridge & (size > _EDGE_BELOW), ridge & (size > _EDGE_ABOVE)
    while True:
        grown = _spread(strong) & weak
        if torch.equal(grown, strong):
            return strong
        strong = grown


def _sobel(images: Tensor) -> tuple[Tensor, Tensor]:
    wide = filters.padded(images, 1, "edge")
    rows = wide[:, :-2] + 2 * wide[:, 1:-1] + wide[:, 2:]
    columns = wide[:, :, :-2] + 2 * wide[:, :, 1:-1] + wide[:, :, 2:]
    return rows[:, :, 2:] - rows[:, :, :-2], columns[:, 2:] - columns[:, :-2]


def _is_ridge(size: Tensor, right: Tensor, down: Tensor) -> Tensor:
    """Whether the derivative is largest along its direction, one of eight; ties as OpenCV has them."""
    height, width = size.shape[1:]
    wide = torch.nn.functional.pad(size, (1, 1, 1, 1))

    def at(rows: int, columns: int) -> Tensor:
        return wide[:, 1 + rows : 1 + rows + height, 1 + columns : 1 + columns + width]

    across, along = right.abs(), down.abs() << 15
    slope = across * 13573  # tan 22.5 degrees, times 2 ** 15
    flat, steep = along < slope, along > slope + (across << 16)
    same_sign = (right ^ down) >= 0
    falling = (size > at(-1, -1)) & (size > at(1, 1))
    rising = (size > at(-1, 1)) & (size > at(1, -1))
    diagonal = torch.where(same_sign, falling, rising)
    level = (size > at(0, -1)) & (size >= at(0, 1))
    upright = (size > at(-1, 0)) & (size >= at(1, 0))
    return torch.where(flat, level, torch.where(steep, upright, diagonal))


def _spread(mask: Tensor) -> Tensor:
    """Pixels with a neighbour, or themselves, in the mask."""
    return torch.nn.functional.max_pool2d(mask.float()[:, None], 3, stride=1, padding=1)[:, 0] > 0


def distance_to(mask: Tensor, farthest: float) -> Tensor:
    """Length of the shortest chain of moves to a pixel of the mask, cut off at `farthest`.

    Args:
        mask: bool [B, H, W].
        farthest: Largest distance, in pixels.

    Returns:
        float64 [B, H, W].
    """
    height, width = mask.shape[1:]
    distance = torch.where(mask, 0.0, farthest).double()
    while True:
        wide = torch.nn.functional.pad(distance, (2, 2, 2, 2), value=farthest)
        shorter = distance
        for down, right, length in _STEPS:
            there = wide[:, 2 + down : 2 + down + height, 2 + right : 2 + right + width]
            shorter = torch.minimum(shorter, there + length)
        if torch.equal(shorter, distance):
            return distance
        distance = shorter


def equalized(images: Tensor) -> Tensor:
    """Histogram equalisation of int64 [B, H, W] in [0, 255]; an image of one value stays as it is."""
    flat = images.flatten(1)
    counts = torch.zeros(len(flat), 256, dtype=torch.int64, device=flat.device)
    counts.scatter_add_(1, flat, torch.ones_like(flat))
    lowest = counts.gather(1, flat.amin(dim=1, keepdim=True))
    above = flat.shape[1] - lowest
    # In float32, as OpenCV computes it: it decides for a level in the middle between two whole numbers.
    scale = torch.full_like(above, 255, dtype=torch.float32) / above.clamp(min=1)
    levels = ((counts.cumsum(1) - lowest) * scale).round().long().clamp_(0, 255)
    return torch.where(above > 0, levels.gather(1, flat), flat).view_as(images)
