"""Training samples, cycle by cycle, and how a cycle is cut into batches."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hsl.hardness.apply import Samples


class TrainingSet:
    """Training samples on the device; a regime that redraws its corruption does so in every cycle.

    Args:
        samples: What is trained on.
        redraw: The samples of a cycle, where they differ.
        exposure: Number of samples whose steps make an epoch; by default those there are.
    """

    def __init__(
        self,
        samples: Samples,
        redraw: Callable[[int], Samples] | None = None,
        exposure: int | None = None,
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


def batches(order: Tensor, batch_size: int) -> list[Tensor]:
    """Cut positions into batches; a last batch of one sample joins the one before (batch norm needs two)."""
    parts = list(order.split(batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1 < batch_size:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def steps_per_epoch(samples: int, batch_size: int) -> int:
    """Number of batches that `batches` cuts."""
    full, rest = divmod(samples, batch_size)
    return max(1, full + (rest > (1 if full else 0)))
