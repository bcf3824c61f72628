"""How the budget of non-zeros is split over layers: densities per layer, then exact integers. Torch-free.

A distribution is a function ``(shapes, sparsity, *, keep_dense=()) -> densities``. `shapes` maps layer names,
in the order of the network, to weight shapes in torch's convention (out, in, *kernel).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

from hsl.errors import InfeasibleError, UnknownNameError
from hsl.registry import Registry

Shape = tuple[int, ...]
Distribution = Callable[..., dict[str, float]]

GLOBAL = "global"


def uniform(
    shapes: Mapping[str, Shape], sparsity: float, *, keep_dense: Collection[str] = ()
) -> dict[str, float]:
    """The same density for every layer that is not kept dense.

    Args:
        shapes: Layer names and weight shapes.
        sparsity: Fraction of zeros over all layers, in [0, 1).
        keep_dense: Layers with density 1; the others make up for them.

    Returns:
        Layer names and densities in [0, 1].

    Raises:
        InfeasibleError: If the dense layers alone hold more than the budget.
    """
    _check(shapes, sparsity, keep_dense)
    return _rest_uniform(shapes, sparsity, dict.fromkeys(keep_dense, 1.0))


def uniform_plus(
    shapes: Mapping[str, Shape],
    sparsity: float,
    *,
    keep_dense: Collection[str] = (),
    last_at_least: float = 0.2,
) -> dict[str, float]:
    """Uniform with a dense first layer and a floor under the last one (Gale et al. 2019, arXiv:1902.09574).

    The layers between make up for both, so that the sparsity over all layers is the one asked for.

    Args:
        shapes: Layer names and weight shapes.
        sparsity: Fraction of zeros over all layers, in [0, 1).
        keep_dense: More layers with density 1.
        last_at_least: Smallest density of the last layer, in [0, 1].

    Returns:
        Layer names and densities in [0, 1].

    Raises:
        InfeasibleError: If first and last layer alone hold more than the budget.
    """
    _check(shapes, sparsity, keep_dense)
    names = list(shapes)
    dense = dict.fromkeys([names[0], *keep_dense], 1.0)
    if names[-1] in dense:
        return _rest_uniform(shapes, sparsity, dense)
    floored = dense | {names[-1]: last_at_least}
    if _budget_left(shapes, sparsity, dense) >= last_at_least * _weights_outside(shapes, dense):
        return _rest_uniform(shapes, sparsity, dense)
    return _rest_uniform(shapes, sparsity, floored)


def er(
    shapes: Mapping[str, Shape], sparsity: float, *, keep_dense: Collection[str] = (), power: float = 1.0
) -> dict[str, float]:
    """Erdos-Renyi: density proportional to (in + out) / (in * out) (Mocanu et al. 2018, arXiv:1707.04780).

    Args:
        shapes: Layer names and weight shapes; kernel dimensions play no part.
        sparsity: Fraction of zeros over all layers, in [0, 1).
        keep_dense: Layers with density 1; the others make up for them.
        power: Exponent of the ratio; 0 gives uniform.

    Returns:
        Layer names and densities in [0, 1]; a layer whose share exceeds 1 is dense.

    Raises:
        InfeasibleError: If the dense layers alone hold more than the budget.
    """
    _check(shapes, sparsity, keep_dense)
    ratios = {name: (sum(shape[:2]) / math.prod(shape[:2])) ** power for name, shape in shapes.items()}
    return _proportional(shapes, sparsity, ratios, keep_dense)


def erk(
    shapes: Mapping[str, Shape], sparsity: float, *, keep_dense: Collection[str] = (), power: float = 1.0
) -> dict[str, float]:
    """Erdos-Renyi kernel: as `er`, with kernel dimensions as well (Evci et al. 2020, arXiv:1911.11134).

    Args:
        shapes: Layer names and weight shapes.
        sparsity: Fraction of zeros over all layers, in [0, 1).
        keep_dense: Layers with density 1; the others make up for them.
        power: Exponent of the ratio; 0 gives uniform.

    Returns:
        Layer names and densities in [0, 1]; a layer whose share exceeds 1 is dense.

    Raises:
        InfeasibleError: If the dense layers alone hold more than the budget.
    """
    _check(shapes, sparsity, keep_dense)
    ratios = {name: (sum(shape) / math.prod(shape)) ** power for name, shape in shapes.items()}
    return _proportional(shapes, sparsity, ratios, keep_dense)


def global_(
    shapes: Mapping[str, Shape], sparsity: float, *, keep_dense: Collection[str] = ()
) -> dict[str, float]:
    """One ranking over all layers: the split follows from the scores of the weights.

    Before there are scores nothing is known but the sum; these densities, the same for every layer, are the
    estimate used for cost. The engine ranks the scores instead.

    Args:
        shapes: Layer names and weight shapes.
        sparsity: Fraction of zeros over all layers, in [0, 1).
        keep_dense: Layers with density 1; the others make up for them.

    Returns:
        Layer names and estimated densities in [0, 1].

    Raises:
        InfeasibleError: If the dense layers alone hold more than the budget.
    """
    return uniform(shapes, sparsity, keep_dense=keep_dense)


DISTRIBUTIONS: Registry[Distribution] = Registry(
    "distribution",
    {"uniform": uniform, "uniform_plus": uniform_plus, "er": er, "erk": erk, GLOBAL: global_},
)


def non_zeros(weights: int, sparsity: float) -> int:
    """Number of non-zeros that a sparsity leaves of `weights` weights."""
    return round((1.0 - sparsity) * weights)


def allocate(
    densities: Mapping[str, float],
    shapes: Mapping[str, Shape],
    sparsity: float,
    *,
    floors: Mapping[str, int] | None = None,
    ceilings: Mapping[str, int] | None = None,
) -> dict[str, int]:
    """Exact integer non-zeros per layer: every layer rounded down, what is missing by largest remainder.

    Equal remainders are served in the order of the layers.

    Args:
        densities: Layer names and densities in [0, 1], which together leave the sparsity.
        shapes: Layer names and weight shapes.
        sparsity: Fraction of zeros over all layers, in [0, 1).
        floors: Fewest non-zeros per layer; 0 if None.
        ceilings: Most non-zeros per layer; its number of weights if None.

    Returns:
        Layer names and non-zeros; their sum is ``round((1 - sparsity) * weights)``.

    Raises:
        InfeasibleError: If the densities do not add up to the sparsity, or the limits leave no solution.
    """
    check_sparsity(sparsity)
    sizes = {name: math.prod(shape) for name, shape in shapes.items()}
    total = non_zeros(sum(sizes.values()), sparsity)
    low, high = floors or dict.fromkeys(sizes, 0), ceilings or sizes
    ideal = {name: densities[name] * size for name, size in sizes.items()}
    fits = sum(low.values()) <= total <= sum(high.values())
    if not fits or abs(sum(ideal.values()) - total) > len(sizes):
        raise InfeasibleError(
            f"the densities leave {sum(ideal.values()):.1f} non-zeros, sparsity {sparsity:g} asks for "
            f"{total}; scale the densities to the sparsity, or ask for the sparsity that they have"
        )
    counts = {name: max(low[name], min(math.floor(ideal[name]), high[name])) for name in sizes}
    return _settle(counts, total, ideal, low, high)


def check_sparsity(sparsity: float) -> None:
    """Refuse a sparsity outside [0, 1).

    Raises:
        InfeasibleError: If it is.
    """
    if not 0 <= sparsity < 1:
        percent = f"; for {sparsity:g} % give {sparsity / 100:g}" if 1 < sparsity < 100 else ""
        raise InfeasibleError(
            f"sparsity {sparsity} is not in [0, 1): it is the fraction of zeros, 0.9 keeps 10 % of all"
            f"{percent}"
        )


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
                f"sparsity {self.sparsity:g} keeps none of {_weights(self.shapes)} prunable weights; lower it"
            )

    def densities(self) -> dict[str, float]:
        """Densities per layer at the target; an estimate if the distribution is global."""
        return DISTRIBUTIONS[self.distribution](self.shapes, self.sparsity, keep_dense=self.keep_dense)

    def total(self, progress: float = 1.0) -> int:
        """Non-zeros over all layers when `progress` (in [0, 1]) of the target sparsity is due."""
        return non_zeros(_weights(self.shapes), self.sparsity * progress)

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


def _check(shapes: Mapping[str, Shape], sparsity: float, keep_dense: Collection[str]) -> None:
    check_sparsity(sparsity)
    if not shapes:
        raise InfeasibleError("there is no prunable layer to distribute non-zeros over")
    for name in keep_dense:
        if name not in shapes:
            raise UnknownNameError("layer", name, shapes)


def _weights(shapes: Mapping[str, Shape]) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _weights_outside(shapes: Mapping[str, Shape], fixed: Collection[str]) -> int:
    return sum(math.prod(shape) for name, shape in shapes.items() if name not in fixed)


def _budget_left(shapes: Mapping[str, Shape], sparsity: float, fixed: Mapping[str, float]) -> float:
    """Non-zeros that remain for the other layers, once those with a fixed density have theirs."""
    taken = sum(density * math.prod(shapes[name]) for name, density in fixed.items())
    return (1.0 - sparsity) * _weights(shapes) - taken


def _rest_uniform(
    shapes: Mapping[str, Shape], sparsity: float, fixed: Mapping[str, float]
) -> dict[str, float]:
    left, others = _budget_left(shapes, sparsity, fixed), _weights_outside(shapes, fixed)
    _check_left(shapes, sparsity, fixed, left)
    rest = min(1.0, left / others) if others else 1.0
    return {name: fixed.get(name, rest) for name in shapes}


def _check_left(
    shapes: Mapping[str, Shape], sparsity: float, fixed: Mapping[str, float], left: float
) -> None:
    """Refuse a request whose layers of fixed density leave nothing to the others."""
    if sparsity == 0 or left > 0:
        return
    weights = _weights(shapes)
    largest = sum((1.0 - fixed.get(name, 0.0)) * math.prod(shape) for name, shape in shapes.items()) / weights
    raise InfeasibleError(
        f"sparsity {sparsity:g} cannot be reached: {', '.join(fixed)} must keep more than the whole budget; "
        f"the sparsity must be below {math.floor(largest * 1e4) / 1e4:g}, "
        "or use distribution uniform or erk and keep no layer dense"
    )


def _proportional(
    shapes: Mapping[str, Shape], sparsity: float, ratios: Mapping[str, float], keep_dense: Collection[str]
) -> dict[str, float]:
    """Densities proportional to `ratios`, where a layer that would exceed 1 is dense and the rest make up."""
    dense = dict.fromkeys(keep_dense, 1.0)
    _check_left(shapes, sparsity, dense, _budget_left(shapes, sparsity, dense))
    while len(dense) < len(shapes):
        left = _budget_left(shapes, sparsity, dense)
        others = {name: ratio for name, ratio in ratios.items() if name not in dense}
        scale = left / sum(ratio * math.prod(shapes[name]) for name, ratio in others.items())
        largest = max(others.values())
        if scale * largest <= 1.0:
            return {name: 1.0 if name in dense else scale * ratios[name] for name in shapes}
        dense |= {name: 1.0 for name, ratio in others.items() if ratio == largest}
    return dict.fromkeys(shapes, 1.0)


def _settle(
    counts: dict[str, int],
    total: int,
    ideal: Mapping[str, float],
    low: Mapping[str, int],
    high: Mapping[str, int],
) -> dict[str, int]:
    """Hand out (or take back) single non-zeros by remainder until the total is met."""
    by_remainder = sorted(counts, key=lambda name: counts[name] - ideal[name])
    missing = total - sum(counts.values())
    step = 1 if missing > 0 else -1
    while missing:
        for name in by_remainder[::step]:
            if missing and low[name] <= counts[name] + step <= high[name]:
                counts[name] += step
                missing -= step
    return counts
