"""Checkpoints as tensors: one safetensors file each, loaded without pickle.

All other values are stored as JSON inside the same file, so that weights and step can never disagree.
"""

import json
from collections.abc import Mapping
from functools import reduce
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from hsl.errors import DamagedError
from hsl.filesystems import place
from hsl.store import checkpoints
from hsl.store.checkpoints import JSON_ENTRY
from hsl.training.names import SEPARATOR, escaped, unescaped

Tree = Mapping[str, Any]


def to_bytes(state: Tree) -> bytes:
    """A nested mapping of tensors and JSON-able values as the content of one safetensors file."""
    tensors: dict[str, Tensor] = {}
    text = json.dumps(_split(state, (), tensors), allow_nan=True).encode()
    tensors[JSON_ENTRY] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
    return save(tensors)


def from_bytes(content: bytes) -> dict[str, Any]:
    """The mapping that `to_bytes` was given, its tensors on the CPU; DamagedError if the content is damaged."""
    try:
        tensors = load(content)
        state = dict(json.loads(tensors.pop(JSON_ENTRY).numpy().tobytes()))
        for path, tensor in tensors.items():
            *parents, last = map(unescaped, path.split(SEPARATOR))
            reduce(lambda node, part: node.setdefault(part, {}), parents, state)[last] = tensor
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise DamagedError(f"the checkpoint is damaged ({error}); it is not used") from error
    return state


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


def read(uri: str) -> dict[str, Any] | None:
    """The state at `uri`, or None where there is no file; DamagedError if it is damaged."""
    content = checkpoints.bytes_at(uri)
    return None if content is None else from_bytes(content)
