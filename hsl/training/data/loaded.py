"""A data set on the device; kept per process, so that trials share it."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from hsl.hardness.apply import Samples
from hsl.training.configuration import Split
from hsl.training.data.arrays import Arrays
from hsl.training.data.datasets import load_divided

STATISTICS_CHUNK = 10_000


@dataclass(frozen=True)
class Data:
    """A data set, divided, on one device.

    Attributes:
        shape: Channels, height, width.
        classes: Number of outputs of a network: the highest label of all samples and one.
        mean: Mean of each channel of the training images, in [0, 1].
        std: Standard deviation of each channel.
    """

    train: Samples
    val: Samples
    test: Samples
    shape: tuple[int, int, int]
    classes: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@lru_cache(maxsize=2)
def load_data(dataset: str, split: Split, device: str, content: str | None = None) -> Data:
    """The data set of this name on the device; loaded once per process.

    Args:
        dataset: Its name or place.
        split: Its division.
        device: Torch device.
        content: Digest of the samples that are expected; None for any.

    Raises:
        DataError: If there are other samples, or as `hsl.training.data.datasets.load` does.
    """
    arrays, division = load_divided(dataset, split, content)
    parts = (division.train, division.val, division.test)
    train, val, test = (_samples(arrays, ids, device) for ids in parts)
    return Data(train, val, test, arrays.shape, arrays.classes, *_statistics(train.images))


def _samples(arrays: Arrays, ids: np.ndarray, device: str) -> Samples:
    images, labels = torch.from_numpy(arrays.images[ids]), torch.from_numpy(arrays.labels[ids])
    return Samples(images.to(device), labels.to(device), torch.from_numpy(ids).to(device))


def _statistics(images: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel; exact sums, so independent of the chunks."""
    total = torch.zeros(images.shape[1], dtype=torch.int64, device=images.device)
    squares = torch.zeros_like(total)
    for chunk in images.split(STATISTICS_CHUNK):
        values = chunk.long()
        total += values.sum((0, 2, 3))
        squares += values.square().sum((0, 2, 3))
    count = images.numel() / images.shape[1]
    mean = total.double() / count
    std = (squares.double() / count - mean.square()).clamp(min=1e-6).sqrt()
    return tuple((mean / 255).tolist()), tuple((std / 255).tolist())
