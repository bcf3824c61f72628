"""Data sets: one memory-mapped uint8 copy per node, divided once into training, validation and test samples.

Torch-free; `hsl.training.build` puts the samples on the device.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from hsl.errors import DataError
from hsl.training.available import DATASETS, kind_and_path
from hsl.training.configuration import Split, digest
from hsl.training.data.arrays import Arrays, cache_folder
from hsl.training.data.sources import fingerprint

CACHE_VERSION = 1
PARTS = ("images", "labels", "is_test")


@dataclass(frozen=True)
class Division:
    """Disjoint ids (int64, ascending) of the three parts of a data set."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def load(dataset: str) -> Arrays:
    """The samples of a data set, memory-mapped from the node's cache, which is filled under a lock at first use.

    Args:
        dataset: Name, for example ``digits`` or ``parquet:PATH``.

    Raises:
        DataError: If it is missing, empty or unreadable.
    """
    kind, path = kind_and_path(dataset)
    read = DATASETS[kind]
    folder = _folder(dataset)
    with _first_to_make(folder) as is_first:
        if is_first:
            _write(read(path), folder, dataset)
    return Arrays(*(np.load(folder / f"{part}.npy", mmap_mode="r") for part in PARTS))


def load_divided(dataset: str, split: Split) -> tuple[Arrays, Division]:
    """`load`, and how `divide` divides it, which is kept beside it.

    Raises:
        DataError: As `load` and `divide`.
    """
    arrays = load(dataset)
    file = _folder(dataset) / f"division-{digest(split.model_dump(mode='json'))}.npz"
    with _first_to_make(file) as is_first:
        if is_first:
            division = divide(arrays, split)
            scratch = file.with_suffix(".part.npz")
            np.savez(scratch, train=division.train, val=division.val, test=division.test)
            scratch.rename(file)
    with np.load(file) as parts:
        return arrays, Division(**{name: parts[name] for name in ("train", "val", "test")})


def _folder(dataset: str) -> Path:
    kind, path = kind_and_path(dataset)
    return cache_folder() / "datasets" / digest([CACHE_VERSION, dataset, fingerprint(kind, path)])


@contextmanager
def _first_to_make(target: Path) -> Iterator[bool]:
    """Whether `target` is still to be made; if so, nobody else on this node makes it meanwhile."""
    if target.exists():
        yield False
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        yield not target.exists()


def _write(arrays: Arrays, folder: Path, dataset: str) -> None:
    if not len(arrays.images):
        raise DataError(f"the data set {dataset!r} is empty")
    scratch = Path(tempfile.mkdtemp(dir=folder.parent))
    try:
        for part in PARTS:
            np.save(scratch / f"{part}.npy", getattr(arrays, part))
        (scratch / "about.json").write_text(json.dumps({"dataset": dataset, "shape": arrays.images.shape}))
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def divide(arrays: Arrays, split: Split) -> Division:
    """Stratified, seeded, disjoint training, validation and test ids.

    Raises:
        DataError: If a class has too few samples to be in every part.
    """
    ids = np.arange(len(arrays.labels))
    own_test = arrays.is_test.any() and not arrays.is_test.all()
    rest, test = (
        (ids[~arrays.is_test], ids[arrays.is_test])
        if own_test
        else _part(ids, arrays.labels, split.test, split.seed, "test")
    )
    train, val = _part(rest, arrays.labels, split.validation, split.seed + 1, "validation")
    if split.limit and split.limit < len(train):
        train = _limited(train, arrays.labels, split.limit, split.seed + 2)
    return Division(np.sort(train), np.sort(val), np.sort(test))


def _limited(ids: np.ndarray, labels: np.ndarray, limit: int, seed: int) -> np.ndarray:
    from sklearn.utils import resample  # noqa: PLC0415  an import of half a second

    if limit < (classes := len(set(labels[ids]))):
        raise DataError(f"split.limit={limit} leaves no sample of some of the {classes} classes; raise it")
    chosen: np.ndarray = resample(
        ids, replace=False, n_samples=limit, stratify=labels[ids], random_state=seed
    )
    return chosen


def _part(
    ids: np.ndarray, labels: np.ndarray, size: float, seed: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.model_selection import train_test_split  # noqa: PLC0415  an import of half a second

    try:
        rest, part = train_test_split(ids, test_size=size, stratify=labels[ids], random_state=seed)
    except ValueError as error:
        raise DataError(
            f"split.{name}={size} is not possible with {len(ids)} samples of {len(set(labels[ids]))} classes: "
            f"{error}"
        ) from error
    return rest, part
