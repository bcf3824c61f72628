"""Blurs, and what moves values between neighbouring pixels."""

import math
from functools import cache

import torch
from torch import Tensor

from hsl.hardness import keyed
from hsl.hardness.corruptions import filters
from hsl.hardness.corruptions.constants import constants_of

_DENSE_PIXELS = 1024


def gaussian_blur(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Blur with a Gaussian; draws nothing at random.

    Severities 1 to 6: standard deviation 0.4, 0.6, 0.7, 0.8, 1, 1.2 pixels (at 32 pixels).
    """
    (sigma,) = constants_of("gaussian_blur", min(pixels.shape[2:]), severity)
    return filters.gaussian_blur(pixels.double(), sigma)


def defocus_blur(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Blur with a disk whose rim is smoothed; draws nothing at random.

    At 32 pixels severities 1-3 are 3 x 3 Gaussians, 4 is a plus of five values, 5 a 3 x 3 mean.
    """
    radius, smoothing = constants_of("defocus_blur", min(pixels.shape[2:]), severity)
    return filters.correlate(pixels.double(), _disk(radius, smoothing))


@cache
def _disk(radius: float, smoothing: float) -> Tensor:
    """Disk of equal weights, blurred by three values of a Gaussian along each axis."""
    reach = int(radius) + 1
    places = torch.arange(-reach, reach + 1, dtype=torch.float64)
    disk = (places[:, None] ** 2 + places**2 <= radius**2).double()
    outer = math.exp(-1 / (2 * smoothing**2))
    rim = torch.tensor([outer, 1, outer], dtype=torch.float64) / (1 + 2 * outer)
    smooth = torch.nn.functional.conv2d(disk[None, None], torch.outer(rim, rim)[None, None], padding=1)
    return smooth[0, 0] / disk.sum()


def glass_blur(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Blur, replace each pixel by one near it, blur again.

    From the lower right to the upper left each pixel becomes a copy of a neighbour (the published script
    writes an exchange, which between views of one array is a copy). Blurred values are cut in between. Damage
    does not grow from severity 3 to 4.
    """
    sigma, reach, rounds = constants_of("glass_blur", min(pixels.shape[2:]), severity)
    blurred = (filters.gaussian_blur(pixels.double(), sigma) + filters.ROUNDING).floor()
    sources = _neighbours(key, ids, (pixels.shape[2], pixels.shape[3]), int(reach), int(rounds))
    flat = blurred.flatten(2)
    copied = flat.gather(2, sources[:, None].expand_as(flat)).view_as(blurred)
    return filters.gaussian_blur(copied, sigma)


def _neighbours(key: int, ids: Tensor, shape: tuple[int, int], reach: int, rounds: int) -> Tensor:
    """Source pixel of each pixel, int64 [B, H * W]; one pixel of all images at a time."""
    height, width = shape
    moves = keyed.integers(key, ids, (rounds, 2, height, width), 2 * reach) - reach
    places = torch.arange(height * width, device=ids.device)
    origins = places + moves[:, :, 0].flatten(2) * width + moves[:, :, 1].flatten(2)
    # Pixels come first, images second: what is read and written together is contiguous in memory.
    origins = origins.permute(1, 2, 0).contiguous()
    sources = places[:, None].repeat(1, len(ids))
    for origin in origins:
        for row in range(height - reach, reach, -1):
            for column in range(width - reach, reach, -1):
                place = row * width + column
                sources[place] = sources.gather(0, origin[place : place + 1])[0]
    return sources.T.contiguous()


def motion_blur(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Blur along a line at -45 to 45 degrees to the rows, cut to whole numbers."""
    radius, sigma = constants_of("motion_blur", min(pixels.shape[2:]), severity)
    degrees = keyed.uniform(key, ids).double() * 90 - 45
    return filters.streaks(pixels.double(), radius, sigma, degrees).add_(filters.ROUNDING).floor_()


def zoom_blur(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Mean of the image and of its enlargements by 1, 1.01, 1.02, ...; draws nothing at random.

    Severities 1 to 5: 7, 12, 16, 21, 26 enlargements.
    """
    (end,) = constants_of("zoom_blur", min(pixels.shape[2:]), severity)
    height, width = pixels.shape[2:]
    images = pixels.double()
    if height * width <= _DENSE_PIXELS:
        matrix = _mean_zoom(height, width, end).to(images.device)
        return (images.flatten(2) @ matrix.T).view_as(images)
    factors = _factors(end)
    total = images.clone()
    for factor in factors:
        rows, columns = (filters.zoom_matrix(size, factor).to(images.device) for size in (height, width))
        total += rows @ images @ columns.T
    return total / (len(factors) + 1)


def _factors(end: float) -> list[float]:
    """1, 1.01, 1.02, ... as NumPy's `arange` has them: with 1.06 and 1.11, without 1.16, 1.21 and 1.26."""
    step = 1.01 - 1  # not 0.01: the last digit of 1.25 decides on the size of the enlarged image
    return [1 + step * i for i in range(math.ceil((end - 1) / 0.01))]


@cache
def _mean_zoom(height: int, width: int, end: float) -> Tensor:
    """The mean of all enlargements as one matrix, float64 [H * W, H * W]."""
    total = torch.eye(height * width, dtype=torch.float64)
    factors = _factors(end)
    for factor in factors:
        total += torch.kron(filters.zoom_matrix(height, factor), filters.zoom_matrix(width, factor))
    return total / (len(factors) + 1)


def elastic_transform(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Move three corners of a square inside the image, then every pixel a little.

    Severity 1 moves the corners alone. Damage does not grow with severity.
    """
    side = min(pixels.shape[2:])
    strength, sigma, corner = (value * side for value in constants_of("elastic_transform", side, severity))
    moved = _moved_corners(pixels.double(), keyed.uniform(keyed.key(key, "corners"), ids, (3, 2)), corner)
    if strength == 0:
        return moved
    height, width = pixels.shape[2:]
    noise = keyed.uniform(keyed.key(key, "flow"), ids, (2, height, width)).double() * 2 - 1
    flow = filters.gaussian_blur(noise, sigma, "symmetric", truncate=3.0) * strength
    rows, columns = _grid(height, width, pixels.device)
    return filters.bilinear(moved, rows + flow[:, 1], columns + flow[:, 0], "symmetric")


def _grid(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Row and column of every pixel, float64 [H, 1] and [W]."""
    rows = torch.arange(height, dtype=torch.float64, device=device)[:, None]
    return rows, torch.arange(width, dtype=torch.float64, device=device)


def _moved_corners(images: Tensor, uniform: Tensor, corner: float) -> Tensor:
    """The affine map that takes three corners each to a place up to `corner` pixels away.

    Args:
        images: float64 [B, C, H, W].
        uniform: float32 [B, 3, 2] in [0, 1): draws for x and y of each corner.
        corner: Largest move along an axis, in pixels.
    """
    height, width = images.shape[-2:]
    center, half = torch.tensor([height // 2, width // 2]), min(height, width) // 3
    signs = torch.tensor([[1, 1], [1, -1], [-1, -1]])
    before = (center + half * signs).double().to(images.device)
    after = before + (uniform.double() * 2 - 1) * corner
    # Values are fetched, so the map is that from after to before: before[0] + edges @ inverse @ (place -
    # after[0]).
    edges, moved = before[1:] - before[0], after[:, 1:] - after[:, :1]
    determinant = moved[:, 0, 0] * moved[:, 1, 1] - moved[:, 0, 1] * moved[:, 1, 0]
    inverse = torch.stack([moved[:, 1, 1], -moved[:, 0, 1], -moved[:, 1, 0], moved[:, 0, 0]], dim=1)
    shares = inverse.view(-1, 2, 2) / determinant[:, None, None]
    rows, columns = _grid(height, width, images.device)
    x, y = columns - after[:, 0, 0, None, None], rows - after[:, 0, 1, None, None]
    first = x * shares[:, 0, 0, None, None] + y * shares[:, 1, 0, None, None]
    second = x * shares[:, 0, 1, None, None] + y * shares[:, 1, 1, None, None]
    source = [before[0, i] + first * edges[0, i] + second * edges[1, i] for i in (0, 1)]
    return filters.bilinear(images, source[1], source[0], "reflect")
