"""Drivers: one per moment. They decide when masks change and compute the new ones; the engine calls them."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from hsl.errors import MethodError
from hsl.sparsity.criteria import CRITERIA, Criterion
from hsl.sparsity.masks import active_counts, drop_and_grow, mask_of
from hsl.sparsity.methods import DropAndGrow, Gradual, Method, Never, Once, OnceAfterParent
from hsl.sparsity.network import (
    Loss,
    Network,
    Parent,
    all_finite,
    keep_top,
    load_parent_,
    loss_gradients,
    set_masks_,
    step_gradients,
)
from hsl.sparsity.schedules import DropAndGrowSchedule, GradualSchedule


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

    def after_step(self, step: int) -> None:
        """Change masks when `step` steps are done."""


class OnceDriver(Driver):
    """One mask at the start; by the first step's gradients if the criterion needs some and has no loss."""

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
            if not all_finite(gradients):
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
        if not all_finite(gradients):
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

    def after_step(self, step: int) -> None:
        """Remove the lowest active weights where the schedule says so."""
        if not self._schedule.prunes_after(step):
            return
        network = self._network
        scores = {
            name: self._criterion(network.signals(name)).masked_fill(~mask_of(layer), -torch.inf)
            for name, layer in network.layers.items()
        }
        ceilings = active_counts(network.layers)
        masks = keep_top(scores, network.budget, self._schedule.progress(step), ceilings=ceilings)
        set_masks_(network.layers, masks)


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
        if not all_finite(gradients):
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
            f"method {method.name!r} rewinds: give parent=Parent(trained=..., rewind=state_dict), with "
            "the parent's weights at the step to rewind to (its initial weights, for instance)"
        )
    return parent
