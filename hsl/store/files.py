"""Files opened for reading, and errors of a file system that say what to do."""

import contextlib
from collections.abc import Iterator

import pyarrow as pa
from pyarrow import fs

from hsl.errors import StoreError
from hsl.filesystems import UNREACHABLE
from hsl.provenance import redact


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
