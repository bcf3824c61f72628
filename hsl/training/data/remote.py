"""Files of a data set in object storage. Torch-free."""

import contextlib
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

from pyarrow import fs

from hsl.errors import DataError, StoreError
from hsl.filesystems import UNREACHABLE, open_filesystem
from hsl.provenance import redact
from hsl.training.data.arrays import cache_folder

REQUESTS = 32
"""Requests for entity tags at a time."""


def is_remote(path: str) -> bool:
    """Whether a path is a URI, such as ``s3://bucket/folder``."""
    return "://" in path


@contextlib.contextmanager
def reached(uri: str) -> Iterator[tuple[fs.FileSystem, str]]:
    """The file system that `uri` names, and the path on it; DataError if either cannot be reached in the block."""
    try:
        yield open_filesystem(uri)
    except (StoreError, *UNREACHABLE) as error:
        raise DataError(
            f"{redact(uri)}: {redact(str(error))}; check the address, the network and the credentials in the "
            f"environment"
        ) from error


def remote_files(uri: str) -> list[fs.FileInfo]:
    """Files at or below `uri`, in the order of paths; DataError if there are none, or they cannot be listed."""
    with reached(uri) as (filesystem, root):
        found = [filesystem.get_file_info(root)]
        if not found[0].is_file:
            found = filesystem.get_file_info(fs.FileSelector(root, True, recursive=True))
    files = sorted((info for info in found if info.is_file), key=lambda info: PurePosixPath(info.path))
    if not files:
        raise DataError(f"there is nothing at {redact(uri)}; check the address")
    return files


def remote_states(uri: str) -> list[tuple[str, int, int, str]]:
    """Path, size in bytes, time in nanoseconds and entity tag of each file at or below `uri`.

    Size and time, which come with the listing, are the same for two uploads within one second; the tag, which is asked
    for file by file, is not.

    Raises:
        DataError: If there are no files, or they cannot be reached.
    """
    files = remote_files(uri)
    with reached(uri) as (filesystem, _), ThreadPoolExecutor(REQUESTS) as pool:
        tags = list(pool.map(lambda file: _entity_tag(filesystem, file.path), files))
    return [(file.path, file.size, file.mtime_ns, tag) for file, tag in zip(files, tags, strict=True)]


def _entity_tag(filesystem: fs.FileSystem, path: str) -> str:
    with filesystem.open_input_file(path) as file:
        metadata = {key.lower(): value for key, value in file.metadata().items()}
    return metadata.get("etag", b"").decode()


@contextlib.contextmanager
def local_copy(uri: str) -> Iterator[Path]:
    """Copy the files at or below `uri` to this node, and remove the copy in the end.

    Raises:
        DataError: If they cannot be fetched; also of the block, with the name of the original for that of the copy.
    """
    cache_folder().mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="fetching-", dir=cache_folder()) as scratch:
        copy = Path(scratch, PurePosixPath(uri.partition("?")[0]).name)
        files = remote_files(uri)
        with reached(uri) as (filesystem, root):
            for info in files:
                target = copy / PurePosixPath(info.path).relative_to(root)
                target.parent.mkdir(parents=True, exist_ok=True)
                fs.copy_files(info.path, str(target), source_filesystem=filesystem)
        try:
            yield copy
        except DataError as error:
            raise DataError(str(error).replace(str(copy), redact(uri))) from error
