"""Zeroing what is pruned, at every step: the hot path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim import Optimizer

from hsl.sparsity.masks import Layers


@dataclass(frozen=True)
class _Multiplier:
    """A mask as numbers, and which state of which mask it was made from."""

    mask: Tensor
    version: int
    values: Tensor


class Zeroing:
    """Multiplies weights, gradients and optimizer state of masked layers by their masks.

    Masks in the dtype of the weights multiply several times faster than boolean ones, so they are kept
    (one more tensor per weight) and renewed as soon as the boolean mask has changed.

    Args:
        layers: Layer names and layers; they have masks by the time anything is zeroed.
    """

    def __init__(self, layers: Layers) -> None:
        self._layers = layers
        self._multipliers: dict[str, _Multiplier] = {}

    @torch.no_grad()
    def weights_and_state(self, optimizer: Optimizer, trained: Mapping[str, Tensor] | None = None) -> None:
        """Zero pruned weights and every tensor of their optimizer state that has their shape.

        Args:
            optimizer: Whose state to zero.
            trained: Masks by layer of the weights whose state stays; None for the active ones.
        """
        tensors: list[Tensor] = []
        multipliers: list[Tensor] = []
        for name, weight, multiplier in self._weights_and_multipliers():
            state = optimizer.state[weight].values() if weight in optimizer.state else ()
            shaped = [value for value in state if isinstance(value, Tensor) and value.shape == weight.shape]
            tensors += [weight, *shaped]
            of_state = multiplier if trained is None else trained[name].to(weight.dtype)
            multipliers += [multiplier, *[of_state] * len(shaped)]
        torch._foreach_mul_(tensors, multipliers)

    @torch.no_grad()
    def gradients(self) -> None:
        """Zero the gradients of pruned weights."""
        for _, weight, multiplier in self._weights_and_multipliers():
            if weight.grad is not None:
                weight.grad.mul_(multiplier)

    def _weights_and_multipliers(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        for name, layer in self._layers.items():
            weight, mask = layer.weight, layer.weight_mask
            kept = self._multipliers.get(name)
            # In-place changes raise the version; moving the model to another device makes another tensor.
            if kept is None or kept.mask is not mask or kept.version != mask._version:
                kept = _Multiplier(mask, mask._version, mask.to(weight.dtype))
                self._multipliers[name] = kept
            yield name, weight, kept.values
