"""How the weights of a finished network are stored: dense, in compressed rows, or as NVIDIA's 2:4 format.

Convolutions stay dense: as products of compressed rows with unfolded images they are slower in batches at any sparsity.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from hsl.errors import MethodError
from hsl.sparsity.layers import Layer, Prunable

Format = Literal["dense", "csr", "2:4"]
FORMATS = ("dense", "csr", "2:4")
TILE = (32, 64)
"""Rows and columns that both of PyTorch's 2:4 kernels (CUTLASS and cuSPARSELt) can divide a weight into."""
HALVES = (torch.float16, torch.bfloat16)
CAPABILITY = (8, 0)
"""Of the first GPUs whose tensor cores skip two of four zeros (Mishra et al. 2021, arXiv:2104.08378)."""


class LinearInRows(nn.Linear):
    """A linear layer whose weight is a sparse matrix in compressed rows; for inference only."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Outputs [..., out] of inputs [..., in].

        The matrix stands on the left, by its own rows: on a CPU that is several times as fast as the other order.
        """
        flat, weight = inputs.reshape(-1, self.in_features), self.weight
        outputs = torch.mv(weight, flat[0]) if len(flat) == 1 else torch.mm(weight, flat.t()).t()
        if self.bias is not None:
            outputs = outputs + self.bias
        return outputs.reshape(*inputs.shape[:-1], self.out_features)


def check_format(format: str, layers: Prunable) -> None:
    """Refuse a format that is unknown, or that these layers cannot have here.

    Args:
        format: "dense", "csr" or "2:4".
        layers: Prunable layers.

    Raises:
        MethodError: With everything that is in the way.
    """
    if format not in FORMATS:
        raise MethodError(f"format is {format!r}, it must be 'dense', 'csr' or '2:4'")
    linear = {name: layer.weight.detach() for name, layer in layers.items() if _is_linear(layer)}
    if format == "csr" and any(w.dtype in HALVES and w.device.type == "cpu" for w in linear.values()):
        raise MethodError(
            f"format 'csr': the weights are {_types(linear)}, on a CPU it takes float32 and float64; "
            "call model.float() first"
        )
    if format == "2:4" and (problems := _semi_structured_problems(linear)):
        raise MethodError(f"format '2:4': {'; '.join(problems)}")


def store_(model: nn.Module, layers: Prunable, format: Format) -> None:
    """Give the weights of Linear layers a sparse format, for inference only; other layers stay as they are.

    Args:
        model: The whole model.
        layers: Prunable layers.
        format: One that `check_format` permits; "dense" changes nothing.
    """
    for layer in layers.values():
        if not _is_linear(layer):
            continue
        weight = layer.weight.detach()
        if format == "csr":
            # So the module itself stays, with its hooks, for all that refers to it.
            layer.module.__class__ = LinearInRows
            _replace(layer, in_compressed_rows(weight))
        elif format == "2:4" and is_two_of_four(weight):
            _replace(layer, torch.sparse.to_sparse_semi_structured(weight.contiguous()))
    _call_layers_in_rows(model)


def _call_layers_in_rows(model: nn.Module) -> None:
    """Switch off kernels that read the weights of Linear layers without calling them, where some are in rows."""
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer) and _in_rows(module):
            module.activation_relu_or_gelu = 0
        elif isinstance(module, nn.TransformerEncoder) and any(map(_in_rows, module.layers)):
            module.use_nested_tensor = False


def _in_rows(module: nn.Module) -> bool:
    return any(isinstance(child, LinearInRows) for child in module.children())


def _replace(layer: Layer, stored: Tensor) -> None:
    layer.module._parameters["weight"] = nn.Parameter(stored, requires_grad=False)


def in_compressed_rows(weight: Tensor) -> Tensor:
    """A matrix [out, in] as a sparse tensor in compressed rows, with indices of 32 bits: half of what is read."""
    rows = weight.to_sparse_csr()
    indices = rows.crow_indices().int(), rows.col_indices().int()
    return torch.sparse_csr_tensor(*indices, rows.values(), rows.shape, check_invariants=False)


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


def _types(weights: Mapping[str, Tensor]) -> str:
    return ", ".join(sorted({str(weight.dtype).removeprefix("torch.") for weight in weights.values()}))


def _semi_structured_problems(linear: Mapping[str, Tensor]) -> list[str]:
    problems = []
    devices = {weight.device for weight in linear.values()}
    if any(_too_old(device) for device in devices):
        where = ", ".join(sorted(map(str, devices)))
        problems.append(
            f"the weights are on {where}, it needs an NVIDIA GPU of compute capability 8.0 or newer; "
            "move the model there, or take 'csr' on a CPU"
        )
    if any(weight.dtype not in HALVES for weight in linear.values()):
        problems.append(
            f"the weights are {_types(linear)}, it takes float16 and bfloat16; call model.bfloat16() first"
        )
    if not any(map(is_two_of_four, linear.values())):
        problems.append(
            f"of {len(linear)} Linear layers none keeps at most two of every four inputs in sizes that are "
            f"multiples of {TILE[0]} x {TILE[1]}; train with layers=Layers(structure='2:4'), and such widths"
        )
    return problems


def _too_old(device: torch.device) -> bool:
    return device.type != "cuda" or torch.cuda.get_device_capability(device) < CAPABILITY
