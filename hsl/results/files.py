"""Access to the file system of a store, with errors that say what to do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
from pyarrow import fs

from hsl.errors import StoreError
from hsl.provenance import redact

TEMPORARY = ".tmp-"
"""How the name of a file begins that is being written."""


def open_filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """The file system that `uri` names, and the path on it.

    Raises:
        StoreError: If pyarrow knows no such file system, or cannot open it.
    """
    try:
        if "://" not in uri:
            return fs.LocalFileSystem(), str(Path(uri).expanduser().absolute())
        filesystem, root = fs.FileSystem.from_uri(uri)
        if not root.strip("/"):
            raise ValueError("no path or bucket")
    except (pa.ArrowException, OSError, ValueError, RuntimeError) as error:
        reason = redact(str(error))
        raise StoreError(
            f"store {redact(uri)!r}: {reason}; give a local path, s3://... or gs://..."
        ) from error
    return filesystem, root.rstrip("/")


def open_source(filesystem: fs.FileSystem, path: str, name: str) -> pa.NativeFile:
    """A file to be read in parts: of the local disk as it is, of elsewhere its content in one request.

    Args:
        filesystem: Where it is.
        path: Its path there.
        name: What it is called in messages.

    Raises:
        FileNotFoundError: If there is none.
        StoreError: If it cannot be read, which is no reason to go on without its rows.
    """
    try:
        source = filesystem.open_input_file(path)
        if isinstance(filesystem, fs.LocalFileSystem):
            return source
        with source:
            return pa.BufferReader(source.read_buffer())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(f"{name}: cannot be read: {redact(str(error))}; try again") from error


def replace(path: Path, content: bytes | pa.Buffer) -> None:
    """Make `content` the local file `path` at once: readers see the old file or the whole new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{uuid4().hex}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def reported(what: str) -> Iterator[None]:
    """Turn a file system's error into a StoreError."""
    try:
        yield
    except OSError as error:
        reason = redact(str(error))
        raise StoreError(f"{what}: {reason}; check the path, the rights and the free space") from error
