"""Checkpoints: one safetensors file each, placed atomically, loaded without pickle.

Whatever is no tensor travels as JSON inside the same file, so that weights and step can never disagree.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pyarrow import fs
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from hsl.errors import StoreError
from hsl.filesystems import open_filesystem
from hsl.training.generations import JSON_ENTRY, SCRATCH
from hsl.training.names import SEPARATOR, escaped, unescaped

Tree = Mapping[str, Any]


def to_bytes(state: Tree) -> bytes:
    """A nested mapping of tensors and JSON-able values as the content of one safetensors file."""
    tensors: dict[str, Tensor] = {}
    rest = _split(state, (), tensors)
    text = json.dumps(rest, allow_nan=True).encode()
    tensors[JSON_ENTRY] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    return save(tensors)


def from_bytes(content: bytes) -> dict[str, Any]:
    """The mapping that `to_bytes` was given, its tensors on the CPU.

    Raises:
        StoreError: If the content is damaged.
    """
    try:
        tensors = load(content)
        state = dict(json.loads(tensors.pop(JSON_ENTRY).numpy().tobytes()))
        for path, tensor in tensors.items():
            _insert(state, path, tensor)
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise StoreError(f"the checkpoint is damaged ({error}); it is not used") from error
    return state


def _insert(state: dict[str, Any], path: str, tensor: Tensor) -> None:
    *parents, last = (unescaped(part) for part in path.split(SEPARATOR))
    node = state
    for part in parents:
        node = node.setdefault(part, {})
    node[last] = tensor


def _split(state: Tree, path: tuple[str, ...], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Move the tensors of `state` into `tensors`, under their paths; return the rest."""
    rest: dict[str, Any] = {}
    for key, value in state.items():
        here = (*path, str(key))
        if isinstance(value, Tensor):
            tensors[SEPARATOR.join(map(escaped, here))] = value.detach().cpu().contiguous().clone()
        elif isinstance(value, Mapping):
            rest[str(key)] = _split(value, here, tensors)
        else:
            rest[str(key)] = value
    return rest


def write(uri: str, state: Tree) -> None:
    """Write a state of tensors and JSON-able values atomically to a path or URI."""
    place(uri, to_bytes(state))


def place(uri: str, content: bytes) -> None:
    """Write a file atomically: locally to a scratch name and then by rename, in object stores by one put.

    Args:
        uri: Path or URI of the file.
        content: What it shall hold.
    """
    filesystem, path = open_filesystem(uri)
    if not isinstance(filesystem, fs.LocalFileSystem):
        _put(filesystem, path, content)
        return
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    scratch = f"{path}.{uuid.uuid4().hex}{SCRATCH}"  # several processes may make the same file
    try:
        _put(filesystem, scratch, content)
        filesystem.move(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise


def _put(filesystem: fs.FileSystem, path: str, content: bytes) -> None:
    with filesystem.open_output_stream(path) as stream:
        stream.write(content)


def read(uri: str) -> dict[str, Any] | None:
    """The state at `uri`, or None where there is no file.

    Raises:
        StoreError: If the file is damaged.
    """
    filesystem, path = open_filesystem(uri)
    try:
        with filesystem.open_input_stream(path) as stream:
            content = stream.read()
    except FileNotFoundError:
        return None
    return from_bytes(content)


def remove(uri: str) -> None:
    """Delete the file at `uri`, if there is one."""
    filesystem, path = open_filesystem(uri)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        filesystem.delete_file(path)
