"""Checkpoints as bytes: two generations of each, of which the newest readable one counts. No torch.

A checkpoint is one safetensors file. Everything but tensors is a JSON entry in it, so that weights and step agree.
"""

import json
import logging
import struct
from collections.abc import Callable
from typing import Any, TypeVar

from pyarrow import fs

from hsl.errors import DamagedError
from hsl.filesystems import open_filesystem, place_on, with_suffix

PREVIOUS = ".previous"

JSON_ENTRY = "__json__"

LOG = logging.getLogger(__name__)

T = TypeVar("T")


def write(uri: str, content: bytes) -> None:
    """Write a checkpoint atomically and keep the existing one as the previous generation.

    Raises:
        OSError: If it cannot be written, for example on a full disk; the previous generation remains.
    """
    filesystem, path = open_filesystem(uri)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        # Object stores have no renaming: S3 would copy and delete, Azure without hierarchical namespaces refuses.
        keep = filesystem.move if isinstance(filesystem, fs.LocalFileSystem) else filesystem.copy_file
        keep(path, path + PREVIOUS)
    place_on(filesystem, path, content)


def read(uri: str, decode: Callable[[bytes], T]) -> T | None:
    """The newest readable generation of a checkpoint; None if there is none, a warning for each damaged one.

    Args:
        uri: Path or URI of the checkpoint.
        decode: Converts the bytes to the result; raises DamagedError if it cannot.
    """

    def load(generation: str) -> T | None:
        content = bytes_at(generation)
        return None if content is None else decode(content)

    return _newest(uri, load, "the one before is used, if there is one")


def read_json(uri: str) -> dict[str, Any] | None:
    """The JSON entry of the newest intact generation, without reading the tensors; None if there is none."""
    return _newest(uri, json_of, "it is not used")


def _newest(uri: str, load: Callable[[str], T | None], instead: str) -> T | None:
    for generation in (uri, with_suffix(uri, PREVIOUS)):
        try:
            if (found := load(generation)) is not None:
                return found
        except DamagedError as error:
            LOG.warning("%s: %s; %s", generation, error, instead)
    return None


def bytes_at(uri: str) -> bytes | None:
    """All bytes of a file, or None where there is none."""
    filesystem, path = open_filesystem(uri)
    try:
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.read())
    except FileNotFoundError:
        return None


def remove(uri: str) -> None:
    """Delete all generations of a checkpoint."""
    _delete(uri)
    remove_previous(uri)


def remove_previous(uri: str) -> None:
    """Delete all but the newest generation, which a trial that has ended no longer needs."""
    _delete(with_suffix(uri, PREVIOUS))


def _delete(uri: str) -> None:
    filesystem, path = open_filesystem(uri)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        filesystem.delete_file(path)


def json_of(uri: str) -> dict[str, Any] | None:
    """The JSON entry of a checkpoint, without reading the tensors; None if there is no file.

    Raises:
        DamagedError: If the file is no checkpoint, or is cut off, as its length shows.
    """
    filesystem, path = open_filesystem(uri)
    try:
        with filesystem.open_input_file(path) as file:
            return _json_entry(file)
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise DamagedError(f"damaged ({error})") from error


def _json_entry(file: Any) -> dict[str, Any]:
    """The JSON entry of an open safetensors file (8 bytes: length of the header; the header; the tensors)."""
    (length,) = struct.unpack("<Q", file.read_at(8, 0))
    if 8 + length > file.size():
        raise ValueError("it is cut off")
    header = json.loads(file.read_at(length, 8))
    offsets = {name: entry["data_offsets"] for name, entry in header.items() if name != "__metadata__"}
    if 8 + length + max(end for _, end in offsets.values()) != file.size():
        raise ValueError("it is cut off")
    begin, end = offsets[JSON_ENTRY]
    return dict(json.loads(file.read_at(end - begin, 8 + length + begin)))
