"""Samples as arrays, and where a node keeps them. Torch-free."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import platformdirs


@dataclass(frozen=True)
class Arrays:
    """All samples of a data set; a sample's id is its index.

    Attributes:
        images: uint8 [N, C, H, W], values 0 to 255.
        labels: int64 [N], classes counted from 0.
        is_test: bool [N], the publisher's own test samples (may be all False).
        names: Names of the classes, as far as they are known.
        remarks: What there is to say of how they were read: files that were left out, for example.
    """

    images: np.ndarray
    labels: np.ndarray
    is_test: np.ndarray
    names: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @cached_property
    def classes(self) -> int:
        """Number of classes: the highest label and one; see `classes` for labels that no training sample has."""
        return int(self.labels.max()) + 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of an image."""
        _, channels, height, width = self.images.shape
        return channels, height, width


def cache_folder() -> Path:
    """``HSL_CACHE``, or the user's cache folder."""
    return Path(os.environ.get("HSL_CACHE") or platformdirs.user_cache_dir("hsl"))
