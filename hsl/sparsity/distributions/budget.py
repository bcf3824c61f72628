"""The budget of one training: which layers may keep how many weights, now and at the end. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hsl.errors import InfeasibleError
from hsl.sparsity.distributions.allocate import DISTRIBUTIONS, allocate, non_zeros
from hsl.sparsity.distributions.formulas import Shape, explicit, weight_count
from hsl.sparsity.distributions.ranked import Groups, each_alone

if TYPE_CHECKING:
    from hsl.sparsity.ties import Ties


@dataclass(frozen=True)
class Budget:
    """What a network may keep: the request that every mask of a training is cut to.

    Attributes:
        shapes: Layer names and weight shapes.
        sparsity: Target fraction of zeros over all layers, in [0, 1).
        distribution: Name of a distribution, or densities by layer name or glob.
        keep_dense: Layers that are never pruned, although their weights count.
        structure: (N, M) if N of every M inputs are kept in the layers that are not dense.
        at_least: Fewest weights that any layer keeps. None refuses a formula that leaves a layer none; where the
            scores of several layers are ranked together, it lets them.
        ties: Which of equally scored weights are kept, dropped and grown; None for those with the lowest index.
    """

    shapes: Mapping[str, Shape]
    sparsity: float
    distribution: str | Mapping[str, float]
    keep_dense: frozenset[str] = frozenset()
    structure: tuple[int, int] | None = None
    at_least: int | None = None
    ties: Ties | None = None

    @property
    def groups(self) -> Groups:
        """Layers that are ranked together: each by itself, or several by one ranking of their weights."""
        named = isinstance(self.distribution, str)
        groups = DISTRIBUTIONS.facts(str(self.distribution)).groups if named else each_alone
        return groups(list(self.shapes))

    def check(self) -> None:
        """Refuse what cannot be reached.

        Raises:
            InfeasibleError: If the layers that stay dense exceed the budget, or no weight would be left, of the
                network or of a layer that a formula gives a density above 0.
        """
        densities = self.densities()
        if self.total() == 0:
            raise InfeasibleError(
                f"sparsity {self.sparsity:g} keeps none of "
                f"{weight_count(self.shapes)} prunable weights; lower it"
            )
        if self.total() < (needed := sum(self.floors().values())):
            raise InfeasibleError(
                f"sparsity {self.sparsity:g} keeps {self.total()} weights, and at_least {self.at_least} asks for "
                f"{needed}; lower either"
            )
        if self.at_least is None and len(self.groups) == len(self.shapes):
            check_none_empty(
                [name for name, count in self.counts().items() if not count and densities[name] > 0]
            )

    def floors(self) -> dict[str, int]:
        """Fewest weights per layer."""
        return {name: min(self.at_least or 0, math.prod(shape)) for name, shape in self.shapes.items()}

    def densities(self) -> dict[str, float]:
        """Densities per layer at the target; an estimate for layers that are ranked together."""
        if isinstance(self.distribution, str):
            made = DISTRIBUTIONS[self.distribution](self.shapes, self.sparsity, keep_dense=self.keep_dense)
            check_densities(self.distribution, made, self.shapes)
            return made
        return explicit(self.shapes, self.sparsity, self.distribution, keep_dense=self.keep_dense)

    def total(self, progress: float = 1.0) -> int:
        """Non-zeros over all layers when `progress` (in [0, 1]) of the target sparsity is due."""
        return non_zeros(weight_count(self.shapes), self.sparsity * progress)

    def counts(self, progress: float = 1.0, ceilings: Mapping[str, int] | None = None) -> dict[str, int]:
        """Non-zeros per layer when a part of the target sparsity is due, the same part in every layer.

        Args:
            progress: That part, in [0, 1].
            ceilings: Most non-zeros per layer; None for no limit.
        """
        return self._counts({name: (name,) for name in self.shapes}, progress, ceilings)

    def group_counts(
        self, progress: float = 1.0, ceilings: Mapping[str, int] | None = None
    ) -> dict[str, int]:
        """As `counts`, per group of layers that are ranked together; `ceilings` are still per layer."""
        return self._counts(self.groups, progress, ceilings)

    def _counts(self, groups: Groups, progress: float, ceilings: Mapping[str, int] | None) -> dict[str, int]:
        densities = self.densities()
        shapes: dict[str, Shape] = {
            group: (sum(math.prod(self.shapes[name]) for name in members),)
            for group, members in groups.items()
        }
        kept = {
            group: sum(densities[name] * math.prod(self.shapes[name]) for name in members) / shapes[group][0]
            for group, members in groups.items()
        }
        least = self.floors()
        fewest = {group: sum(least[name] for name in members) for group, members in groups.items()}
        final = allocate(kept, shapes, self.sparsity, floors=fewest)
        if progress == 1.0:
            return final
        limits = ceilings and {
            group: sum(ceilings[name] for name in members) for group, members in groups.items()
        }
        due = {group: 1.0 - (1.0 - density) * progress for group, density in kept.items()}
        # What is gone cannot come back: no group falls below its final count, nor rises again.
        return allocate(due, shapes, self.sparsity * progress, floors=final, ceilings=limits)


def check_densities(name: str, densities: Mapping[str, float], shapes: Mapping[str, Shape]) -> None:
    """Refuse what a distribution has returned unless it is a density for every layer.

    Args:
        name: Of the distribution.
        densities: What it has returned.
        shapes: Layer names and weight shapes.

    Raises:
        InfeasibleError: If a layer is missing or unknown, or a density is not in [0, 1].
    """
    if strange := sorted(densities.keys() ^ shapes.keys()):
        raise InfeasibleError(
            f"distribution {name!r} must return one density for every layer it is given; "
            f"{', '.join(strange)} is missing, or no such layer"
        )
    outside = {layer: found for layer, found in densities.items() if not -ROUNDING <= found <= 1 + ROUNDING}
    if outside:
        found = ", ".join(f"{layer}: {density:g}" for layer, density in outside.items())
        raise InfeasibleError(f"distribution {name!r} has returned densities that are not in [0, 1]: {found}")


ROUNDING = 1e-9
"""How far a density may be outside [0, 1]."""


def check_none_empty(layers: Sequence[str]) -> None:
    """Refuse a budget that leaves layers without any weight.

    Args:
        layers: Their names.

    Raises:
        InfeasibleError: If there are some.
    """
    if layers:
        raise InfeasibleError(
            f"{', '.join(layers)} would keep no weight at all, which cuts the network there: lower the sparsity, "
            "choose another distribution, exclude these layers or keep them dense, give at_least=1 (in a space "
            "layers.at_least) to keep a weight in every layer, or at_least=0 to train the network as it is"
        )
