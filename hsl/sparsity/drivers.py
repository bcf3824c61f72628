"""Drivers: one per moment. They decide when masks change and compute the new ones; the engine calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hsl.errors import MethodError
from hsl.sparsity.criteria import CRITERIA, Criterion, Signals
from hsl.sparsity.distributions import Budget
from hsl.sparsity.init import scale_for_live_fan_in_
from hsl.sparsity.masks import MASK, active_counts, drop_and_grow, mask_of, set_mask_, top_k, weight_of
from hsl.sparsity.methods import DropAndGrow, Gradual, Method, Never, Once, OnceAfterParent
from hsl.sparsity.schedules import DropAndGrowSchedule, GradualSchedule

Loss = Callable[[nn.Module], Tensor]
Layers = Mapping[str, nn.Module]


@dataclass(frozen=True)
class Parent:
    """A trained dense network, as state dicts of the very model that is to be pruned.

    Attributes:
        trained: State dict at the end of its training.
        rewind: State dict at the step to rewind to; None where the method does not rewind.
    """

    trained: Mapping[str, Tensor]
    rewind: Mapping[str, Tensor] | None = None


@dataclass(frozen=True)
class Network:
    """What a driver works on.

    Attributes:
        model: The whole model.
        layers: Its prunable layers, each with a mask.
        budget: What they may keep.
        generator: CPU generator for everything random.
        scale_init: Whether weights are scaled for the live fan-in once the first mask is made.
    """

    model: nn.Module
    layers: Layers
    budget: Budget
    generator: torch.Generator
    scale_init: bool

    def signals(self, name: str, gradient: Tensor | None = None) -> Signals:
        """What is known of one layer."""
        return Signals(weight_of(self.layers[name]), gradient, self.generator)

    def scale_init_(self) -> None:
        """Scale the initial weights for their live fan-in, where that was asked for."""
        if self.scale_init:
            for layer in self.layers.values():
                scale_for_live_fan_in_(weight_of(layer), mask_of(layer))


class Driver:
    """A driver that never does anything; the others override what they need.

    Attributes:
        pending: Whether the first mask still waits for the gradients of the first step.
        reached_at: Steps after which the target sparsity is reached.
    """

    pending: bool = False
    reached_at: int = 0

    def start(self) -> None:
        """Make the first masks, before any step."""

    def wants_gradients(self, step: int) -> bool:
        """Whether the gradients of pruned weights are read before step `step` (counted from 0)."""
        return False

    def before_step(self, step: int) -> bool:
        """Change masks before step `step`; True if that replaces the step for the prunable weights."""
        return False

    def after_step(self, step: int) -> bool:
        """Change masks when `step` steps are done; True if some did."""
        return False


class OnceDriver(Driver):
    """One mask at the start; by the gradients of the first step if the criterion needs some and has no loss."""

    def __init__(
        self, network: Network, criterion: Criterion, needs_gradient: bool, loss: Loss | None
    ) -> None:
        self._network, self._criterion = network, criterion
        self._needs_gradient, self._loss = needs_gradient, loss
        self.pending = needs_gradient and loss is None

    def start(self) -> None:
        """Make the mask, unless it waits for gradients."""
        if not self._needs_gradient:
            self._make({})
        elif self._loss is not None:
            gradients = loss_gradients(self._network, self._loss)
            if not _all_finite(gradients):
                raise MethodError("the loss that weights are scored by has gradients that are not finite")
            self._make(gradients)

    def wants_gradients(self, step: int) -> bool:
        """Only until the mask is made."""
        return self.pending

    def before_step(self, step: int) -> bool:
        """Make the mask from the first gradients that are finite."""
        if not self.pending:
            return False
        gradients = step_gradients(self._network.layers)
        if not _all_finite(gradients):
            return False
        self._make(gradients)
        self.pending = False
        return True

    def _make(self, gradients: Mapping[str, Tensor]) -> None:
        network = self._network
        scores = {
            name: self._criterion(network.signals(name, gradients.get(name))) for name in network.layers
        }
        set_masks_(network.layers, keep_top(scores, network.budget))
        network.scale_init_()


class AfterParentDriver(Driver):
    """One mask from a trained parent."""

    def __init__(self, network: Network, moment: OnceAfterParent, parent: Parent) -> None:
        self._network, self._moment, self._parent = network, moment, parent

    def start(self) -> None:
        """Score the parent's trained weights, and start from its trained or rewound ones."""
        network, parent = self._network, self._parent
        load_parent_(network.model, parent.trained, "trained")
        criterion = CRITERIA[self._moment.criterion]
        masks = keep_top({name: criterion(network.signals(name)) for name in network.layers}, network.budget)
        if self._moment.start == "rewound" and parent.rewind is not None:
            load_parent_(network.model, parent.rewind, "rewind")
        set_masks_(network.layers, masks)


class GradualDriver(Driver):
    """Ever sparser along a schedule."""

    def __init__(self, network: Network, criterion: Criterion, schedule: GradualSchedule) -> None:
        self._network, self._criterion, self._schedule = network, criterion, schedule
        self.reached_at = schedule.end

    def after_step(self, step: int) -> bool:
        """Remove the lowest active weights where the schedule says so."""
        if not self._schedule.prunes_after(step):
            return False
        network = self._network
        scores = {
            name: self._criterion(network.signals(name)).masked_fill(~mask_of(layer), -torch.inf)
            for name, layer in network.layers.items()
        }
        ceilings = active_counts(network.layers)
        set_masks_(
            network.layers, keep_top(scores, network.budget, self._schedule.progress(step), ceilings=ceilings)
        )
        return True


class DropAndGrowDriver(Driver):
    """A random mask at the start, whose non-zeros then move."""

    def __init__(
        self,
        network: Network,
        drop: Criterion,
        grow: Criterion,
        needs_gradient: bool,
        schedule: DropAndGrowSchedule,
    ) -> None:
        self._network, self._drop, self._grow = network, drop, grow
        self._needs_gradient, self._schedule = needs_gradient, schedule

    def start(self) -> None:
        """Draw the first mask."""
        OnceDriver(self._network, CRITERIA["random"], needs_gradient=False, loss=None).start()

    def wants_gradients(self, step: int) -> bool:
        """On update steps, if the grow criterion reads them."""
        return self._needs_gradient and self._schedule.updates_at(step)

    def before_step(self, step: int) -> bool:
        """Drop and grow on update steps; a step whose gradients are not finite is left out."""
        if not self._schedule.updates_at(step):
            return False
        layers = self._network.layers
        gradients = step_gradients(layers) if self._needs_gradient else {}
        if not _all_finite(gradients):
            return False
        fraction = self._schedule.fraction(step)
        set_masks_(layers, {name: self._moved(name, gradients.get(name), fraction) for name in layers})
        return True

    def _moved(self, name: str, gradient: Tensor | None, fraction: float) -> Tensor:
        mask, signals = mask_of(self._network.layers[name]), self._network.signals(name, gradient)
        n = int(fraction * int(mask.sum()))
        return drop_and_grow(mask, self._drop(signals), self._grow(signals), n)


def driver_for(
    method: Method,
    network: Network,
    hyperparameters: Mapping[str, float],
    total_steps: int,
    *,
    parent: Parent | None = None,
    loss: Loss | None = None,
) -> Driver:
    """Driver of a method.

    Args:
        method: The composition.
        network: What the driver works on.
        hyperparameters: All of the method's, checked.
        total_steps: Steps of the whole training, at least 1.
        parent: The trained dense network, for a method that needs one.
        loss: Loss of one batch, for scores before the first step.

    Returns:
        The driver, not started yet.

    Raises:
        MethodError: If the method needs a parent and there is none.
    """
    match method.moment:
        case Once(criterion):
            return OnceDriver(network, CRITERIA[criterion], method.needs_gradient, loss)
        case OnceAfterParent():
            return AfterParentDriver(network, method.moment, _checked_parent(method, parent))
        case Gradual(criterion):
            pruning = GradualSchedule.from_fractions(**hyperparameters, total_steps=total_steps)
            return GradualDriver(network, CRITERIA[criterion], pruning)
        case DropAndGrow(drop, grow):
            moving = DropAndGrowSchedule.from_fractions(**hyperparameters, total_steps=total_steps)
            return DropAndGrowDriver(network, CRITERIA[drop], CRITERIA[grow], method.needs_gradient, moving)
        case Never():
            return Driver()


def keep_top(
    scores: Mapping[str, Tensor],
    budget: Budget,
    progress: float = 1.0,
    ceilings: Mapping[str, int] | None = None,
) -> dict[str, Tensor]:
    """Masks of the highest scores: per layer, or in one ranking over all layers if the budget is global.

    Args:
        scores: Layer names, in the order of the budget, and scores of the shapes of the weights.
        budget: What may be kept.
        progress: Fraction of the target sparsity that is due, in [0, 1].
        ceilings: Most active weights per layer (not for a global budget); None for no limit.

    Returns:
        Layer names and boolean masks with exactly the budget's number of True.
    """
    if not budget.is_global:
        counts = budget.counts(progress, ceilings)
        return {name: top_k(layer_scores, counts[name]) for name, layer_scores in scores.items()}
    flat = [
        torch.full_like(layer_scores, torch.inf).flatten()
        if name in budget.keep_dense
        else layer_scores.flatten()
        for name, layer_scores in scores.items()
    ]
    chosen = top_k(torch.cat(flat), budget.total(progress)).split([part.numel() for part in flat])
    return {
        name: part.view(layer_scores.shape)
        for part, (name, layer_scores) in zip(chosen, scores.items(), strict=True)
    }


def set_masks_(layers: Layers, masks: Mapping[str, Tensor]) -> None:
    """Give every layer its new mask, in place."""
    for name, layer in layers.items():
        set_mask_(layer, masks[name])


def step_gradients(layers: Layers) -> dict[str, Tensor]:
    """Gradients that the last backward pass left, per layer.

    Raises:
        MethodError: If a layer has none.
    """
    gradients = {name: weight_of(layer).grad for name, layer in layers.items()}
    missing = [name for name, gradient in gradients.items() if gradient is None]
    if missing:
        raise MethodError(
            f"layers {', '.join(missing)} have no gradient, and the method scores weights by it: "
            "call backward() before optimizer.step(), or exclude these layers"
        )
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}


def loss_gradients(network: Network, loss: Loss) -> dict[str, Tensor]:
    """Gradients of a loss, per layer; gradients, buffers and random state of the model stay as they are."""
    weights = [weight_of(layer) for layer in network.layers.values()]
    buffers = {name: buffer.clone() for name, buffer in network.model.named_buffers()}
    devices = [weight.device for weight in weights if weight.is_cuda][:1]
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        gradients = torch.autograd.grad(loss(network.model), weights)
    with torch.no_grad():
        for name, buffer in network.model.named_buffers():
            buffer.copy_(buffers[name])
    return dict(zip(network.layers, gradients, strict=True))


def load_parent_(model: nn.Module, state: Mapping[str, Tensor], which: str) -> None:
    """Copy a parent's state dict into the model, in place; masks are the model's own.

    Raises:
        MethodError: If names or shapes do not match.
    """
    masks = {name for name in model.state_dict() if name.split(".")[-1] == MASK}
    try:
        missing, unexpected = model.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:
        raise MethodError(f"the parent's {which} weights do not fit the model: {error}") from error
    lost = [name for name in missing if name not in masks]
    if lost or unexpected:
        raise MethodError(
            f"the parent's {which} weights do not fit the model: missing {lost or 'nothing'}, "
            f"unknown {list(unexpected) or 'nothing'}; give state dicts of a dense model of the same architecture"
        )


def _checked_parent(method: Method, parent: Parent | None) -> Parent:
    if parent is None:
        raise MethodError(
            f"method {method.name!r} starts from a trained dense network: "
            "give parent=Parent(trained=state_dict, rewind=state_dict)"
        )
    if (
        isinstance(method.moment, OnceAfterParent)
        and method.moment.start == "rewound"
        and parent.rewind is None
    ):
        raise MethodError(
            f"method {method.name!r} rewinds: give parent=Parent(trained=..., rewind=state_dict), the parent's "
            "weights at the step to rewind to (its initial weights, for instance)"
        )
    return parent


def _all_finite(gradients: Mapping[str, Tensor]) -> bool:
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients.values())
