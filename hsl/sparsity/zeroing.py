"""Zeroing what is pruned, at every step: the hot path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

if TYPE_CHECKING:
    from hsl.sparsity.layers import Prunable

MASK = "_mask"
"""A mask is a buffer of its module, named after the parameter with this at the end."""


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


@torch.no_grad()
def apply_masks(model: nn.Module) -> nn.Module:
    """Zero the pruned weights of a model that has masks: a copy, an average of weights, one just loaded.

    Args:
        model: Any module in which masks are stored, changed in place. ``torch.optim.swa_utils.AveragedModel`` is
            one: it averages weights and copies masks.

    Returns:
        The model.
    """
    for weight, mask in _masked(model):
        weight.masked_fill_(~mask, 0)
    return model


@torch.no_grad()
def apply_masks_after_load(module: nn.Module, _: object) -> None:
    """Zero the pruned weights of one module whose state dict was loaded: a dense one may have been given."""
    for weight, mask in _of_module(module):
        weight.masked_fill_(~mask, 0)


def _masked(model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    for module in model.modules():
        yield from _of_module(module)


def _of_module(module: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights and masks of one module."""
    for name, weight in module._parameters.items():
        mask = module._buffers.get(f"{name}{MASK}")
        if weight is not None and mask is not None:
            yield weight, mask


def as_factor(mask: Tensor) -> Tensor:
    """The same memory as numbers 0 and 1: products with bytes are three times as fast as with booleans."""
    return mask.view(torch.uint8)
