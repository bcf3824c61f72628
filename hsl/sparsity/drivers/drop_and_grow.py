"""Drivers that move the non-zeros of a network that is sparse from the start."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from hsl.sparsity.criteria import Criterion
from hsl.sparsity.distributions.allocate import share_out
from hsl.sparsity.drivers.base import Driver
from hsl.sparsity.init import set_first_masks_
from hsl.sparsity.layers import active_counts
from hsl.sparsity.masks import drop_and_grow, top_k, top_k_among
from hsl.sparsity.methods.moments import DropAndGrow, SoftDropAndGrow
from hsl.sparsity.methods.weight_scores import CRITERIA
from hsl.sparsity.network import Network, Start, all_finite, set_masks_, step_gradients
from hsl.sparsity.schedules import DropAndGrowSchedule, stepwise_fraction
from hsl.sparsity.ties import Ties


class DropAndGrowDriver(Driver):
    """A random mask at the start, whose non-zeros then move.

    Args:
        network: What to work on.
        criteria: Names of the drop and of the grow criterion.
        schedule: When, and how many.
        needs_gradient: Whether a criterion reads gradients.
        gradient_weight: Factor of the gradients that criteria read.
        restart_regrown: Whether a weight that is dropped and grown in one update starts again at zero, without
            optimizer state, as every other grown weight does; else it goes on as if it had stayed.
    """

    def __init__(
        self,
        network: Network,
        criteria: tuple[str, str],
        schedule: DropAndGrowSchedule,
        needs_gradient: bool,
        gradient_weight: float = 1.0,
        restart_regrown: bool = False,
    ) -> None:
        self._network, self._schedule = network, schedule
        self._restart_regrown = restart_regrown
        self._drop, self._grow = (CRITERIA[name] for name in criteria)
        self._needs_gradient, self._gradient_weight = needs_gradient, gradient_weight

    def start(self) -> None:
        """Draw the first mask."""
        draw_masks_(self._network, self._network.budget.counts())

    def wants_gradients(self, step: int) -> bool:
        """On update steps, if a criterion reads them."""
        return self._needs_gradient and self._schedule.updates_at(step)

    def before_step(self, step: int) -> bool:
        """Drop and grow on update steps; a step whose gradients are not finite is left out."""
        self.restarting = {}
        if not self._schedule.updates_at(step):
            return False
        layers = self._network.layers
        gradients = step_gradients(layers) if self._needs_gradient else {}
        if not all_finite(gradients):
            return False
        moved = {name: self._moved(name, gradients.get(name), step) for name in layers}
        if self._restart_regrown:
            self.restarting = {name: grown & layers[name].weight_mask for name, (_, grown) in moved.items()}
        set_masks_(layers, {name: kept | grown for name, (kept, grown) in moved.items()})
        return True

    @property
    def _ties(self) -> Ties | None:
        return self._network.budget.ties

    def _moved(self, name: str, gradient: Tensor | None, step: int) -> tuple[Tensor, Tensor]:
        """Masks of the active weights that stay, and of those that are grown."""
        mask = self._network.layers[name].weight_mask
        drop, grow = self._scores(name, gradient)
        dropped = int(self._schedule.fraction(step) * int(mask.sum()))
        return drop_and_grow(mask, drop, grow, dropped, self._ties)

    def _scores(self, name: str, gradient: Tensor | None) -> tuple[Tensor, Tensor]:
        weighted = None if gradient is None else gradient * self._gradient_weight
        signals = self._network.signals(name, weighted)
        return self._drop(signals), self._grow(signals)


class SoftDropAndGrowDriver(DropAndGrowDriver):
    """As its base, but until the updates end there are more non-zeros than the target."""

    def __init__(
        self,
        network: Network,
        criteria: tuple[str, str],
        schedule: DropAndGrowSchedule,
        needs_gradient: bool,
        gradient_weight: float = 1.0,
        restart_regrown: bool = False,
    ) -> None:
        super().__init__(network, criteria, schedule, needs_gradient, gradient_weight, restart_regrown)
        self._end = self.reached_at = max(1, schedule.end)

    @property
    def _counts(self) -> dict[str, int]:
        return self._network.budget.counts()

    def start(self) -> None:
        """Draw the first mask, with the excess."""
        counts = self._counts
        draw_masks_(self._network, {name: counts[name] + self._excess(name, step=0) for name in counts})

    def after_step(self, step: int) -> None:
        """Drop to the target when the updates end."""
        if step == self._end:
            layers = self._network.layers
            kept = {name: self._kept(name, self._drop_scores(name)) for name in layers}
            set_masks_(layers, kept)

    def _moved(self, name: str, gradient: Tensor | None, step: int) -> tuple[Tensor, Tensor]:
        drop, grow = self._scores(name, gradient)
        kept = self._kept(name, drop)
        return kept, top_k_among(grow, self._excess(name, step), ~kept, self._ties)

    def _kept(self, name: str, scores: Tensor) -> Tensor:
        return top_k_among(scores, self._counts[name], self._network.layers[name].weight_mask, self._ties)

    def _drop_scores(self, name: str) -> Tensor:
        gradient = self._network.layers[name].weight.grad
        if gradient is None or not bool(torch.isfinite(gradient).all()):
            gradient = torch.zeros_like(self._network.layers[name].weight)
        return self._drop(self._network.signals(name, gradient * self._gradient_weight))

    def _excess(self, name: str, step: int) -> int:
        count, weights = self._counts[name], self._network.layers[name].weight.numel()
        fraction = stepwise_fraction(step, self._schedule.drop_fraction, self._end)
        return min(weights - count, int(fraction * count))


class RedistributingDriver(DropAndGrowDriver):
    """As its base, but layers grow by their mean momentum, a running mean of dense gradients."""

    def __init__(
        self, network: Network, criteria: tuple[str, str], schedule: DropAndGrowSchedule, momentum: float
    ) -> None:
        super().__init__(network, criteria, schedule, needs_gradient=True)
        self._past = momentum
        self._momentum = {name: torch.zeros_like(layer.weight) for name, layer in network.layers.items()}

    def wants_gradients(self, step: int) -> bool:
        """At every step: the running mean is one of all weights."""
        return True

    @torch.no_grad()
    def before_step(self, step: int) -> bool:
        """Take in the gradients if they are finite; drop and grow on update steps."""
        gradients = step_gradients(self._network.layers)
        if not all_finite(gradients):
            return False
        for name, mean in self._momentum.items():
            mean.lerp_(gradients[name].to(mean.dtype), 1.0 - self._past)
        if not self._schedule.updates_at(step):
            return False
        self._redistribute(self._schedule.fraction(step))
        return True

    def _redistribute(self, fraction: float) -> None:
        layers = {
            name: layer
            for name, layer in self._network.layers.items()
            if name not in self._network.budget.keep_dense
        }
        active = active_counts(layers)
        dropped = {name: int(fraction * count) for name, count in active.items()}
        means = {
            name: float(self._momentum[name][layer.weight_mask].abs().mean())
            for name, layer in layers.items()
        }
        room = {name: layer.weight.numel() - active[name] + dropped[name] for name, layer in layers.items()}
        least = self._network.budget.floors()
        owed = {name: max(0, least[name] - active[name] + dropped[name]) for name in layers}
        free = {name: room[name] - owed[name] for name in layers}
        shared = share_out(sum(dropped.values()) - sum(owed.values()), means, free)
        grown = {name: owed[name] + shared[name] for name in layers}
        masks = {}
        for name, layer in layers.items():
            drop, grow = self._scores(name, self._momentum[name])
            kept = top_k_among(drop, active[name] - dropped[name], layer.weight_mask, self._ties)
            masks[name] = kept | top_k_among(grow, grown[name], ~kept, self._ties)
        set_masks_(layers, masks)

    def state_dict(self) -> dict[str, Any]:
        """The running means."""
        return super().state_dict() | {"momentum": dict(self._momentum)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        super().load_state_dict(state)
        for name, mean in self._momentum.items():
            mean.copy_(state["momentum"][name])


def draw_masks_(network: Network, counts: Mapping[str, int]) -> None:
    """Give every layer a random mask of so many weights, and scale what is left as `init` says."""
    draw: Criterion = CRITERIA["random"]
    ties = network.budget.ties
    masks = {name: top_k(draw(network.signals(name)), counts[name], ties) for name in network.layers}
    set_first_masks_(network, masks)
    network.explore_()


def moving(moment: DropAndGrow, start: Start) -> DropAndGrowDriver:
    """The driver of `DropAndGrow`."""
    schedule, criteria = moment.schedule(start.values, start.total_steps), (moment.drop, moment.grow)
    if moment.redistribute:
        return RedistributingDriver(start.network, criteria, schedule, start.values["momentum"])
    weight, restart = start.values.get("gradient_weight", 1.0), bool(start.values.get("restart_regrown"))
    return DropAndGrowDriver(start.network, criteria, schedule, start.needs_gradient, weight, restart)


def moving_softly(moment: SoftDropAndGrow, start: Start) -> SoftDropAndGrowDriver:
    """The driver of `SoftDropAndGrow`."""
    values = start.values
    schedule = DropAndGrowSchedule.from_fractions(
        values["excess"], values["interval"], values["until"], start.total_steps, decay="stepwise"
    )
    criteria, weight = (moment.drop, moment.grow), values.get("gradient_weight", 1.0)
    restart = bool(values.get("restart_regrown"))
    return SoftDropAndGrowDriver(start.network, criteria, schedule, start.needs_gradient, weight, restart)
