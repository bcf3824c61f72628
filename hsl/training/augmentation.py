"""Random crop and horizontal flip of a whole batch on its device, drawn per sample id."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from hsl.hardness import keyed

PADDING = 4
SMALLEST_SIDE = 32
"""Smaller images are not augmented by default: four pixels are half of an 8x8 digit."""


def crop_and_flip(images: Tensor, ids: Tensor, key: int) -> Tensor:
    """Pad by 4 with zeros, crop at a random place, flip half of the images (He et al. 2016, arXiv 1512.03385).

    Args:
        images: float [B, C, H, W].
        ids: Sample ids, int64 [B].
        key: Stream of the draws, for example of (seed, epoch).

    Returns:
        float [B, C, H, W].
    """
    height, width = images.shape[2:]
    corner = keyed.integers(keyed.key(key, "corner"), ids, (2,), 2 * PADDING + 1)
    flip = keyed.integers(keyed.key(key, "flip"), ids, (1,), 2).bool()
    windows = functional.pad(images, (PADDING,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    sample = torch.arange(len(images), device=images.device)
    cropped = windows[sample, :, corner[:, 0], corner[:, 1]]
    return torch.where(flip[:, :, None, None], cropped.flip(3), cropped)
