"""Arguments that several commands share."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class Format(StrEnum):
    """How a result is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"
    MARKDOWN = "markdown"


StoreUri = Annotated[
    str, typer.Argument(metavar="STORE", help="Result store of a sweep.", show_default=False)
]


class Part(StrEnum):
    """Part of a data set."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


OutFormat = Annotated[Format, typer.Option("--format", "-f", help="Output format.")]
