"""Damaged images: the 32 x 32 corruptions of CIFAR-C, batched, on any device.

Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR
2019, arXiv 1903.12261; constants of make_cifar_c.py. A corruption works in pixel values, 0 to 255, and leaves
clipping and the step to whole numbers to `corrupt`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hsl.errors import DataError
from hsl.hardness import keyed
from hsl.hardness.registries import CORRUPTIONS

GAUSSIAN_NOISE_SIGMA = (0.04, 0.06, 0.08, 0.09, 0.10)
CONTRAST_FACTOR = (0.75, 0.5, 0.4, 0.3, 0.15)

_CHUNK_VALUES = 1 << 22


def corrupt(
    images: Tensor, ids: Tensor, name: str, severity: int, key: int, *, chunk: int | None = None
) -> Tensor:
    """Apply one corruption to a set of images.

    Values are clipped to [0, 255] and cut to whole numbers, not rounded, as the published data sets are.

    Args:
        images: uint8 [N, C, H, W].
        ids: Sample ids, int64 [N]. The draws of an image depend on its id and the key alone.
        name: Entry of the registry of corruptions.
        severity: 1 to 5.
        key: Stream of the draws.
        chunk: Images that are worked on at once; bounds memory, does not change the result. Default: as many
            as have four million values.

    Returns:
        uint8 [N, C, H, W].

    Raises:
        UnknownNameError: If there is no such corruption.
        DataError: If the images are not uint8 [N, C, H, W], or the severity is none of 1-5.
    """
    _check(images, ids, severity)
    damage = CORRUPTIONS[name]
    chunk = chunk or max(1, _CHUNK_VALUES // max(1, images[:1].numel()))
    corrupted = torch.empty_like(images)
    for first in range(0, len(images), chunk):
        piece = slice(first, first + chunk)
        pixels = damage(images[piece].float(), ids[piece], severity, key)
        corrupted[piece] = pixels.clamp(0, 255).to(torch.uint8)
    return corrupted


def gaussian_noise(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Add normal noise to every value.

    Args:
        pixels: float32 [B, C, H, W] in [0, 255].
        ids: int64 [B].
        severity: 1 to 5, for a standard deviation of 0.04, 0.06, 0.08, 0.09, 0.10 of the range.
        key: Stream of the draws.

    Returns:
        float32 [B, C, H, W], not clipped.
    """
    noise = keyed.normal(key, ids, tuple(pixels.shape[1:]))
    return pixels + noise * (255 * GAUSSIAN_NOISE_SIGMA[severity - 1])


def contrast(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Pull every value towards the mean of its channel; draws nothing at random.

    Args:
        pixels: float32 [B, C, H, W] in [0, 255].
        ids: int64 [B], not read.
        severity: 1 to 5, for 0.75, 0.5, 0.4, 0.3, 0.15 of the contrast.
        key: Not read.

    Returns:
        float64 [B, C, H, W]: in float32 one value in some thousand would be cut to another whole number.
    """
    pixels = pixels.double()
    means = pixels.mean(dim=(2, 3), keepdim=True)
    return (pixels - means) * CONTRAST_FACTOR[severity - 1] + means


def _check(images: Tensor, ids: Tensor, severity: int) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise DataError(f"images are {images.dtype} {list(images.shape)}; give torch.uint8 [N, C, H, W]")
    if len(ids) != len(images):
        raise DataError(f"{len(images)} images have {len(ids)} ids; give one id per image")
    if severity not in range(1, 6):
        raise DataError(f"severity {severity} does not exist; allowed is 1-5")
