"""Checkpoints as bytes: two generations of each, of which the newest readable one counts. No torch.

A checkpoint is one safetensors file; whatever is no tensor stands in it as JSON, so that weights and step cannot
disagree.
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
"""Entry of the file that holds, as JSON, whatever is no tensor."""

LOG = logging.getLogger(__name__)

T = TypeVar("T")


def write(uri: str, content: bytes) -> None:
    """Write a checkpoint atomically and keep the one that was there as the generation before it.

    Args:
        uri: Path or URI of the checkpoint.
        content: What it shall hold.

    Raises:
        OSError: If it cannot be written, for example on a full disk; the generation before is there then.
    """
    filesystem, path = open_filesystem(uri)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        # Object stores have no renaming: S3 would copy and delete, Azure without hierarchical namespaces refuses.
        keep = filesystem.move if isinstance(filesystem, fs.LocalFileSystem) else filesystem.copy_file
        keep(path, path + PREVIOUS)
    place_on(filesystem, path, content)


def read(uri: str, decode: Callable[[bytes], T]) -> T | None:
    """The newest readable generation of a checkpoint; None if there is none.

    A generation that is damaged is warned of: work is lost then, never a trial.

    Args:
        uri: Path or URI of the checkpoint.
        decode: Makes of its content what is returned; raises DamagedError where it cannot.
    """
    for generation in (uri, with_suffix(uri, PREVIOUS)):
        try:
            content = content_of(generation)
            if content is not None:
                return decode(content)
        except DamagedError as error:
            LOG.warning("%s: %s; the one before is used, if there is one", generation, error)
    return None


def content_of(uri: str) -> bytes | None:
    """All bytes of a file, or None where there is none."""
    filesystem, path = open_filesystem(uri)
    try:
        with filesystem.open_input_stream(path) as stream:
            content: bytes = stream.read()
            return content
    except FileNotFoundError:
        return None


def remove(uri: str) -> None:
    """Delete all generations of a checkpoint."""
    _delete(uri)
    remove_previous(uri)


def remove_previous(uri: str) -> None:
    """Delete all but the newest generation: what a trial that has ended does not need any more."""
    _delete(with_suffix(uri, PREVIOUS))


def _delete(uri: str) -> None:
    filesystem, path = open_filesystem(uri)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        filesystem.delete_file(path)


def read_json(uri: str) -> dict[str, Any] | None:
    """What of the newest intact generation is no tensor, without reading the tensors; None if there is none."""
    for generation in (uri, with_suffix(uri, PREVIOUS)):
        try:
            found = json_of(generation)
        except DamagedError as error:
            LOG.warning("%s: %s; it is not used", generation, error)
            continue
        if found is not None:
            return found
    return None


def json_of(uri: str) -> dict[str, Any] | None:
    """What of a checkpoint is no tensor, without reading the tensors; None where there is no file.

    Raises:
        DamagedError: If the file is none, or is cut off, which its length tells.
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
