"""The registry of layer-wise distributions, and the exact integer budgets made of them. Torch-free."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from hsl.errors import InfeasibleError
from hsl.registry import Registry
from hsl.sparsity.densities import (
    Shape,
    check_sparsity,
    er,
    erk,
    global_,
    uniform,
    uniform_plus,
)

Distribution = Callable[..., dict[str, float]]

GLOBAL = "global"

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
