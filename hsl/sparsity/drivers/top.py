"""The driver of Top-KAST: only the largest weights are used, some more are trained, the rest waits."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from hsl.sparsity.drivers.base import Driver
from hsl.sparsity.layers import Layer
from hsl.sparsity.masks import top_k_among
from hsl.sparsity.methods.moments import ForwardTop
from hsl.sparsity.methods.weight_scores import CRITERIA
from hsl.sparsity.network import Network, Start, keep_top, set_masks_
from hsl.sparsity.schedules import to_step


class ForwardTopDriver(Driver):
    """Between steps a layer's weight holds the used values only; the others are kept here, in reserve.

    Args:
        network: What to work on.
        criterion: Name of the criterion that the used weights are chosen by.
        hyperparameters: ``exploration``, ``interval`` and ``penalty``.
        total_steps: Steps of the whole training.
    """

    def __init__(
        self, network: Network, criterion: str, hyperparameters: Mapping[str, float], total_steps: int
    ) -> None:
        self._network, self._criterion = network, CRITERIA[criterion]
        self._exploration, self._penalty = hyperparameters["exploration"], hyperparameters["penalty"]
        self._interval = max(1, to_step(hyperparameters["interval"], total_steps))
        self._reserve: dict[str, Tensor] = {}
        self._trained: dict[str, Tensor] = {}
        self._gradients: dict[str, Tensor | None] = {}

    def start(self) -> None:
        """Choose for the first time."""
        layers = self._network.layers
        self._reserve = {name: torch.zeros_like(layer.weight) for name, layer in layers.items()}
        self._choose()
        self._put_aside()

    def wants_gradients(self, step: int) -> bool:
        """At every step: more weights are trained than are used."""
        return True

    @torch.no_grad()
    def before_step(self, step: int) -> bool:
        """Take the reserve back, so that the step trains what is trained and not used as well."""
        for name, layer in self._network.layers.items():
            layer.weight.add_(self._reserve[name])
            self._gradients[name] = layer.weight.grad
            if layer.weight.grad is not None:
                layer.weight.grad = self._penalised(name, layer, layer.weight.grad)
        return False

    @torch.no_grad()
    def after_step(self, step: int) -> None:
        """Choose again where it is due, and put what is not used aside."""
        for name, layer in self._network.layers.items():
            layer.weight.grad = self._gradients.pop(name)
            if (waiting := ~self._trained[name]).any():
                # Weight decay and momentum must not reach what only waits.
                layer.weight[waiting] = self._reserve[name][waiting]
        if step % self._interval == 0:
            self._choose()
        self._put_aside()

    def trained_masks(self) -> Mapping[str, Tensor]:
        """Used weights and those that explore."""
        return self._trained

    def state_dict(self) -> dict[str, Any]:
        """The reserve, and which weights are trained."""
        return super().state_dict() | {"reserve": dict(self._reserve), "trained": dict(self._trained)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        super().load_state_dict(state)
        for kept, name in ((self._reserve, "reserve"), (self._trained, "trained")):
            for layer, tensor in kept.items():
                tensor.copy_(state[name][layer])

    def _choose(self) -> None:
        network = self._network
        scores = {
            name: self._criterion(replace(network.signals(name), mask=None))
            for name, layer in network.layers.items()
        }
        used = keep_top(scores, network.budget)
        for name, layer in network.layers.items():
            layer.weight_mask.copy_(used[name])
            self._trained[name] = self._with_explorers(used[name], scores[name])
        network.explore_()

    def _with_explorers(self, used: Tensor, scores: Tensor) -> Tensor:
        active = int(used.sum())
        explorers = min(used.numel() - active, int(self._exploration * active))
        return used | top_k_among(scores, explorers, ~used, self._network.budget.ties)

    @torch.no_grad()
    def _put_aside(self) -> None:
        for name, layer in self._network.layers.items():
            self._reserve[name].copy_(layer.weight).mul_(~layer.weight_mask)
        set_masks_(self._network.layers, {n: layer.weight_mask for n, layer in self._network.layers.items()})

    def _penalised(self, name: str, layer: Layer, gradient: Tensor) -> Tensor:
        """Gradient of the trained weights, with that of penalty * (w^2 if used, w^2 / density if not) / 2."""
        density = max(1, int(layer.weight_mask.sum())) / layer.weight.numel()
        factors = torch.where(layer.weight_mask, self._penalty, self._penalty / density)
        return (gradient + layer.weight * factors.to(gradient.dtype)) * self._trained[name]


def forward_top(moment: ForwardTop, start: Start) -> ForwardTopDriver:
    """The driver of `ForwardTop`."""
    return ForwardTopDriver(start.network, moment.criterion, start.values, start.total_steps)
