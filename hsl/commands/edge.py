"""What the command line looks at before it starts anything, and how it tells of what went wrong."""

import sys
import traceback
from types import TracebackType

from hsl.provenance import redact_known


def store_uri(store: str | None, storage: str | None, name: str) -> str:
    """The store of a search space called `name`: what is given, else below where stores are."""
    from hsl.filesystems import join  # noqa: PLC0415  imports pyarrow

    return store or join(storage or "runs", name)


def check_target(uri: str | None) -> None:
    """Refuse what nothing can be written to, before anything is trained for it.

    Raises:
        StoreError: If it names no file system, holds credentials, or cannot be reached.
    """
    from hsl.filesystems import open_filesystem  # noqa: PLC0415  imports pyarrow

    if uri is not None:
        open_filesystem(uri)


def print_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """As Python does it, without credentials: it ends up in logs and in reports of bugs."""
    sys.stderr.write(redact_known("".join(traceback.format_exception(kind, error, trace))))
