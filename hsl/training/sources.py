"""Where samples come from: each function reads one kind of data set into arrays. Torch-free."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from hsl.errors import DataError
from hsl.training.arrays import Arrays, cache_folder

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp", ".tif", ".tiff"})


def digits(_: str) -> Arrays:
    """UCI handwritten digits as shipped with scikit-learn: 1,797 grey images of 8x8 pixels, 10 classes."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  an import of a second, needed once per node

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)[:, None]
    return Arrays(images, data.target.astype(np.int64), np.zeros(len(images), bool))


def cifar10(path: str) -> Arrays:
    """CIFAR-10 through torchvision; downloaded to `path` (default: the cache) unless it is there."""
    return _cifar("CIFAR10", path)


def cifar100(path: str) -> Arrays:
    """CIFAR-100 through torchvision; downloaded to `path` (default: the cache) unless it is there."""
    return _cifar("CIFAR100", path)


def _cifar(name: str, path: str) -> Arrays:
    from torchvision import datasets  # noqa: PLC0415  imports torch

    root = path or str(cache_folder() / "downloads")
    try:
        parts = [getattr(datasets, name)(root, train=train, download=True) for train in (True, False)]
    except (OSError, RuntimeError) as error:
        raise DataError(
            f"{name} is not in {root} and could not be downloaded ({error}); "
            f"put the extracted archive there, or use parquet:PATH"
        ) from error
    images = np.concatenate([part.data for part in parts]).transpose(0, 3, 1, 2)
    labels = np.concatenate([np.asarray(part.targets, np.int64) for part in parts])
    is_test = np.arange(len(images)) >= len(parts[0].data)
    return Arrays(np.ascontiguousarray(images), labels, is_test)


def parquet(path: str) -> Arrays:
    """Images in the Hugging Face layout: an image column (struct of `bytes` and `path`) and a label column.

    Args:
        path: One file, or a folder of them; files whose name begins with "test" or "val" are the test set.
    """
    import pyarrow.parquet as pq  # noqa: PLC0415  only this source needs it

    images: list[np.ndarray] = []
    labels: list[int] = []
    is_test: list[bool] = []
    for file in parquet_files(path):
        table = pq.read_table(file)
        image_column, label_column = _columns(table, file)
        rows = table.column(image_column).to_pylist()
        images += _decoded(((f"{file} row {i}", row) for i, row in enumerate(rows)), file.parent)
        labels += table.column(label_column).to_pylist()
        is_test += [file.stem.startswith(("test", "val"))] * len(rows)
    return _stacked(images, labels, is_test, path)


def parquet_files(path: str) -> list[Path]:
    """The Parquet files that `path` names, in order of their names."""
    root = Path(path).expanduser()
    files = sorted(root.rglob("*.parquet")) if root.is_dir() else [root]
    if not files or not files[0].is_file():
        raise DataError(f"no Parquet file at {path!r}; give a .parquet file or a folder that holds some")
    return files


def _columns(table: Any, file: Path) -> tuple[str, str]:
    kinds = {field.name: field.type for field in table.schema}
    image = next(
        (n for n, kind in kinds.items() if str(kind).startswith("struct") and "bytes" in str(kind)), None
    )
    label = next((n for n in ("label", "labels", "fine_label") if n in kinds), None)
    if image is None or label is None:
        raise DataError(
            f"{file} has the columns {', '.join(kinds)}; needed are an image column (struct of bytes and "
            f"path) and an integer column named label"
        )
    return image, label


def _decoded(rows: Iterable[tuple[str, Any]], folder: Path) -> Iterator[np.ndarray]:
    for where, row in rows:
        content = row["bytes"] if row and row.get("bytes") else None
        try:
            yield _pixels(io.BytesIO(content) if content else folder / row["path"])
        except (OSError, UnidentifiedImageError, TypeError) as error:
            raise DataError(f"{where}: not a readable image ({error}); remove or repair it") from error


def imagefolder(path: str) -> Arrays:
    """A folder per class, at `path` itself or below `path`/train and `path`/test (or val)."""
    root = Path(path).expanduser()
    parts = {name: root / name for name in ("train", "test", "val") if (root / name).is_dir()}
    found = list(_labelled_files(parts or {"train": root}))
    if not found:
        raise DataError(f"no images at {path!r}; expected {path}/CLASS/IMAGE or {path}/train/CLASS/IMAGE")
    classes = sorted({file.parent.name for _, file in found})
    images: list[np.ndarray] = []
    for _, file in found:
        try:
            images.append(_pixels(file))
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"{file}: not a readable image ({error}); remove or repair it") from error
    labels = [classes.index(file.parent.name) for _, file in found]
    return _stacked(images, labels, [part != "train" for part, _ in found], path)


def _labelled_files(parts: dict[str, Path]) -> Iterator[tuple[str, Path]]:
    for part, folder in parts.items():
        for file in sorted(folder.glob("*/*")):
            if file.suffix.lower() in IMAGE_SUFFIXES:
                yield part, file


def _pixels(source: Any) -> np.ndarray:
    with Image.open(source) as image:
        grey = image.mode in {"L", "1", "I;16"}
        pixels = np.asarray(image.convert("L" if grey else "RGB"))
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _stacked(images: list[np.ndarray], labels: list[int], is_test: list[bool], path: str) -> Arrays:
    if not images:
        raise DataError(f"the data set at {path!r} is empty")
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        listed = ", ".join(str(shape) for shape in sorted(shapes)[:3])
        raise DataError(
            f"images at {path!r} differ in shape (channels, height, width): {listed}; make them equal"
        )
    if any(label is None or label < 0 for label in labels):
        raise DataError(f"labels at {path!r} must be whole numbers from 0")
    return Arrays(np.stack(images), np.asarray(labels, np.int64), np.asarray(is_test, bool))


def fingerprint(kind: str, path: str) -> str:
    """What identifies the content of a source: names, sizes and times of its files."""
    if kind not in {"parquet", "imagefolder"}:
        return path
    root = Path(path).expanduser().resolve()
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
    listed = [(str(f.relative_to(root.parent)), f.stat().st_size, f.stat().st_mtime_ns) for f in files]
    return hashlib.blake2b(repr(listed).encode(), digest_size=8).hexdigest()
