"""Checkpoints: one safetensors file each, placed atomically, loaded without pickle.

Whatever is no tensor travels as JSON inside the same file, so that weights and step can never disagree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from pyarrow import fs
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from hsl.errors import StoreError

JSON_ENTRY = "__json__"
SEPARATOR = "/"

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
        state = json.loads(bytes(tensors.pop(JSON_ENTRY).tolist()))
    except (SafetensorError, KeyError, ValueError) as error:
        raise StoreError(f"the checkpoint is damaged ({error}); it is not used") from error
    for path, tensor in tensors.items():
        *parents, last = path.split(SEPARATOR)
        node = state
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = tensor
    return state


def _split(state: Tree, path: tuple[str, ...], tensors: dict[str, Tensor]) -> dict[str, Any]:
    """Move the tensors of `state` into `tensors`, under their paths; return the rest."""
    rest: dict[str, Any] = {}
    for key, value in state.items():
        here = (*path, str(key))
        if isinstance(value, Tensor):
            tensors[SEPARATOR.join(here)] = value.detach().cpu().contiguous().clone()
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
        uri: Path or URI (``s3://``, ``gs://``) of the file.
        content: What it shall hold.
    """
    filesystem, path = _locate(uri)
    local = isinstance(filesystem, fs.LocalFileSystem)
    if local:
        filesystem.create_dir(path.rpartition("/")[0], recursive=True)
    target = f"{path}.part" if local else path
    with filesystem.open_output_stream(target) as stream:
        stream.write(content)
    if local:
        filesystem.move(target, path)


def read(uri: str) -> dict[str, Any] | None:
    """The state at `uri`, or None where there is no file.

    Raises:
        StoreError: If the file is damaged.
    """
    filesystem, path = _locate(uri)
    try:
        with filesystem.open_input_stream(path) as stream:
            content = stream.read()
    except FileNotFoundError:
        return None
    return from_bytes(content)


def remove(uri: str) -> None:
    """Delete the file at `uri`, if there is one."""
    filesystem, path = _locate(uri)
    if filesystem.get_file_info(path).type != fs.FileType.NotFound:
        filesystem.delete_file(path)


def _locate(uri: str) -> tuple[fs.FileSystem, str]:
    if "://" in uri:
        return fs.FileSystem.from_uri(uri)
    return fs.LocalFileSystem(), uri
