"""What commands share: checks before anything starts, rows on stdout, narration and errors on stderr."""

import sys
import traceback
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

import typer

from hsl.commands.options import Format
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


def show_rows(rows: Sequence[Mapping[str, Any]], format: Format, caption: str = "") -> None:
    """Show rows; a value that a row lacks is empty there."""
    import pyarrow as pa  # noqa: PLC0415

    from hsl.results.show.output import show  # noqa: PLC0415

    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.table({name: [row.get(name) for row in rows] for name in names})
    show(table, str(format), caption=caption)


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As Python does it, without credentials: it ends up in logs and in reports of bugs."""
    sys.stderr.write(redact_known("".join(traceback.format_exception(kind, error, trace))))
