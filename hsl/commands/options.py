"""Arguments that several commands share."""

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


SpaceFile = Annotated[
    str, typer.Argument(metavar="SPACE", help="Search space, a YAML file.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Overrides, for example sparsity=0.9 training.epochs=10."),
]
StorageOption = Annotated[
    str | None,
    typer.Option(
        "--storage",
        envvar="HSL_STORAGE",
        help="Where stores are: folder, s3://, gs://, abfs://; the store is STORAGE/NAME.",
        show_default="runs",
    ),
]
StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="HSL_STORE",
        help="Result store: path or s3://, gs://, abfs://.",
        show_default="runs/NAME",
    ),
]

StoreUri = Annotated[
    str, typer.Argument(metavar="STORE", help="Result store of a sweep.", show_default=False)
]

Device = Annotated[str | None, typer.Option(help="Torch device.", show_default="cuda if there is one")]
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


class Precision(StrEnum):
    """Floating point numbers of difficulty scores."""

    DOUBLE = "double"
    SINGLE = "single"


class Checkpoint(StrEnum):
    """Which network of a training: at the end, or at its best validation objective."""

    FINAL = "final"
    BEST = "best"


OutFormat = Annotated[Format, typer.Option("--format", "-f", help="Output format.")]
