"""Files opened for reading, and errors of a file system as messages that say what to do."""

import contextlib
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import fs

from hsl.errors import StoreError
from hsl.filesystems import UNREACHABLE
from hsl.provenance import redact


def open_source(filesystem: fs.FileSystem, path: str, name: str) -> pa.NativeFile:
    """Open a file for reading in parts: a local one as it is, a remote one as a buffer, in one request.

    Raises:
        FileNotFoundError: If there is none.
        StoreError: If it cannot be read; `name` says which.
    """
    with readable(name):
        source = filesystem.open_input_file(path)
        if isinstance(filesystem, fs.LocalFileSystem):
            return source
        with source:
            return pa.BufferReader(source.read_buffer())


@contextlib.contextmanager
def readable(name: str) -> Iterator[None]:
    """Turn an error of reading other than a FileNotFoundError into a StoreError."""
    try:
        yield
    except FileNotFoundError:
        raise
    except UNREACHABLE as error:
        raise StoreError(f"{name}: cannot be read: {redact(str(error))}; try again") from error


@contextlib.contextmanager
def reported(what: str) -> Iterator[None]:
    """Turn the error of a file system into a StoreError."""
    try:
        yield
    except UNREACHABLE as error:
        reason = redact(str(error))
        raise StoreError(f"{what}: {reason}; check the path, the rights and the free space") from error
