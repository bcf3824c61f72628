"""Labelled images as they are read, one after the other, and the arrays they make. Torch-free."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import compress

import numpy as np

from hsl.errors import DataError
from hsl.training.data.arrays import Arrays
from hsl.training.data.files.omitted import listed, said
from hsl.training.data.files.pixels import Picture, in_colour

HIGHEST = 2**31 - 1
"""Highest label that is taken; far more classes than samples are refused later, with all samples in sight."""


@dataclass
class Samples:
    """Samples of a data set in the order of reading."""

    _pictures: list[Picture] = field(default_factory=list)
    _labels: list[int] = field(default_factory=list)
    _is_test: list[bool] = field(default_factory=list)
    _origins: list[str] = field(default_factory=list)

    def add(self, origin: str, picture: Picture, label: int | None, is_test: bool) -> None:
        """Take one more.

        Args:
            origin: Names it in messages.
            picture: The image.
            label: Its class.
            is_test: Whether it belongs to the publisher's test set.

        Raises:
            DataError: If its label is missing, negative or too high, or its image is not of the size of the first.
        """
        if label is None or not 0 <= label <= HIGHEST:
            raise DataError(f"{origin}: the label is {label}; labels are whole numbers from 0")
        first = self._pictures[0].pixels.shape if self._pictures else picture.pixels.shape
        if picture.pixels.shape[1:] != first[1:]:
            raise DataError(
                f"{origin} has the shape {picture.pixels.shape} (channels, height, width), {self._origins[0]} has "
                f"{first}; make all images equal"
            )
        self._pictures.append(picture)
        self._labels.append(label)
        self._is_test.append(is_test)
        self._origins.append(origin)

    def arrays(self, path: str) -> Arrays:
        """All samples; their images are in colour if any is. What is peculiar about them is logged.

        Args:
            path: Names the data set in messages.

        Raises:
            DataError: If there is none.
        """
        if not self._pictures:
            raise DataError(f"the data set at {path!r} is empty")
        pixels = [picture.pixels for picture in self._pictures]
        is_grey = [len(each) == 1 for each in pixels]
        if any(is_grey) and not all(is_grey):
            pixels = [in_colour(each) for each in pixels]
        else:
            is_grey = []
        is_test = np.asarray(self._is_test, bool)
        remarks = (
            *self._remarks(path, is_grey, "images are grey, and become RGB as the others are"),
            *self._remarks(
                path,
                [picture.is_transparent for picture in self._pictures],
                "images lose their transparency, and hidden colours show",
            ),
            *self._remarks(
                path,
                _also_trained_on(pixels, is_test),
                "images are test images and, to the byte, training images",
            ),
        )
        return Arrays(np.stack(pixels), np.asarray(self._labels, np.int64), is_test, remarks=remarks)

    def _remarks(self, path: str, which: Sequence[bool], what: str) -> Iterator[str]:
        """Say of how many samples there is something to say, and their first names."""
        if any(which):
            names = listed(compress(self._origins, which))
            yield said(f"{path}: {sum(which)} of {len(which)} {what}: {names}")


def _also_trained_on(pixels: Sequence[np.ndarray], is_test: np.ndarray) -> list[bool]:
    """Which images are test images that are equal to a training image."""
    if not is_test.any():
        return []
    digests = [hashlib.blake2b(each.tobytes(), digest_size=16).digest() for each in pixels]
    trained_on = set(compress(digests, ~is_test))
    return [bool(test) and digest in trained_on for test, digest in zip(is_test, digests, strict=True)]
