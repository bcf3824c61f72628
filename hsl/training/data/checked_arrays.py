"""What a reader of a data set returned, checked before it is kept: readers can be code from outside. Torch-free."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from hsl.errors import DataError
from hsl.training.data.arrays import Arrays

EXPECTED = (
    "hsl.training.data.arrays.Arrays(images uint8 [N, C, H, W], labels int64 [N] from 0, is_test bool [N])"
)
FEW = 4
"""At most so many channels are what the last axis of images may have been meant for."""


def checked(returned: object, dataset: str) -> Arrays:
    """The arrays that a reader returned, with labels as int64.

    Args:
        returned: By the reader.
        dataset: Name of the data set, for messages.

    Raises:
        DataError: If they are something else than `Arrays`, or parts of them are of another type, shape or range,
            with everything that is wrong with them.
    """
    if not isinstance(returned, Arrays):
        raise DataError(f"the reader of {dataset!r} returned {described(returned)}; expected {EXPECTED}")
    parts = {"images": returned.images, "labels": returned.labels, "is_test": returned.is_test}
    foreign = [
        f"{name} is {described(part)}" for name, part in parts.items() if not isinstance(part, np.ndarray)
    ]
    problems = foreign or [
        *_of_images(returned.images),
        *_of_labels(returned.labels),
        *_of_flags(returned.is_test),
    ]
    problems = problems or list(_of_lengths(returned))
    if problems:
        raise DataError(
            f"the reader of {dataset!r} returned arrays that cannot be used: {'; '.join(problems)}. Expected {EXPECTED}"
        )
    if not len(returned.images):
        raise DataError(f"the data set {dataset!r} is empty")
    return replace(returned, labels=returned.labels.astype(np.int64, copy=False))


def described(value: object) -> str:
    """The type of a value, with its length and the types in it, or its shape."""
    kind = type(value)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    if hasattr(value, "shape"):
        return f"{name} of {getattr(value, 'dtype', 'values')} with the shape {list(value.shape)}"
    if isinstance(value, (tuple, list)) and value:
        return f"{name} of {len(value)} ({', '.join(type(each).__name__ for each in value[:3])})"
    return name


def _of_images(images: np.ndarray) -> Iterator[str]:
    if images.dtype != np.uint8:
        scale = (
            f", {images.min():g} to {images.max():g}" if images.size and images.dtype.kind in "iuf" else ""
        )
        yield (
            f"images are {images.dtype}{scale}: give uint8 of 0 to 255, of values in [0, 1] for example "
            f"np.rint(images * 255).astype(np.uint8)"
        )
    if images.ndim != 4:
        yield f"images have the shape {list(images.shape)}: give [N, C, H, W], of grey images C = 1"
    elif images.shape[3] <= FEW < min(images.shape[1:3]):
        yield f"images have the shape {list(images.shape)}, as if channels came last: give images.transpose(0, 3, 1, 2)"
    elif images.size == 0 and len(images):
        yield f"images have the shape {list(images.shape)}, so no pixels"


def _of_labels(labels: np.ndarray) -> Iterator[str]:
    if labels.ndim != 1:
        yield f"labels have the shape {list(labels.shape)}: give [N], of one-hot rows labels.argmax(1)"
    if labels.dtype.kind not in "iu":
        yield f"labels are {labels.dtype}: give integers, of names np.unique(names, return_inverse=True)[1]"
    elif labels.size and not 0 <= labels.min() <= labels.max() < max(2, labels.size):
        yield (
            f"labels reach from {labels.min()} to {labels.max()} in {labels.size} samples: count classes from 0, for "
            f"example by np.unique(labels, return_inverse=True)[1]"
        )


def _of_flags(is_test: np.ndarray) -> Iterator[str]:
    if is_test.dtype != np.bool_ or is_test.ndim != 1:
        yield f"is_test is {described(is_test)}: give bool [N], np.zeros(N, bool) if none is"


def _of_lengths(arrays: Any) -> Iterator[str]:
    lengths = [len(part) for part in (arrays.images, arrays.labels, arrays.is_test)]
    if len(set(lengths)) > 1:
        yield "there are {} images, {} labels and {} flags is_test".format(*lengths)
