"""The checkpoint of a trial under way, in two generations: if the newest cannot be read, the one before is used."""

from __future__ import annotations

import json
import logging
import struct
from typing import Any

from pyarrow import fs

from hsl.errors import StoreError
from hsl.filesystems import open_filesystem, with_suffix

SUFFIX = ".safetensors"
PREVIOUS = ".previous"

SCRATCH = ".part"
"""How the name of a file ends that is being written."""

JSON_ENTRY = "__json__"
"""Entry of the file that holds, as JSON, whatever is no tensor."""

LOG = logging.getLogger(__name__)


def write(uri: str, state: dict[str, Any]) -> None:
    """Write a checkpoint atomically and keep the one that was there as the generation before it.

    Args:
        uri: Path or URI of the checkpoint.
        state: Tensors and JSON-able values.

    Raises:
        OSError: If it cannot be written, for example on a full disk; the generation before is there then.
    """
    from hsl.training import checkpoint  # noqa: PLC0415  imports torch

    content = checkpoint.to_bytes(state)
    filesystem, path = open_filesystem(uri)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        # Object stores have no renaming: S3 would copy and delete, Azure without hierarchical namespaces refuses.
        keep = filesystem.move if isinstance(filesystem, fs.LocalFileSystem) else filesystem.copy_file
        keep(path, path + PREVIOUS)
    checkpoint.place(uri, content)


def read(uri: str) -> dict[str, Any] | None:
    """The newest readable generation of a checkpoint; None if there is none.

    A generation that cannot be read is warned of: work is lost then, never a trial.
    """
    from hsl.training import checkpoint  # noqa: PLC0415  imports torch

    for generation in (uri, with_suffix(uri, PREVIOUS)):
        try:
            state = checkpoint.read(generation)
        except StoreError as error:
            LOG.warning("%s: %s; the one before is used, if there is one", generation, error)
            continue
        if state is not None:
            return state
    return None


def remove(uri: str) -> None:
    """Delete all generations of a checkpoint."""
    from hsl.training import checkpoint  # noqa: PLC0415  imports torch

    checkpoint.remove(uri)
    remove_previous(uri)


def remove_previous(uri: str) -> None:
    """Delete all but the newest generation: what a trial that has ended does not need any more."""
    from hsl.training import checkpoint  # noqa: PLC0415  imports torch

    checkpoint.remove(with_suffix(uri, PREVIOUS))


def read_json(uri: str) -> dict[str, Any] | None:
    """What of the newest intact generation is no tensor, without reading the tensors; None if there is none.

    Needs no torch. A file that was cut off is recognised by its length.
    """
    filesystem, path = open_filesystem(uri)
    for generation in (path, path + PREVIOUS):
        try:
            with filesystem.open_input_file(generation) as file:
                return _json_of(file)
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError, struct.error) as error:
            LOG.warning("%s is not used, it is damaged: %s", generation, error)
    return None


def _json_of(file: Any) -> dict[str, Any]:
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
