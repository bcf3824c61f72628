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


ClusterFile = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="FILE",
        help="File of Ray's cluster launcher or of KubeRay: how far the cluster grows, and what its nodes cost.",
        show_default="on its head, what it was started with",
    ),
]


class Part(StrEnum):
    """Part of a data set."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class Checkpoint(StrEnum):
    """Which network of a training: at the end, or at its best validation objective."""

    FINAL = "final"
    BEST = "best"


OutFormat = Annotated[Format, typer.Option("--format", "-f", help="Output format.")]
