"""Data sets: one memory-mapped uint8 copy per node, divided once into training, validation and test samples.

Torch-free; `hsl.training.build` puts the samples on the device.
"""

import json
import shutil
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np
from filelock import FileLock

from hsl.errors import DamagedError, DataError
from hsl.filesystems import placed
from hsl.store.layout import derived
from hsl.training.available import DATASETS, kind_and_path, named_content
from hsl.training.configuration import Split, digest
from hsl.training.data.arrays import Arrays, cache_folder
from hsl.training.data.checked_arrays import checked
from hsl.training.data.classes import check_classes
from hsl.training.data.contents.content import Content, content_of
from hsl.training.data.contents.fingerprints import fingerprint
from hsl.training.data.contents.opened import have_changed, opened_data, states

CACHE_VERSION = 3
"""Raised whenever readers make other arrays of the same files, so that what was cached before is read again."""

PARTS = ("images", "labels", "is_test")
PIXELS = "pixels"
ABOUT = "about.json"

_READ: set[Path] = set()
"""Folders that this process has filled, so that their readers have logged what there is to say of them."""

T = TypeVar("T")


@dataclass(frozen=True)
class Division:
    """Disjoint ids (int64, ascending) of the three parts of a data set."""

    train: np.ndarray
    val: np.ndarray
    test: np.ndarray


def load(dataset: str) -> Arrays:
    """The samples of a data set, memory-mapped from the node's cache, which is filled under a lock at first use.

    Raises:
        DataError: If it is missing, empty or unreadable.
    """
    return _loaded(dataset, _folder(dataset), _arrays)


def load_content(dataset: str) -> Content:
    """The content of a data set; raises as `load` does.

    It comes with the remarks on how the data set was read, unless they were logged just now.
    """
    folder = _folder(dataset)
    content = _loaded(dataset, folder, _content)
    if folder in _READ:
        _READ.discard(folder)
        content = replace(content, remarks=())
    return content


def _check_content(dataset: str, folder: Path, expected: str) -> None:
    """Refuse a data set that has other samples than those with the expected digest."""
    if (found := _loaded(dataset, folder, _content).digest) != expected:
        raise DataError(
            f"{dataset} holds other samples on this machine (content {found}) than it is to hold ({expected}); "
            "give every machine the same files"
        )


def _folder(dataset: str) -> Path:
    """Where a data set is cached, as its files are now: a look at each of them, so once per load."""
    if content := named_content(dataset):
        raise DataError(
            f"of the data set {dataset} only the content ({content}) is known, not the place; give it, for example "
            f"dataset={dataset.rpartition('@')[0]}:PATH"
        )
    _reader(dataset)  # one that is unknown, or not allowed, is refused before anything of it is looked at
    kind, path = kind_and_path(dataset)
    return cache_folder() / "datasets" / digest([CACHE_VERSION, dataset, fingerprint(kind, path)])


def _loaded(dataset: str, folder: Path, get: Callable[[Path], T]) -> T:
    """What is in the folder of a data set, which is read first if it is not there."""
    read, path = _reader(dataset)

    def get_current(folder: Path) -> T:
        found = get(folder)
        if have_changed(_about(folder).get("opened", {})):
            raise FileNotFoundError(f"{folder}: files that were read have changed")
        return found

    def make() -> None:
        with opened_data() as opened:
            arrays = checked(read(path), dataset)
        _write(arrays, folder, dataset, states(opened, path))

    return _cached(folder, get_current, make)


def _about(folder: Path) -> dict[str, Any]:
    with _damage():
        found: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return found


def _reader(dataset: str) -> tuple[Callable[[str], object], str]:
    kind, path = kind_and_path(dataset)
    return DATASETS[kind], path


def load_divided(dataset: str, split: Split, content: str | None = None) -> tuple[Arrays, Division]:
    """Load a data set and its division, which is cached as well.

    Args:
        dataset: Its name or place.
        split: How to divide it.
        content: Digest of the samples that are expected; None for any.

    Raises:
        DataError: If there are other samples, or as `load` and `divide` do.
    """
    folder = _folder(dataset)
    if content is not None:
        _check_content(dataset, folder, content)
    arrays = _loaded(dataset, folder, _arrays)
    file = folder / f"division-{digest(split.model_dump(mode='json'))}.npz"
    return arrays, _cached(file, _division, lambda: _write_division(divide(arrays, split), file))


def _cached(target: Path, read: Callable[[Path], T], make: Callable[[], None]) -> T:
    """Read a file or folder of the cache; one process of the node makes it where it is missing or damaged."""
    with suppress(FileNotFoundError, DamagedError):
        return read(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        return derived(str(target), lambda _: read(target), make)


def _arrays(folder: Path) -> Arrays:
    """The arrays of a folder of the cache, memory-mapped; their values are not read."""
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    files = (ABOUT, *(f"{part}.npy" for part in (*PARTS, PIXELS)))
    missing = [name for name in files if not (folder / name).is_file()]
    with _damage():
        if missing:
            raise ValueError(f"no {', '.join(missing)}")
        about = _about(folder)
        shape, names = about["shape"], tuple(about["names"])
        images, labels, is_test = (np.load(folder / f"{part}.npy", mmap_mode="r") for part in PARTS)
        arrays = Arrays(images, labels, is_test, names)
        expected = (tuple(shape), *[(shape[0],)] * 2)
        if (found := tuple(getattr(arrays, part).shape for part in PARTS)) != expected:
            raise ValueError(f"shapes {found}, expected {expected}")
    return arrays


def _content(folder: Path) -> Content:
    arrays = _arrays(folder)
    with _damage():
        pixels = np.load(folder / f"{PIXELS}.npy", mmap_mode="r")
        if pixels.shape != arrays.labels.shape:
            raise ValueError(f"{len(pixels)} digests of {len(arrays.labels)} samples")
        remarks = tuple(_about(folder).get("remarks", ()))
    return Content(arrays.shape, arrays.names, pixels, arrays.labels, arrays.is_test, remarks)


def _division(file: Path) -> Division:
    with _damage(), np.load(file) as parts:
        return Division(**{name: parts[name] for name in ("train", "val", "test")})


@contextmanager
def _damage() -> Iterator[None]:
    """Distinguish damage to files of NumPy and JSON from files that are missing."""
    try:
        yield
    except (ValueError, LookupError, TypeError, EOFError, SyntaxError, BadZipFile, zlib.error) as error:
        raise DamagedError(f"damaged ({error})") from error


def _write(arrays: Arrays, folder: Path, dataset: str, opened: dict[str, list[int]]) -> None:
    """Put arrays into a folder, in place of its content, with the states of the files that were opened for them."""
    if not len(arrays.images):
        raise DataError(f"the data set {dataset!r} is empty")
    shutil.rmtree(folder, ignore_errors=True)
    with placed(folder) as scratch:
        scratch.mkdir()
        for part in PARTS:
            np.save(scratch / f"{part}.npy", getattr(arrays, part))
        np.save(scratch / f"{PIXELS}.npy", content_of(arrays).pixels)
        about = {"dataset": dataset, "shape": arrays.images.shape, "names": arrays.names}
        (scratch / ABOUT).write_text(json.dumps(about | {"remarks": arrays.remarks, "opened": opened}))
    _READ.add(folder)


def _write_division(division: Division, file: Path) -> None:
    with placed(file) as scratch:
        np.savez(scratch, train=division.train, val=division.val, test=division.test)


def divide(arrays: Arrays, split: Split) -> Division:
    """Stratified, seeded, disjoint training, validation and test ids.

    Raises:
        DataError: If a class has too few samples to be in every part, there is only one class to train on, or none
            of the publisher's test samples is of a class to train on.
    """
    ids = np.arange(len(arrays.labels))
    rest, test = (
        (ids[~arrays.is_test], ids[arrays.is_test])
        if has_own_test(arrays.is_test)
        else _part(ids, arrays.labels, split.test, split.seed, "test")
    )
    check_classes(arrays.labels[rest], arrays.labels[test])
    train, val = _part(rest, arrays.labels, split.validation, split.seed + 1, "validation")
    if split.limit and split.limit < len(train):
        train = _limited(train, arrays.labels, split.limit, split.seed + 2)
    return Division(np.sort(train), np.sort(val), np.sort(test))


def has_own_test(is_test: np.ndarray) -> bool:
    """Whether a data set has test samples of its own, by bool [N] which samples are; then `split.test` is not read."""
    return bool(is_test.any() and not is_test.all())


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
