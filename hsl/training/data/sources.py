"""Readers of data sets: each reads one kind into arrays. Torch-free."""

import io
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image

from hsl.errors import DataError
from hsl.training.data.arrays import Arrays
from hsl.training.data.remote import is_remote, local_copy

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".ppm", ".webp", ".tif", ".tiff"})


def digits(_: str) -> Arrays:
    """UCI handwritten digits as shipped with scikit-learn: 1,797 grey images of 8x8 pixels, 10 classes."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  an import of a second, needed once per node

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)[:, None]
    return Arrays(images, data.target.astype(np.int64), np.zeros(len(images), bool))


def parquet(path: str) -> Arrays:
    """Images in the Hugging Face layout: an image column (struct of `bytes` and `path`) and a label column.

    Args:
        path: One file, or a folder of them, also as a URI; those whose name, or folder, begins with "test" or "val"
            are the test set.
    """
    if is_remote(path):
        with local_copy(path) as copy:
            return parquet(str(copy))
    import pyarrow.parquet as pq  # noqa: PLC0415  only this source needs it

    images: list[np.ndarray] = []
    labels: list[int] = []
    is_test: list[bool] = []
    origins: list[str] = []
    for file in parquet_files(path):
        try:
            table = pq.read_table(file)
        except (OSError, ValueError) as error:
            raise DataError(f"{file}: not a readable Parquet file ({error}); repair or replace it") from error
        image_column, label_column = _columns(table, file)
        rows = table.column(image_column).to_pylist()
        places = [f"{file} row {i}" for i in range(len(rows))]
        images += _decoded(zip(places, rows, strict=True), file.parent)
        labels += table.column(label_column).to_pylist()
        is_test += [is_test_file(file, Path(path).expanduser())] * len(rows)
        origins += places
    return _stacked(images, labels, is_test, origins, path)


def parquet_files(path: str) -> list[Path]:
    """The Parquet files that `path` names, in order of their names."""
    root = Path(path).expanduser()
    files = sorted(root.rglob("*.parquet")) if root.is_dir() else [root]
    if not files or not files[0].is_file():
        raise DataError(f"no Parquet file at {path!r}; give a .parquet file or a folder that holds some")
    return files


def is_test_file(file: PurePath, root: PurePath) -> bool:
    """Whether a file of the folder `root` belongs to a test set; a file given by itself never does."""
    return file != root and any(part.startswith(("test", "val")) for part in file.relative_to(root).parts)


def _columns(table: Any, file: Path) -> tuple[str, str]:
    kinds = {field.name: str(field.type) for field in table.schema}
    image = next((n for n, kind in kinds.items() if kind.startswith("struct") and "bytes" in kind), None)
    label = next((n for n in ("label", "labels", "fine_label") if n in kinds), None)
    if image is None or label is None or not kinds[label].startswith(("int", "uint")):
        listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise DataError(
            f"{file} has the columns {listed}; needed are an image column (struct of bytes and path) "
            f"and an integer column named label"
        )
    return image, label


def _decoded(rows: Iterable[tuple[str, Any]], folder: Path) -> Iterator[np.ndarray]:
    for where, row in rows:
        given = row or {}
        content = given.get("bytes") or b""
        yield _readable(where, folder / given["path"] if given.get("path") and not content else content)


def _readable(where: str, source: Path | bytes) -> np.ndarray:
    """Pixels uint8 [C, H, W] of an image; the message names `where` it is if it cannot be read."""
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            grey = image.mode in {"L", "1", "I;16"}
            pixels = np.asarray(image.convert("L" if grey else "RGB"))
    except Exception as error:  # Pillow raises many types of errors for damaged files
        raise DataError(f"{where}: not a readable image ({error}); remove or repair it") from error
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def imagefolder(path: str) -> Arrays:
    """A folder per class, at `path` itself or below `path`/train and `path`/test (or val)."""
    if is_remote(path):
        raise DataError(
            f"imagefolder reads local folders only, not {path!r}; pack it as Parquet, parquet:{path}"
        )
    root = Path(path).expanduser()
    parts = {name: root / name for name in ("train", "test", "val") if (root / name).is_dir()}
    found = [
        (part, file)
        for part, folder in (parts or {"train": root}).items()
        for file in sorted(folder.glob("*/*"))
        if file.suffix.lower() in IMAGE_SUFFIXES
    ]
    if not found:
        raise DataError(f"no images at {path!r}; expected {path}/CLASS/IMAGE or {path}/train/CLASS/IMAGE")
    classes = {name: label for label, name in enumerate(sorted({file.parent.name for _, file in found}))}
    images = [_readable(str(file), file) for _, file in found]
    labels = [classes[file.parent.name] for _, file in found]
    is_test = [part != "train" for part, _ in found]
    stacked = _stacked(images, labels, is_test, [str(file) for _, file in found], path)
    return replace(stacked, names=tuple(classes))


def _stacked(
    images: list[np.ndarray], labels: list[int], is_test: list[bool], origins: list[str], path: str
) -> Arrays:
    if not images:
        raise DataError(f"the data set at {path!r} is empty")
    for image, label, origin in zip(images, labels, origins, strict=True):
        if image.shape != images[0].shape:
            raise DataError(
                f"{origin} has the shape {image.shape} (channels, height, width), {origins[0]} has "
                f"{images[0].shape}; make all images equal"
            )
        if label is None or label < 0:
            raise DataError(f"{origin}: the label is {label}; labels are whole numbers from 0")
    return Arrays(np.stack(images), np.asarray(labels, np.int64), np.asarray(is_test, bool))
