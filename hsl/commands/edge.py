"""Checks of the command line before it starts anything, and its narration and errors on stderr."""

import sys
import traceback
from types import TracebackType

import typer

from hsl.provenance import redact_known


def store_uri(store: str | None, storage: str | None, name: str) -> str:
    """The store of a search space called `name`: the given one, else one below the place for stores."""
    from hsl.filesystems import join  # noqa: PLC0415  imports pyarrow

    return store or join(storage or "runs", name)


def check_target(uri: str | None) -> None:
    """Refuse a target to which nothing can be written, before anything is trained for it.

    Raises:
        StoreError: If it names no file system, holds credentials, or cannot be reached.
    """
    from hsl.filesystems import open_filesystem  # noqa: PLC0415  imports pyarrow

    if uri is not None:
        open_filesystem(uri)


def narrate(line: str) -> None:
    """Report progress on stderr."""
    typer.echo(line, err=True)


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As Python does it, without credentials: it ends up in logs and in reports of bugs."""
    sys.stderr.write(redact_known("".join(traceback.format_exception(kind, error, trace))))
