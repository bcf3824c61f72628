"""Content of a data set: which samples it has, independent of paths and file formats. Torch-free."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from hsl.training.data.arrays import Arrays
from hsl.wording import count

SHOWN = 5
"""Number of classes that a difference names."""


@dataclass(frozen=True)
class Content:
    """The samples of a data set, in their order, which decides their ids.

    Attributes:
        shape: Channels, height and width of an image.
        names: Names of the classes, as far as they are known.
        pixels: uint64 [N], digest of each image.
        labels: int64 [N].
        is_test: bool [N], the publisher's own test samples.
        remarks: What there is to say of how they were read, which does not make them others.
    """

    shape: tuple[int, int, int]
    names: tuple[str, ...]
    pixels: np.ndarray
    labels: np.ndarray
    is_test: np.ndarray
    remarks: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """16 hexadecimal digits; names of classes do not matter."""
        made = hashlib.blake2b(repr((self.shape, len(self.labels))).encode(), digest_size=8)
        for part, kind in ((self.pixels, "<u8"), (self.labels, "<i8"), (self.is_test, "?")):
            made.update(np.ascontiguousarray(part, kind).tobytes())
        return made.hexdigest()

    def name(self, label: int) -> str:
        """A class in words."""
        return f"class {self.names[label]!r}" if label < len(self.names) else f"class {label}"


def content_of(arrays: Arrays) -> Content:
    """The content of arrays, which may be memory-mapped: they are read sample by sample."""
    digests = b"".join(hashlib.blake2b(image.tobytes(), digest_size=8).digest() for image in arrays.images)
    pixels = np.frombuffer(digests, "<u8")
    return Content(arrays.shape, arrays.names, pixels, np.array(arrays.labels), np.array(arrays.is_test))


def differences(before: Content, after: Content) -> Iterator[str]:
    """What distinguishes two contents, in words; nothing if they have the same digest."""
    if before.shape != after.shape:
        sizes = [" x ".join(map(str, content.shape)) for content in (before, after)]
        yield f"images are {sizes[1]} (channels, height, width), they were {sizes[0]}"
    yield from _classes(before, after)
    gone, added = (_less(*pair) for pair in ((before, after), (after, before)))
    if gone or added:
        yield f"{count(gone, 'image')} gone, {count(added, 'image')} new, {len(before.pixels)} before"
    else:
        yield from _rearranged(before, after)


def _classes(before: Content, after: Content) -> Iterator[str]:
    sizes = [Counter(content.name(label) for label in content.labels.tolist()) for content in (before, after)]
    changed = [name for name in {**sizes[0], **sizes[1]} if sizes[0][name] != sizes[1][name]]
    for name in changed[:SHOWN]:
        had, has = sizes[0][name], sizes[1][name]
        if not has:
            yield f"{name} is gone ({count(had, 'sample')})"
        else:
            yield (
                f"{name} has {count(has, 'sample')}, it had {had}"
                if had
                else f"{name} is new ({has} samples)"
            )
    if len(changed) > SHOWN:
        yield f"{len(changed) - SHOWN} more classes have other numbers of samples"


def _less(content: Content, other: Content) -> int:
    """Number of images that `content` has and `other` has not; equal ones count each."""
    return (Counter(content.pixels.tolist()) - Counter(other.pixels.tolist())).total()


def _rearranged(before: Content, after: Content) -> Iterator[str]:
    """Differences of two contents with the same images."""
    parts = [
        Counter(zip(c.pixels.tolist(), c.labels.tolist(), c.is_test.tolist(), strict=True))
        for c in (before, after)
    ]
    if moved := (parts[0] - parts[1]).total():
        yield f"{count(moved, 'image')} with another label, or moved between training and test samples"
    elif before.digest != after.digest:
        yield "the same samples in another order, which decides their ids, and with them every random draw"
