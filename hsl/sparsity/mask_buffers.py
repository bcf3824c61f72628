"""Masks as buffers of modules: what a model alone, a copy or an average of it, needs to obey them."""

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
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
                mark(own)


def mark(module: nn.Module) -> None:
    """Mark a module as one with masks, once."""
    if not any(isinstance(hook, Masked) for hook in module._load_state_dict_post_hooks.values()):
        module.register_load_state_dict_post_hook(Masked(module))


class Masked:
    """The mark of a module with masks, which copies and pickles of the module carry along, each with a mark of its own.

    It is the hook that is called when a state dict was loaded into the module: a dense one may have been given.

    Args:
        module: Which has it among its hooks.
    """

    def __init__(self, module: nn.Module) -> None:
        self.__setstate__({"module": module})

    @torch.no_grad()
    def __call__(self, module: nn.Module, _: object) -> None:
        """Zero the pruned weights, as after a step: the sign of a zero included, so nothing else changes a bit."""
        for weight, mask in _of_module(module):
            weight.mul_(mask)

    def weights(self) -> list[Tensor]:
        """The weights of the module that have masks."""
        module = self._module()
        return [] if module is None else [weight for weight, _ in _of_module(module)]

    def __getstate__(self) -> dict[str, Any]:
        return {"module": self._module()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Also called for a copy, once the copied module exists."""
        self._module = weakref.ref(state["module"])
        MASKED.add(self)
        CHECKED.clear()


MASKED: weakref.WeakSet[Masked] = weakref.WeakSet()
"""The marks of all modules with masks."""

CHECKED: weakref.WeakSet[Optimizer] = weakref.WeakSet()
"""Optimizers known not to train masked weights unseen; to be cleared whenever that may have changed."""


def _masked(model: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    for module in model.modules():
        yield from _of_module(module)


def _of_module(module: nn.Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Weights and masks of one module."""
    for name, weight in module._parameters.items():
        mask = module._buffers.get(f"{name}{MASK}")
        if weight is not None and mask is not None:
            yield weight, mask
