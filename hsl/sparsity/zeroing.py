"""Zeroing what is pruned, at every step: the hot path."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from hsl.sparsity.masks import Layers


@torch.no_grad()
def zero_weights_and_state_(
    layers: Layers, optimizer: Optimizer, trained: Mapping[str, Tensor] | None = None
) -> None:
    """Zero pruned weights and every tensor of their optimizer state that has their shape.

    Args:
        layers: Layers with masks.
        optimizer: Whose state to zero.
        trained: Masks by layer of the weights whose state stays; None for the active ones.
    """
    tensors: list[Tensor] = []
    factors: list[Tensor] = []
    for name, layer in layers.items():
        weight, factor = layer.weight, as_factor(layer.weight_mask)
        state = optimizer.state[weight].values() if weight in optimizer.state else ()
        shaped = [value for value in state if isinstance(value, Tensor) and value.shape == weight.shape]
        of_state = factor if trained is None else as_factor(trained[name])
        tensors += [weight, *shaped]
        factors += [factor, *[of_state] * len(shaped)]
    torch._foreach_mul_(tensors, factors)


@torch.no_grad()
def zero_gradients_(layers: Layers) -> None:
    """Zero the gradients of pruned weights."""
    for layer in layers.values():
        if layer.weight.grad is not None:
            layer.weight.grad.mul_(as_factor(layer.weight_mask))


def as_factor(mask: Tensor) -> Tensor:
    """The same memory as numbers 0 and 1: products with bytes are three times as fast as with booleans."""
    return mask.view(torch.uint8)
