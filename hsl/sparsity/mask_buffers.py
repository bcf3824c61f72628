"""Masks as buffers of modules: what a model alone, a copy or an average of it, needs to obey them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

MASK = "_mask"
"""A mask is a buffer of its module, named after the parameter with this at the end."""


@torch.no_grad()
def apply_masks(model: nn.Module) -> nn.Module:
    """Zero the pruned weights of a model that has masks: a copy, an average of weights, one just loaded.

    Args:
        model: Any module in which masks are stored, changed in place. ``torch.optim.swa_utils.AveragedModel`` is
            one: it averages weights and copies masks (with ``use_buffers=True`` it cannot: masks have no average).

    Returns:
        The model.
    """
    for weight, mask in _masked(model):
        weight.mul_(mask)
    return model


@torch.no_grad()
def apply_masks_after_load(module: nn.Module, _: object) -> None:
    """Zero the pruned weights of one module whose state dict was loaded: a dense one may have been given."""
    for weight, mask in _of_module(module):
        weight.mul_(
            mask
        )  # as after a step, the sign of a zero included: what is loaded is kept to the last bit


def _masked(model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    for module in model.modules():
        yield from _of_module(module)


def _of_module(module: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights and masks of one module."""
    for name, weight in module._parameters.items():
        mask = module._buffers.get(f"{name}{MASK}")
        if weight is not None and mask is not None:
            yield weight, mask
