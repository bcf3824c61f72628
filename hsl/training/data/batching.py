"""Training samples, cycle by cycle, and how a cycle is cut into batches."""

from collections.abc import Callable

import torch
from torch import Tensor

from hsl.hardness import keyed
from hsl.hardness.apply import Samples
from hsl.training.data.augmentation import Shifts, draw_shifts, shifted


class TrainingSet:
    """Training samples on the device; a regime that redraws its corruption does so in every cycle.

    Args:
        samples: All training samples.
        redraw: The samples of a cycle, where they differ.
        exposure: Number of samples whose steps make an epoch; all of them by default.
    """

    def __init__(
        self, samples: Samples, redraw: Callable[[int], Samples] | None = None, exposure: int | None = None
    ) -> None:
        self._samples = samples
        self._redraw = redraw
        self.exposure = exposure or len(samples)

    def __len__(self) -> int:
        return len(self._samples)

    def steps_per_cycle(self, batch_size: int) -> int:
        """Number of batches in one time through the samples."""
        return steps_per_epoch(len(self), batch_size)

    def steps_per_epoch(self, batch_size: int) -> int:
        """Number of batches in an epoch."""
        return steps_per_epoch(self.exposure, batch_size)

    def at(self, cycle: int) -> Samples:
        """The samples of one cycle, counted from 1."""
        return self._redraw(cycle) if self._redraw else self._samples


class Cycle:
    """One time through the training samples, in batches.

    Order, labels and draws are computed for all samples at once and on their device, so that a batch costs no
    more than its images, and no device has to wait for the host.

    Args:
        samples: The training samples.
        key: Stream of the order, of (seed, cycle).
        batch_size: Samples per batch.
        augment: Stream of the crops and flips; None leaves the images as they are.
    """

    def __init__(self, samples: Samples, key: int, batch_size: int, augment: int | None) -> None:
        order = keyed.permutation(key, len(samples), samples.images.device)
        ids = samples.ids[order]
        self._images = samples.images
        self._places, self._labels, self._ids = (
            batches(each, batch_size) for each in (order, samples.labels[order], ids)
        )
        self._shifts: list[Shifts] = []
        if augment is not None:
            drawn = draw_shifts(ids, augment)
            parts = (batches(drawn.corner, batch_size), batches(drawn.flip, batch_size))
            self._shifts = [Shifts(*part) for part in zip(*parts, strict=True)]

    def __len__(self) -> int:
        return len(self._places)

    def batch(self, number: int) -> tuple[Tensor, Tensor, Tensor]:
        """Images uint8 [B, C, H, W], labels int64 [B] and ids int64 [B] of one batch, counted from 0."""
        images = self._images.index_select(0, self._places[number])
        if self._shifts:
            images = shifted(images, self._shifts[number])
        return images, self._labels[number], self._ids[number]


def batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut a tensor [N, ...] into batches; a last one of one sample joins the one before: batch norm needs two."""
    parts = list(order.split(batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1 < batch_size:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Number of batches that `batches` cuts."""
    full, rest = divmod(samples, batch_size)
    return max(1, full + (rest > (1 if full else 0)))
