"""Data sets that torchvision knows, from its own layout on disk or from their publishers."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hsl.errors import DataError
from hsl.training.data.arrays import Arrays, cache_folder
from hsl.training.data.downloads import Archive, fetch

TRAIN_AND_TEST: Sequence[dict[str, Any]] = ({"train": True}, {"train": False})
Located = tuple[Path, Archive]
"""A folder and the file that torchvision looks for in it."""


def cifar10(path: str) -> Arrays:
    """CIFAR-10: 60,000 colour images of 32x32 pixels, 10 classes (Krizhevsky 2009)."""
    return _read("CIFAR10", path, _of_cifar)


def cifar100(path: str) -> Arrays:
    """CIFAR-100: 60,000 colour images of 32x32 pixels, 100 classes (Krizhevsky 2009)."""
    return _read("CIFAR100", path, _of_cifar)


def mnist(path: str) -> Arrays:
    """MNIST: 70,000 grey images of 28x28 pixels, 10 digits (LeCun et al. 1998)."""
    return _read("MNIST", path, _of_mnist)


def fashion_mnist(path: str) -> Arrays:
    """Fashion-MNIST: 70,000 grey images of 28x28 pixels, 10 classes (Xiao et al. 2017, arXiv 1708.07747)."""
    return _read("FashionMNIST", path, _of_mnist)


def svhn(path: str) -> Arrays:
    """SVHN: 99,289 colour images of house numbers, 32x32 pixels, 10 digits (Netzer et al. 2011)."""
    return _read("SVHN", path, _of_svhn, ({"split": "train"}, {"split": "test"}))


def _of_cifar(kind: Any, root: Path) -> Iterator[Located]:
    yield root, Archive(kind.filename, kind.tgz_md5, (kind.url,))


def _of_mnist(kind: Any, root: Path) -> Iterator[Located]:
    folder = root / kind.__name__ / "raw"
    for name, md5 in kind.resources:
        yield folder, Archive(name, md5, tuple(f"{mirror}{name}" for mirror in kind.mirrors))


def _of_svhn(kind: Any, root: Path) -> Iterator[Located]:
    for split in ("train", "test"):
        url, name, md5 = kind.split_list[split]
        yield root, Archive(name, md5, (url,))


def _read(
    name: str,
    path: str,
    files: Callable[[Any, Path], Iterator[Located]],
    parts: Sequence[dict[str, Any]] = TRAIN_AND_TEST,
) -> Arrays:
    """Both parts of a data set, after the download of missing files.

    Args:
        name: Class of ``torchvision.datasets``.
        path: Folder that torchvision reads; empty for the one of the cache that holds downloads.
        files: The files of the class, in their folders.
        parts: Arguments that choose the training and the test samples.
    """
    from torchvision import datasets  # noqa: PLC0415  imports torch

    kind = getattr(datasets, name)
    root = Path(path).expanduser() if path else cache_folder() / "downloads"
    try:
        found = [kind(root, **part) for part in parts]
    except RuntimeError:  # it is missing, or incomplete
        for folder, archive in files(kind, root):
            fetch(archive, folder)
        found = _unpacked(kind, root, parts)
    images = [_images(part.data) for part in found]
    labels = [
        np.asarray(part.labels if hasattr(part, "labels") else part.targets, np.int64) for part in found
    ]
    is_test = np.repeat([False, True], [len(part) for part in images])
    return Arrays(np.concatenate(images), np.concatenate(labels), is_test)


def _unpacked(kind: Any, root: Path, parts: Sequence[dict[str, Any]]) -> list[Any]:
    """Let torchvision unpack the verified files; its messages go to stderr."""
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return [kind(root, **part, download=True) for part in parts]
    except (OSError, RuntimeError, EOFError) as error:
        raise DataError(
            f"{kind.__name__} in {root} cannot be unpacked ({error}); "
            f"look whether there is room, and delete what is half unpacked"
        ) from error


def _images(data: Any) -> np.ndarray:
    """Images uint8 as [N, C, H, W] from [N, H, W] or [N, H, W, C]."""
    images = np.asarray(data)
    if images.ndim == 3:
        return images[:, None]
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if images.shape[-1] == 3 else images
