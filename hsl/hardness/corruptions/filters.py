"""Parts of several corruptions: blurs, interpolation and plasma, on batches of images in float64.

Sums are made value by value in a fixed order, so that an image's result does not depend on its batch.
"""

import math
from collections.abc import Sequence
from functools import cache
from itertools import product
from typing import Literal

import torch
from torch import Tensor

from hsl.hardness import keyed

Border = Literal["edge", "reflect", "symmetric"]
"""Values beyond the border of a, b, c: c, c (edge); b, a (reflect); c, b (symmetric)."""

ROUNDING = 1e-9
"""A value this close below a whole number, of 0 to 255, counts as that number: no rounding error of a sum,
and so neither batch nor device, decides which whole number it is cut to."""


def inside(positions: Tensor, size: int, border: Border) -> Tensor:
    """Positions on an axis, int64 of any shape, taken back into it; `size` at least 2 for ``reflect``."""
    if border == "edge":
        return positions.clamp(0, size - 1)
    if border == "reflect":
        period = 2 * size - 2
        folded = positions.remainder(period)
        return torch.minimum(folded, period - folded)
    folded = positions.remainder(2 * size)
    return torch.minimum(folded, 2 * size - 1 - folded)


def padded(images: Tensor, radius: int, border: Border) -> Tensor:
    """Images [..., H, W] with `radius` more values on every side."""
    for dim in (-2, -1):
        images = _extended(images, dim, radius, border)
    return images


def _extended(images: Tensor, dim: int, radius: int, border: Border) -> Tensor:
    """Images with `radius` more values at both ends of the axis `dim`, counted from the last."""
    size = images.shape[dim]
    positions = inside(torch.arange(-radius, size + radius, device=images.device), size, border)
    return images.index_select(images.ndim + dim, positions)


def gaussian_blur(images: Tensor, sigma: float, border: Border = "edge", truncate: float = 4.0) -> Tensor:
    """Blur along both axes with a Gaussian cut off at `truncate` standard deviations.

    Args:
        images: float64 [..., H, W].
        sigma: Standard deviation in pixels, at least 0.
        border: Which values continue the image.
        truncate: Radius of the kernel in standard deviations, rounded to whole pixels.

    Returns:
        float64 [..., H, W].
    """
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return images
    weights = [math.exp(-0.5 * (i / sigma) ** 2) for i in range(-radius, radius + 1)]
    weights = [weight / sum(weights) for weight in weights]
    for dim in (-2, -1):
        images = _along(_extended(images, dim, radius, border), weights, dim, images.shape[dim])
    return images


def _along(images: Tensor, weights: Sequence[float], dim: int, size: int) -> Tensor:
    """Weighted sum of shifted views; kernels are symmetric here, so it is a convolution."""
    total = images.narrow(dim, 0, size) * weights[0]
    for i, weight in enumerate(weights[1:], start=1):
        total.add_(images.narrow(dim, i, size), alpha=weight)
    return total


def correlate(images: Tensor, kernel: Tensor, border: Border = "reflect") -> Tensor:
    """Weighted sum of each neighbourhood, float64 [..., H, W]; kernel float64 [k, k] on the CPU, k odd."""
    height, width = images.shape[-2:]
    wide = padded(images, kernel.shape[0] // 2, border)
    total = torch.zeros_like(images)
    for row, column in product(range(kernel.shape[0]), repeat=2):
        if weight := kernel[row, column].item():
            total.add_(wide[..., row : row + height, column : column + width], alpha=weight)
    return total


def bilinear(images: Tensor, rows: Tensor, columns: Tensor, border: Border) -> Tensor:
    """Images at places between the pixels.

    Args:
        images: float64 [B, C, H, W].
        rows: float64 [B, H, W], where each value comes from, in pixels.
        columns: float64 [B, H, W].
        border: Which values continue the image.

    Returns:
        float64 [B, C, H, W].
    """
    height, width = images.shape[-2:]
    above, left = rows.floor(), columns.floor()
    down, right = (rows - above).flatten(1)[:, None], (columns - left).flatten(1)[:, None]
    top, bottom = (inside(above.long() + i, height, border) * width for i in (0, 1))
    first, second = (inside(left.long() + i, width, border) for i in (0, 1))
    flat = images.flatten(2)

    def at(row: Tensor, column: Tensor) -> Tensor:
        return flat.gather(2, (row + column).flatten(1)[:, None].expand_as(flat))

    upper = torch.lerp(at(top, first), at(top, second), right)
    lower = torch.lerp(at(bottom, first), at(bottom, second), right)
    return torch.lerp(upper, lower, down).view_as(images)


@cache
def zoom_matrix(size: int, factor: float) -> Tensor:
    """Zoom into the middle of an axis by linear interpolation, cut to the old size.

    Args:
        size: Length of the axis.
        factor: At least 1.

    Returns:
        float64 [size, size] on the CPU; each row is made of two neighbouring values.
    """
    part = math.ceil(size / factor)
    length = round(part * factor)
    places = torch.linspace(0, part - 1, length, dtype=torch.float64)
    trim = (length - size) // 2
    places = places[trim : trim + size] + (size - part) // 2
    first = places.floor().long().clamp_(max=size - 2)
    second_share = (places - first)[:, None]
    matrix = torch.zeros(size, size, dtype=torch.float64)
    matrix.scatter_(1, first[:, None], 1 - second_share)
    return matrix.scatter_(1, first[:, None] + 1, second_share)


def streaks(images: Tensor, radius: float, sigma: float, degrees: Tensor) -> Tensor:
    """Motion blur of ImageMagick: half a Gaussian, drawn along a line from each pixel.

    Args:
        images: float64 [B, C, H, W].
        radius: Half the number of steps, in pixels.
        sigma: Standard deviation in pixels.
        degrees: float64 [B], direction; 0 is to the right, 90 down.

    Returns:
        float64 [B, C, H, W].
    """
    height, width = images.shape[-2:]
    steps = 2 * math.ceil(radius) + 1
    weights = [math.exp(-(i**2) / (2 * sigma**2)) for i in range(steps)]
    angles = degrees.deg2rad()[:, None]
    rows, columns = torch.arange(height, device=images.device), torch.arange(width, device=images.device)
    flat = images.flatten(2)
    total = torch.zeros_like(flat)
    for i, weight in enumerate(weights):
        right, down = ((i * part - 0.5).ceil().long() for part in (angles.cos(), angles.sin()))
        row, column = inside(rows + down, height, "edge"), inside(columns + right, width, "edge")
        places = (row[:, :, None] * width + column[:, None]).flatten(1)[:, None].expand_as(flat)
        total.add_(flat.gather(2, places), alpha=weight / sum(weights))
    return total.view_as(images)


def plasma(key: int, ids: Tensor, size: int, decay: float) -> Tensor:
    """Random clouds by midpoint displacement (diamonds and squares) on a torus.

    Args:
        key: Stream of the draws.
        ids: int64 [B].
        size: Side, a power of two.
        decay: Factor by which the displacement shrinks from one scale to the next.

    Returns:
        float64 [B, size, size], from 0 to 1 in every image.
    """
    shifts = keyed.uniform(key, ids, (size, size)).double().mul_(2).sub_(1)
    clouds = torch.zeros_like(shifts)
    step, amplitude = size, 100.0
    while step >= 2:
        corners, middles = slice(0, None, step), slice(step // 2, None, step)
        grid = clouds[:, corners, corners]
        above, left = grid + grid.roll(-1, 1), grid + grid.roll(-1, 2)
        middle = (above + above.roll(-1, 2)) / 4 + shifts[:, middles, middles] * amplitude**2
        clouds[:, middles, middles] = middle
        across = (middle + middle.roll(1, 1) + left) / 4
        clouds[:, corners, middles] = across + shifts[:, corners, middles] * amplitude**2
        along = (middle + middle.roll(1, 2) + above) / 4
        clouds[:, middles, corners] = along + shifts[:, middles, corners] * amplitude**2
        step, amplitude = step // 2, amplitude / decay
    lowest, highest = clouds.aminmax(dim=2)
    lowest = lowest.amin(1)[:, None, None]
    return (clouds - lowest) / (highest.amax(1)[:, None, None] - lowest)


def power_of_two(size: int) -> int:
    """The smallest power of two that is at least `size`."""
    return 1 << max(0, size - 1).bit_length()
