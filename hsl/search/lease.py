"""One driver per store."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from hsl.errors import StoreError


@contextlib.contextmanager
def lease(root: str) -> Iterator[None]:
    """Keep a second driver off a local store.

    Raises:
        StoreError: If another driver has it.
    """
    if "://" in root:
        yield
        return
    Path(root).mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{root}/.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"another sweep is writing to {root}; wait for it, or use another --store"
        ) from error
    try:
        yield
    finally:
        lock.release()
