"""Labelled images as they are read, one after the other, and the arrays they make. Torch-free."""

import logging
from dataclasses import dataclass, field

import numpy as np

from hsl.errors import DataError
from hsl.training.data.arrays import Arrays
from hsl.training.data.files.omitted import listed
from hsl.training.data.files.pixels import Picture, in_colour

HIGHEST = 2**31 - 1
"""Highest label that is taken; far more classes than samples are refused later, with all samples in sight."""

LOG = logging.getLogger(__name__)


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
        """All samples; their images are in colour if any is.

        Args:
            path: Names the data set in messages.

        Raises:
            DataError: If there is none.
        """
        if not self._pictures:
            raise DataError(f"the data set at {path!r} is empty")
        pixels = [picture.pixels for picture in self._pictures]
        grey = [o for o, each in zip(self._origins, pixels, strict=True) if len(each) == 1]
        if 0 < len(grey) < len(pixels):
            LOG.warning(
                "%s: %d of %d images are grey, and become RGB as the others are", path, len(grey), len(pixels)
            )
            pixels = [in_colour(each) for each in pixels]
        transparent = [o for o, p in zip(self._origins, self._pictures, strict=True) if p.is_transparent]
        if transparent:
            LOG.warning(
                "%s: the transparency of %d of %d images is dropped, and hidden colours show: %s; to change "
                "that, paint them on a background",
                *(path, len(transparent), len(pixels), listed(transparent)),
            )
        return Arrays(np.stack(pixels), np.asarray(self._labels, np.int64), np.asarray(self._is_test, bool))
