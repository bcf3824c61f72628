"""Drivers that start dense (or nearly so) and prune while training."""

from dataclasses import replace

import torch

from hsl.errors import MethodError
from hsl.sparsity.criteria import Criterion
from hsl.sparsity.drivers.base import Driver
from hsl.sparsity.drivers.drop_and_grow import DropAndGrowDriver
from hsl.sparsity.init import set_first_masks_
from hsl.sparsity.layers import active_counts
from hsl.sparsity.methods.moments import Alternating, Gradual, GradualDropAndGrow
from hsl.sparsity.methods.weight_scores import CRITERIA
from hsl.sparsity.network import Network, Start, keep_top, set_masks_
from hsl.sparsity.schedules import AlternatingSchedule, GradualSchedule, granet_schedules


class GradualDriver(Driver):
    """Ever sparser along a schedule."""

    def __init__(self, network: Network, criterion: str, schedule: GradualSchedule) -> None:
        self._network, self._criterion, self._schedule = network, CRITERIA[criterion], schedule
        self.reached_at = schedule.end

    def after_step(self, step: int) -> None:
        """Remove the lowest active weights where the schedule says so."""
        if not self._schedule.prunes_after(step):
            return
        prune_(self._network, self._criterion, self._schedule.progress(step))


class GradualDropAndGrowDriver(Driver):
    """Prunes gradually after steps, and moves non-zeros at the step that follows."""

    def __init__(
        self, network: Network, gradual: GradualDriver, moving: DropAndGrowDriver, initial_sparsity: float
    ) -> None:
        self._network, self._gradual, self._moving = network, gradual, moving
        self._initial_sparsity = initial_sparsity
        self.reached_at = gradual.reached_at

    def start(self) -> None:
        """Draw a random mask of the initial sparsity, if it is not 0.

        Layers that will be ranked together have the densities of erk at first, as in the paper.
        """
        network, sparsity = self._network, self._initial_sparsity
        if sparsity > 0:
            self._draw_masks_(sparsity)
        network.explore_()

    def _draw_masks_(self, sparsity: float) -> None:
        network = self._network
        scores = {name: CRITERIA["random"](network.signals(name)) for name in network.layers}
        several = any(len(members) > 1 for members in network.budget.groups.values())
        if several:
            masks = keep_top(scores, replace(network.budget, sparsity=sparsity, distribution="erk"))
        else:
            masks = keep_top(scores, network.budget, sparsity / network.budget.sparsity)
        set_first_masks_(network, masks)

    def wants_gradients(self, step: int) -> bool:
        """Where weights are grown."""
        return self._moving.wants_gradients(step)

    def before_step(self, step: int) -> bool:
        """Drop and grow."""
        return self._moving.before_step(step)

    def after_step(self, step: int) -> None:
        """Prune."""
        self._gradual.after_step(step)


class AlternatingDriver(Driver):
    """Dense and sparse phases in turn.

    Args:
        network: What to work on.
        criterion: Name of the criterion that weights are kept by.
        schedule: When.
        reset_momentum: Whether a dense phase begins without any optimizer state.
    """

    def __init__(
        self, network: Network, criterion: str, schedule: AlternatingSchedule, reset_momentum: bool = False
    ) -> None:
        self._network, self._criterion, self._schedule = network, CRITERIA[criterion], schedule
        self._reset_momentum = reset_momentum
        self.reached_at = schedule.end

    def before_step(self, step: int) -> bool:
        """Let all weights train again where the schedule says so; those that were pruned have no state."""
        becomes_dense = self._schedule.change_after(step) == "dense"
        self.restarts_optimizer = becomes_dense and self._reset_momentum
        if becomes_dense:
            layers = self._network.layers
            set_masks_(layers, {name: torch.ones_like(layer.weight_mask) for name, layer in layers.items()})
        return False

    def after_step(self, step: int) -> None:
        """Prune to the target where the schedule says so."""
        if self._schedule.change_after(step) == "sparse":
            prune_(self._network, self._criterion, progress=1.0)


def prune_(network: Network, criterion: Criterion, progress: float) -> None:
    """Remove the active weights that score lowest, until `progress` of the target sparsity is reached."""
    scores = {
        name: criterion(network.signals(name)).masked_fill(~layer.weight_mask, -torch.inf)
        for name, layer in network.layers.items()
    }
    masks = keep_top(scores, network.budget, progress, active_counts(network.layers))
    set_masks_(network.layers, masks)


def gradual(moment: Gradual, start: Start) -> GradualDriver:
    """The driver of `Gradual`."""
    schedule = GradualSchedule.from_fractions(**start.values, total_steps=start.total_steps)
    return GradualDriver(start.network, moment.criterion, schedule)


def alternating(moment: Alternating, start: Start) -> AlternatingDriver:
    """The driver of `Alternating`."""
    values = dict(start.values)
    reset = bool(values.pop("reset_momentum"))
    schedule = AlternatingSchedule.from_fractions(**values, total_steps=start.total_steps)
    return AlternatingDriver(start.network, moment.criterion, schedule, reset)


def gradual_and_moving(moment: GradualDropAndGrow, start: Start) -> GradualDropAndGrowDriver:
    """The driver of `GradualDropAndGrow`.

    Raises:
        MethodError: If it would start sparser than it is to end.
    """
    network, initial = start.network, start.values["initial_sparsity"]
    sparsity = network.budget.sparsity
    if initial >= sparsity:
        raise MethodError(
            f"method.initial_sparsity is {initial:g}, "
            f"it must be smaller than the sparsity, which is {sparsity:g}"
        )
    pruning, drops = granet_schedules(start.values, sparsity, start.total_steps)
    return GradualDropAndGrowDriver(
        network,
        GradualDriver(network, moment.prune, pruning),
        DropAndGrowDriver(network, (moment.drop, moment.grow), drops, needs_gradient=True),
        initial,
    )
