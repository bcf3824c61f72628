"""Readers of data sets: each reads one kind into arrays. Torch-free."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hsl.errors import DataError
from hsl.provenance import redact
from hsl.training.data.arrays import Arrays
from hsl.training.data.files import parquet_files
from hsl.training.data.files.class_folders import class_folders
from hsl.training.data.files.labelled import Samples
from hsl.training.data.files.omitted import warn_of
from hsl.training.data.files.parquet_labels import Labelling, agreed_names, unread_columns
from hsl.training.data.files.pixels import read_picture
from hsl.training.data.remote import is_remote, local_copy


def digits(_: str) -> Arrays:
    """UCI handwritten digits as shipped with scikit-learn: 1,797 grey images of 8x8 pixels, 10 classes."""
    from sklearn.datasets import load_digits  # noqa: PLC0415  an import of a second, needed once per node

    data = load_digits()
    images = np.rint(data.images * (255 / 16)).astype(np.uint8)[:, None]
    return Arrays(images, data.target.astype(np.int64), np.zeros(len(images), bool))


def parquet(path: str) -> Arrays:
    """Images in the Hugging Face layout: an image column (struct of `bytes` and `path`) and a label column.

    Names of files and folders say what belongs to the training and to the test set, by Hugging Face's keywords: see
    `splits`. A validation part is the test set where there is no test part, else it is left out. Hidden files and
    those that begin with an underscore are left out. What is left out is logged. Images are read by the rules of
    `pixels`. All files have their labels in one column and, as far as they name their classes, one list of them.

    Args:
        path: One file, or a folder of them, also as a URI.
    """
    if is_remote(path):
        with local_copy(path) as copy:
            return _parquet(str(copy), redact(path))
    return _parquet(path, path)


def _parquet(path: str, shown: str) -> Arrays:
    """Read `parquet` from a local path; warnings say that it is `shown`."""
    import pyarrow.parquet as pq  # noqa: PLC0415  only this source needs it

    found = parquet_files.chosen(parquet_files.local_files(path), root := Path(path).expanduser())
    samples, labellings, unread = Samples(), [], list[str]()
    for file, is_test in found.is_test.items():
        name = shown if file == root else f"{shown.rstrip('/')}/{file.relative_to(root)}"
        try:
            table = pq.read_table(file)
        except (OSError, ValueError) as error:
            raise DataError(f"{name}: not a readable Parquet file ({error}); repair or replace it") from error
        image, label = parquet_files.image_and_label(table.schema, name)
        labellings.append(Labelling.of(name, table.schema, label))
        unread += unread_columns(table, label, name)
        rows, labels = (table.column(column).to_pylist() for column in (image, label))
        for number, (row, value) in enumerate(zip(rows, labels, strict=True)):
            where = f"{name} row {number}"
            samples.add(where, read_picture(where, _content(row or {}, Path(file).parent)), value, is_test)
    names = agreed_names(labellings)
    unread += parquet_files.missing_shards(found.is_test)
    arrays = samples.arrays(shown)
    left_out = warn_of(shown, [*parquet_files.counted(found.omitted, root), *unread])
    return replace(arrays, names=names, remarks=arrays.remarks + left_out)


def _content(row: Mapping[str, Any], folder: Path) -> Path | bytes:
    """An image in a row, or its file, whose path is relative to the folder of the table."""
    content: bytes = row.get("bytes") or b""
    return folder / row["path"] if row.get("path") and not content else content


def imagefolder(path: str) -> Arrays:
    """A folder per class, at `path` itself or below `path`/train and `path`/test: see `class_folders`.

    Names of the folders at the top say what belongs to the training and to the test set, by Hugging Face's keywords:
    see `splits`. A validation part is the test set where there is no test part, else it is left out. What is left out
    is logged. Images are read by the rules of `pixels`.
    """
    if is_remote(path):
        raise DataError(
            f"imagefolder reads local folders only, not {path!r}; pack it as Parquet, parquet:{path}"
        )
    found = class_folders(Path(path).expanduser())
    names = sorted({file.parent.name for file in found.is_test})
    label = {name: number for number, name in enumerate(names)}
    samples = Samples()
    for file, is_test in found.is_test.items():
        samples.add(str(file), read_picture(str(file), file), label[file.parent.name], is_test)
    arrays = samples.arrays(path)
    remarks = arrays.remarks + warn_of(path, found.omitted)
    return replace(arrays, names=tuple(names), remarks=remarks)
