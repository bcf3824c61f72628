"""Zeroing what is pruned, at every step: the hot path."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.optim import Optimizer

from hsl.sparsity.layers import Prunable


class Factors:
    """Masks as numbers 0 and 1 of the weights' type, which are made again only where a mask has changed.

    To make them costs more than to multiply by them. They take as much memory as the weights.
    """

    def __init__(self) -> None:
        self._made: dict[str, tuple[Tensor, int, Tensor]] = {}

    def __reduce__(self) -> tuple[type[Factors], tuple[()]]:
        """A copy makes its own: versions of copied masks start over."""
        return Factors, ()

    def of(self, name: str, mask: Tensor, dtype: torch.dtype) -> Tensor:
        """The numbers of one mask.

        Args:
            name: What the mask is called here.
            mask: Boolean. Every change in place, loading included, raises its version.
            dtype: Floating point.
        """
        source, version, factor = self._made.get(name, (None, -1, mask))
        if source is not mask or version != mask._version or factor.dtype != dtype:
            factor = as_factor(mask).to(dtype)
            self._made[name] = (mask, mask._version, factor)
        return factor


@torch.no_grad()
def zero_weights_and_state_(
    layers: Prunable, optimizer: Optimizer, factors: Factors, trained: Mapping[str, Tensor] | None = None
) -> None:
    """Zero pruned weights and every tensor of their optimizer state that has their shape.

    Args:
        layers: Prunable with masks.
        optimizer: Whose state to zero.
        factors: Of these layers; keep them from step to step.
        trained: Masks by layer of the weights whose state stays; None for the active ones.
    """
    zeroed: list[Tensor] = []
    multipliers: list[Tensor] = []
    for name, layer in layers.items():
        weight = layer.weight
        state = optimizer.state[weight].values() if weight in optimizer.state else ()
        shaped = [value for value in state if isinstance(value, Tensor) and value.shape == weight.shape]
        factor = factors.of(name, layer.weight_mask, weight.dtype)
        of_state = factor if trained is None else factors.of(f"{name} trained", trained[name], weight.dtype)
        zeroed += [weight, *shaped]
        multipliers += [factor, *[of_state] * len(shaped)]
    torch._foreach_mul_(zeroed, multipliers)


@torch.no_grad()
def zero_gradients_(layers: Prunable, factors: Factors) -> None:
    """Zero the gradients of pruned weights.

    Args:
        layers: Prunable with masks.
        factors: Of these layers; keep them from step to step.
    """
    gradients: list[Tensor] = []
    multipliers: list[Tensor] = []
    for name, layer in layers.items():
        gradient = layer.weight.grad
        if gradient is not None:
            gradients.append(gradient)
            multipliers.append(factors.of(name, layer.weight_mask, layer.weight.dtype))
    if gradients:
        torch._foreach_mul_(gradients, multipliers)


@torch.no_grad()
def zero_where_(layers: Prunable, optimizer: Optimizer, chosen: Mapping[str, Tensor]) -> None:
    """Zero some weights, and every tensor of their optimizer state that has their shape.

    Args:
        layers: Prunable.
        optimizer: Whose state to zero.
        chosen: Boolean masks by layer; True where to zero.
    """
    for name, where in chosen.items():
        weight = layers[name].weight
        state = optimizer.state[weight].values() if weight in optimizer.state else ()
        for value in (weight, *state):
            if isinstance(value, Tensor) and value.shape == weight.shape:
                value.masked_fill_(where, 0)


def as_factor(mask: Tensor) -> Tensor:
    """The same memory as numbers 0 and 1: products with bytes are three times as fast as with booleans."""
    return mask.view(torch.uint8)
