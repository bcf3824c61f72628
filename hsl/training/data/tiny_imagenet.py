"""Tiny ImageNet from the folder as it is distributed, checked for completeness."""

import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from hsl.errors import DataError
from hsl.filesystems import placed
from hsl.training.data.arrays import Arrays, cache_folder
from hsl.training.data.downloads import Archive, fetch
from hsl.training.data.files.pixels import in_colour, read_picture

ARCHIVE = Archive(
    "tiny-imagenet-200.zip",
    "90528d7ca1a48142e341f4ef8d21d0de",
    ("http://cs231n.stanford.edu/tiny-imagenet-200.zip",),
)
FOLDER = "tiny-imagenet-200"
SIDE = 64

Labelled = list[tuple[Path, int]]
"""Image files and their classes."""


@dataclass(frozen=True)
class Extent:
    """Size of a complete folder: classes, training images of each class, validation images."""

    classes: int = 200
    per_class: int = 500
    val: int = 10_000


def tiny_imagenet(path: str) -> Arrays:
    """Tiny ImageNet: 110,000 colour images of 64x64 pixels, 200 classes; its validation part is the test set.

    The distributed test part has no labels. Without a path the archive is downloaded and unpacked.
    """
    return read_folder(Path(path).expanduser() if path else _downloaded())


def read_folder(root: Path, extent: Extent | None = None) -> Arrays:
    """The images of a folder as distributed: ``wnids.txt``, ``train``, ``val``.

    Args:
        root: The folder, or the one that holds ``tiny-imagenet-200``.
        extent: Size of a complete folder; by default that of the distributed one.

    Returns:
        Images uint8 [N, 3, 64, 64]; classes are in the order of ``wnids.txt``.

    Raises:
        DataError: If something is missing, too much, or not readable.
    """
    extent = extent or Extent()
    root = root / FOLDER if (root / FOLDER).is_dir() else root
    classes = _classes(root, extent)
    train = _training_files(root / "train", classes, extent)
    found = train + _validation_files(root / "val", classes, extent)
    images = np.empty((len(found), 3, SIDE, SIDE), np.uint8)
    for place, (file, _) in enumerate(found):
        images[place] = _pixels(file)
    labels = np.array([label for _, label in found], np.int64)
    return Arrays(images, labels, np.arange(len(labels)) >= len(train))


def _classes(root: Path, extent: Extent) -> dict[str, int]:
    """Names of the classes and their labels, in the order of the file."""
    names = _lines(root / "wnids.txt")
    if len(set(names)) != len(names) or len(names) != extent.classes:
        raise _other_folder(root / "wnids.txt", f"{len(set(names))} classes, expected {extent.classes}")
    return {name: label for label, name in enumerate(names)}


def _training_files(folder: Path, classes: Mapping[str, int], extent: Extent) -> Labelled:
    found: Labelled = []
    for name, label in classes.items():
        files = sorted((folder / name / "images").glob("*.JPEG"))
        if len(files) != extent.per_class:
            raise _other_folder(folder / name, f"{len(files)} images, expected {extent.per_class}")
        found += [(file, label) for file in files]
    return found


def _validation_files(folder: Path, classes: Mapping[str, int], extent: Extent) -> Labelled:
    table = folder / "val_annotations.txt"
    rows = [line.split("\t") for line in _lines(table)]
    strange = [row for row in rows if len(row) < 2 or row[1] not in classes]
    if strange or len({row[0] for row in rows}) != extent.val:
        raise _other_folder(table, f"{len(rows) - len(strange)} images with a class, expected {extent.val}")
    return [(folder / "images" / row[0], classes[row[1]]) for row in rows]


def _lines(file: Path) -> Sequence[str]:
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise _other_folder(file, getattr(error, "strerror", None) or str(error)) from error


def _other_folder(place: Path, found: str) -> DataError:
    return DataError(
        f"{place}: {found}. tiny-imagenet reads the folder as it is distributed (wnids.txt, train/CLASS/images, "
        f"val/val_annotations.txt); unpack {ARCHIVE.name} again, or use imagefolder:PATH for another layout"
    )


def _pixels(file: Path) -> np.ndarray:
    """Pixels uint8 [3, 64, 64]; some images of the set are grey."""
    pixels = in_colour(read_picture(str(file), file, f"unpack {ARCHIVE.name} again").pixels)
    if pixels.shape != (3, SIDE, SIDE):
        raise DataError(f"{file} has the shape {pixels.shape}, expected (3, {SIDE}, {SIDE}); unpack it again")
    return pixels


def _downloaded() -> Path:
    """The unpacked archive in the cache; unpacked in the same folder, and moved into place when complete."""
    folder = cache_folder() / "downloads"
    target = folder / FOLDER
    if target.is_dir():
        return target
    archive = fetch(ARCHIVE, folder)
    with FileLock(f"{target}.lock"):
        if not target.is_dir():
            with placed(target) as scratch, tempfile.TemporaryDirectory(dir=folder) as unpacked:
                zipfile.ZipFile(archive).extractall(unpacked)
                Path(unpacked, FOLDER).rename(scratch)
    return target
