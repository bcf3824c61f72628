"""Random crop and horizontal flip of a whole batch on its device, drawn per sample id."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from hsl.hardness import keyed
from hsl.training.available import DATASETS, kind_and_path

PADDING = 4
SMALLEST_SIDE = 32
"""Smaller images are not augmented by default: four pixels are half of an 8x8 digit."""


def is_augmented(augment: bool | None, shape: tuple[int, int, int]) -> bool:
    """Whether images of this shape, (C, H, W), are cropped and mirrored, as was asked for or by their size."""
    return min(shape[1:]) >= SMALLEST_SIDE if augment is None else augment


def misleading(dataset: str, augment: bool | None, shape: tuple[int, int, int]) -> Iterator[str]:
    """A warning where training images are mirrored whose mirror images are of no class, or of another one."""
    kind, _ = kind_and_path(dataset)
    if is_augmented(augment, shape) and not DATASETS.facts(kind).mirrors:
        yield (
            f"half of the training images are mirrored, and mirrored images of {kind} are none of their class; set "
            f"training.augment: false"
        )


@dataclass(frozen=True)
class Shifts:
    """Crops and flips of N images.

    Attributes:
        corner: Row and column at which the crop of the padded image begins, int64 [N, 2] in [0, 8].
        flip: Whether the crop is mirrored, int64 [N], 0 or 1.
    """

    corner: Tensor
    flip: Tensor


def draw_shifts(ids: Tensor, key: int) -> Shifts:
    """Draw for each sample, int64 [N] ids, independent of its batch; `key` is a stream, as of (seed, epoch)."""
    corner = keyed.integers(keyed.key(key, "corner"), ids, (2,), 2 * PADDING + 1)
    return Shifts(corner, keyed.integers(keyed.key(key, "flip"), ids, (1,), 2).view(-1))


def shifted(images: Tensor, shifts: Shifts) -> Tensor:
    """Pad images [B, C, H, W] of any type by 4 with zeros, crop, and mirror (He et al. 2016, arXiv 1512.03385)."""
    return (copied_crops if images.device.type == "cpu" else picked_crops)(images, shifts)


def picked_crops(images: Tensor, shifts: Shifts) -> Tensor:
    """As `shifted`, pixel by pixel, which suits GPUs."""
    height, width = images.shape[2:]
    windows = functional.pad(images, (PADDING,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    sample = torch.arange(len(images), device=images.device)
    cropped = windows[sample, :, shifts.corner[:, 0], shifts.corner[:, 1]]
    return torch.where(shifts.flip.bool()[:, None, None, None], cropped.flip(3), cropped)


def copied_crops(images: Tensor, shifts: Shifts) -> Tensor:
    """As `shifted`, image by image, which a CPU does in half of the time.

    A crop that is mirrored is a crop of the mirrored image. Each is copied in one piece, from its first pixel to its
    last; the pixels between its rows are skipped by strides, so the result has gaps.
    """
    count, channels, height, width = images.shape
    padded = functional.pad(images, (PADDING,) * 4).contiguous()
    both = torch.stack((padded, padded.flip(3)))
    _, each, channel, row, _ = both.stride()
    top, left = shifts.corner.unbind(1)
    left = torch.where(shifts.flip.bool(), 2 * PADDING - left, left)
    image = torch.arange(count) + shifts.flip * count
    length = (channels - 1) * channel + (height - 1) * row + width
    pieces = both.as_strided((both.numel() - length + 1, length), (1, 1))
    copied = pieces.index_select(0, image * each + top * row + left)
    return copied.as_strided(images.shape, (length, channel, row, 1))
