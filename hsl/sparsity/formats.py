"""How the weights of a finished network are stored: dense, in compressed rows, or as NVIDIA's 2:4 format."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from hsl.errors import MethodError
from hsl.sparsity.layers import Layer, Layers

Format = Literal["dense", "csr", "2:4"]
FORMATS = ("dense", "csr", "2:4")
TILE = (32, 64)
"""Rows and columns that both of PyTorch's 2:4 kernels (CUTLASS and cuSPARSELt) can divide a weight into."""
HALVES = (torch.float16, torch.bfloat16)
CAPABILITY = (8, 0)
"""Of the first GPUs whose tensor cores skip two of four zeros (Mishra et al. 2021, arXiv:2104.08378)."""


def check_format(format: str, layers: Layers) -> None:
    """Refuse a format that is unknown, or that these layers cannot have here.

    Args:
        format: "dense", "csr" or "2:4".
        layers: Prunable layers.

    Raises:
        MethodError: With everything that is in the way.
    """
    if format not in FORMATS:
        raise MethodError(f"format is {format!r}, it must be 'dense', 'csr' or '2:4'")
    if format == "2:4" and (problems := _semi_structured_problems(layers)):
        raise MethodError(f"format '2:4': {'; '.join(problems)}")


def store_(layers: Layers, format: Format) -> None:
    """Give the weights of Linear layers a sparse format, for inference only; other layers stay as they are.

    Args:
        layers: Prunable layers.
        format: One that `check_format` permits; "dense" changes nothing.
    """
    for layer in layers.values():
        if not _is_linear(layer) or format == "dense":
            continue
        weight = layer.weight.detach()
        if format == "csr":
            stored = in_compressed_rows(weight)
        elif is_two_of_four(weight):
            stored = torch.sparse.to_sparse_semi_structured(weight.contiguous())
        else:
            continue
        layer.module._parameters["weight"] = nn.Parameter(stored, requires_grad=False)


def in_compressed_rows(weight: Tensor) -> Tensor:
    """A matrix [out, in] as a sparse tensor in compressed rows."""
    return weight.to_sparse_csr()


def is_two_of_four(weight: Tensor) -> bool:
    """Whether 2:4 kernels take a weight: its sizes are whole tiles, and of every four inputs two are zero.

    Args:
        weight: Floating point [out, in].
    """
    if any(size % tile for size, tile in zip(weight.shape, TILE, strict=True)):
        return False
    active = (weight != 0).reshape(weight.shape[0], -1, 4).sum(-1)
    return bool((active <= 2).all())


def _is_linear(layer: Layer) -> bool:
    """A MultiheadAttention reads the weight of its output projection without calling the layer."""
    return type(layer.module) is nn.Linear


def _semi_structured_problems(layers: Layers) -> list[str]:
    linear = {name: layer.weight.detach() for name, layer in layers.items() if _is_linear(layer)}
    problems = []
    devices = {weight.device for weight in linear.values()}
    if any(_too_old(device) for device in devices):
        where = ", ".join(sorted(map(str, devices)))
        problems.append(
            f"the weights are on {where}, it needs an NVIDIA GPU of compute capability 8.0 or newer; "
            "move the model there, or take 'csr' on a CPU"
        )
    if any(weight.dtype not in HALVES for weight in linear.values()):
        kinds = ", ".join(sorted({str(weight.dtype).removeprefix("torch.") for weight in linear.values()}))
        problems.append(
            f"the weights are {kinds}, it takes float16 and bfloat16; call model.bfloat16() first"
        )
    if not any(map(is_two_of_four, linear.values())):
        problems.append(
            f"of {len(linear)} Linear layers none keeps at most two of every four inputs in sizes that are "
            f"multiples of {TILE[0]} x {TILE[1]}; train with structure='2:4', and such widths"
        )
    return problems


def _too_old(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.get_device_capability(device) < CAPABILITY
