"""What Parquet files say of their labels, which must be one thing in all files of a data set. Torch-free."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from hsl.errors import DataError
from hsl.training.data.files.omitted import listed
from hsl.training.data.files.parquet_files import LABEL_NAMES
from hsl.training.data.files.splits import PARTITION

HUGGING_FACE = b"huggingface"
"""Key of the metadata in which Hugging Face's `datasets` keeps the type of each column, as JSON."""


@dataclass(frozen=True)
class Labelling:
    """What a file calls its classes.

    Attributes:
        file: Its name.
        column: The column of labels.
        names: Of the classes, by their numbers; empty where the file does not say.
    """

    file: str
    column: str
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, file: str, schema: pa.Schema, column: str) -> "Labelling":
        """What a schema says, of Hugging Face's type ``ClassLabel`` the names as well."""
        try:
            about = json.loads((schema.metadata or {})[HUGGING_FACE])
            names = about["info"]["features"][column]["names"]
        except (LookupError, TypeError, ValueError):  # written by something else
            names = ()
        return cls(file, column, tuple(map(str, names)) if isinstance(names, list) else ())


def agreed_names(labellings: Sequence[Labelling]) -> tuple[str, ...]:
    """The names of the classes, of the first file that says them.

    Raises:
        DataError: If files have their labels in different columns, or the same label means different classes.
    """
    first = labellings[0]
    named = [each for each in labellings if each.names]
    for each in labellings:
        if each.column != first.column:
            raise DataError(
                f"{first.file} has its labels in the column {first.column}, {each.file} in {each.column}; give the "
                f"column one name in all files"
            )
    for each in named:
        if each.names != named[0].names:
            raise DataError(
                f"the labels 0, 1, ... are {listed(named[0].names)} in {named[0].file} and {listed(each.names)} in "
                f"{each.file}; write all files with one list of classes (align_labels_with_mapping of `datasets`)"
            )
    return named[0].names if named else ()


def unread_columns(table: pa.Table, column: str, file: str) -> Iterator[str]:
    """Columns that could have been meant: other labels than those of `column`, and the part of each row."""
    if others := [name for name in LABEL_NAMES if name != column and name in table.column_names]:
        yield f"the column {', '.join(others)} of {file}, which has the labels in {column}"
    for name in table.column_names:
        if name.lower() == PARTITION and pc.count_distinct(table.column(name)).as_py() > 1:
            values = listed(table.column(name).unique().to_pylist())
            yield (
                f"the column {name} of {file} ({values}), so rows are divided at random; to divide them by it, write a "
                f"file for each part, as train.parquet and test.parquet"
            )
