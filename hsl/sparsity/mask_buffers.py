"""Masks as buffers of modules: what a model alone, a copy or an average of it, needs to obey them."""

import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

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
