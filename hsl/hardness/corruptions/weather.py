"""Snow, frost and fog."""

from functools import cache

import torch
from torch import Tensor

from hsl.hardness import keyed
from hsl.hardness.corruptions import filters
from hsl.hardness.corruptions.constants import constants_of

LUMA = (0.299, 0.587, 0.114)
"""Share of red, green and blue in the brightness of a pixel."""

TEXTURES = 5
_ICE = (208.0, 224.0, 240.0)


def fog(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Add clouds, and darken to the old maximum."""
    strength, decay = constants_of("fog", min(pixels.shape[2:]), severity)
    height, width = pixels.shape[2:]
    clouds = filters.plasma(key, ids, filters.power_of_two(max(height, width)), decay)
    pixels, clouds = pixels.double(), clouds[:, None, :height, :width]
    highest = pixels.amax(dim=(1, 2, 3), keepdim=True)
    return (pixels + clouds * (255 * strength)) * (highest / (highest + 255 * strength))


def snow(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Bleach the image and add falling flakes, and the same turned by half a turn.

    Takes one channel or three.
    """
    side, (height, width) = min(pixels.shape[2:]), pixels.shape[2:]
    mean, sigma, zoom, threshold, radius, spread, share = constants_of("snow", side, severity)
    noise = keyed.normal(keyed.key(key, "flakes"), ids, (height, width)).double() * sigma + mean
    rows, columns = (filters.zoom_matrix(size, zoom).to(noise.device) for size in (height, width))
    layer = rows @ noise @ columns.T
    layer = (layer * (layer >= threshold)).clamp_(0, 1).mul_(255).add_(filters.ROUNDING).floor_()
    degrees = keyed.uniform(keyed.key(key, "direction"), ids).double() * 90 - 135
    layer = filters.streaks(layer[:, None], radius, spread, degrees).add_(filters.ROUNDING).floor_()
    pixels = pixels.double()
    bleached = torch.maximum(pixels, luma(pixels) * 1.5 + 127.5)
    return share * pixels + (1 - share) * bleached + layer + layer.flip(2, 3)


def luma(pixels: Tensor) -> Tensor:
    """Brightness of each pixel, [B, 1, H, W]; of a grey image the image itself."""
    if pixels.shape[1] == 1:
        return pixels
    weights = torch.tensor(LUMA, dtype=pixels.dtype, device=pixels.device)[:, None, None]
    return (pixels * weights).sum(dim=1, keepdim=True)


def tint(color: tuple[float, ...], like: Tensor) -> Tensor:
    """A colour, [C, 1, 1], for images of three channels or one."""
    values = torch.tensor(color, dtype=torch.float64, device=like.device)[:, None, None]
    return values if like.shape[1] == len(color) else luma(values[None])[0]


def frost_procedural(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Mix the image with a random cut of an ice texture.

    The textures are made here, of plasma, in place of the photographs of the published script: same mixture,
    other ice. Results are not comparable with those on published frost images. Takes one channel or three.
    """
    share, ice = constants_of("frost_procedural", min(pixels.shape[2:]), severity)
    height, width = pixels.shape[2:]
    textures = ice_textures(4 * filters.power_of_two(max(height, width))).to(pixels.device)
    size = textures.shape[1]
    which = keyed.integers(keyed.key(key, "texture"), ids, (), TEXTURES)
    top = keyed.integers(keyed.key(key, "row"), ids, (), size - height)
    left = keyed.integers(keyed.key(key, "column"), ids, (), size - width)
    rows = top[:, None, None] + torch.arange(height, device=ids.device)[:, None]
    columns = left[:, None, None] + torch.arange(width, device=ids.device)
    cut = textures[which[:, None, None], rows, columns][:, None]
    return share * pixels.double() + ice * cut * tint(_ICE, pixels)


@cache
def ice_textures(size: int) -> Tensor:
    """Five textures of veins and crystals, float64 [5, size, size] in [0, 1] on the CPU, whose draws are fixed."""
    ids = torch.arange(TEXTURES)
    layers = [
        filters.plasma(keyed.key("ice", i), ids, size, decay) for i, decay in enumerate((1.4, 1.6, 1.3))
    ]
    # Lines of equal height are veins: sharp where the plasma crosses one half, faint elsewhere.
    veins = [1 - (2 * layer - 1).abs() for layer in layers]
    crystals = veins[0] ** 4 * 0.5 + veins[1] ** 8 * 0.4 + (veins[2] * veins[0]) ** 3 * 0.4
    return (0.15 + crystals).clamp_(0, 1)
