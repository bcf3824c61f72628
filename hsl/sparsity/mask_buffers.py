"""Masks as buffers of modules: what a model alone, a copy or an average of it, needs to obey them."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from hsl.errors import MethodError

MASK = "_mask"
"""A mask is a buffer of its module, named after the parameter with this at the end."""


def apply_masks(model: nn.Module, like: nn.Module | None = None) -> nn.Module:
    """Zero the pruned weights of a model that has masks: a copy, an average of weights, one just loaded.

    Args:
        model: Any module in which masks are stored, changed in place. ``torch.optim.swa_utils.AveragedModel`` is
            one: it averages weights and copies masks.
        like: The sparse network whose masks it takes first, for an average whose masks were averaged as well (each
            weight that was ever active stays), or that is older than the masks. None: its own masks are right.

    Returns:
        The model.

    Raises:
        MethodError: If the model has no masks, or averaged ones, and there is no `like`; or `like` is another network.
    """
    if like is not None:
        _take_masks_(model, like)
    elif any(isinstance(module, AveragedModel) and module.use_buffers for module in model.modules()):
        raise MethodError(
            "AveragedModel(use_buffers=True) has averaged the masks, and masks have no average: give the network whose "
            "weights it averages, apply_masks(average, like=model)"
        )
    if not any(True for _ in _masked(model)):
        raise MethodError(
            "no layer of the model has a mask, so nothing can be zeroed: it is a copy made before the Sparsifier, or "
            "its Sparsifier was removed; give the sparse network, apply_masks(copy, like=model)"
        )
    return zero_pruned_(model)


@torch.no_grad()
def zero_pruned_(model: nn.Module) -> nn.Module:
    """Zero the pruned weights of a model, if it has masks; return it."""
    for weight, mask in _masked(model):
        weight.mul_(mask)
    return model


def _take_masks_(model: nn.Module, like: nn.Module) -> None:
    """Give a model copies of the masks of another, layer by layer in the order of both."""
    mine, its = ([module for module in each.modules() if module._parameters] for each in (model, like))
    shapes = [
        [[None if p is None else p.shape for p in m._parameters.values()] for m in each]
        for each in (mine, its)
    ]
    if shapes[0] != shapes[1]:
        raise MethodError(
            f"like is another network: it has {len(its)} modules with parameters, the model has {len(mine)}, or their "
            "shapes differ; give the network that the model is a copy or an average of"
        )
    for own, other in zip(mine, its, strict=True):
        for name, weight in own._parameters.items():
            mask = other._buffers.get(f"{name}{MASK}")
            if mask is not None and weight is not None:
                own.register_buffer(f"{name}{MASK}", mask.to(weight.device, copy=True))


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
