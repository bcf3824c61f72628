"""The budget of one training: which layers may keep how many weights, now and at the end. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from hsl.errors import InfeasibleError
from hsl.sparsity.densities import Shape, weight_count
from hsl.sparsity.distributions import DISTRIBUTIONS, GLOBAL, allocate, non_zeros


@dataclass(frozen=True)
class Budget:
    """What a network may keep: the request that every mask of a training is cut to.

    Attributes:
        shapes: Layer names and weight shapes.
        sparsity: Target fraction of zeros over all layers, in [0, 1).
        distribution: Name of a distribution.
        keep_dense: Layers that are never pruned, although their weights count.
    """

    shapes: Mapping[str, Shape]
    sparsity: float
    distribution: str
    keep_dense: frozenset[str] = frozenset()

    @property
    def is_global(self) -> bool:
        """Whether one ranking over all layers decides, instead of densities."""
        return self.distribution == GLOBAL

    def check(self) -> None:
        """Refuse what cannot be reached.

        Raises:
            InfeasibleError: If the layers that stay dense exceed the budget, or no weight would be left.
        """
        self.densities()
        if self.total() == 0:
            raise InfeasibleError(
                f"sparsity {self.sparsity:g} keeps none of "
                f"{weight_count(self.shapes)} prunable weights; lower it"
            )

    def densities(self) -> dict[str, float]:
        """Densities per layer at the target; an estimate if the distribution is global."""
        return DISTRIBUTIONS[self.distribution](self.shapes, self.sparsity, keep_dense=self.keep_dense)

    def total(self, progress: float = 1.0) -> int:
        """Non-zeros over all layers when `progress` (in [0, 1]) of the target sparsity is due."""
        return non_zeros(weight_count(self.shapes), self.sparsity * progress)

    def counts(self, progress: float = 1.0, ceilings: Mapping[str, int] | None = None) -> dict[str, int]:
        """Non-zeros per layer when a part of the target sparsity is due, the same part in every layer.

        Args:
            progress: That part, in [0, 1].
            ceilings: Most non-zeros per layer; None for no limit.
        """
        densities = self.densities()
        final = allocate(densities, self.shapes, self.sparsity)
        if progress == 1.0:
            return final
        due = {name: 1.0 - (1.0 - density) * progress for name, density in densities.items()}
        # What is gone cannot come back: a layer never falls below its final count, nor rises again.
        return allocate(due, self.shapes, self.sparsity * progress, floors=final, ceilings=ceilings)
