"""The registry of layer-wise distributions, and the exact integer budgets made of them. Torch-free."""

import math
from collections.abc import Callable, Mapping

from hsl.errors import InfeasibleError
from hsl.registry import Entry, Registry, called
from hsl.sparsity.distributions import formulas, ranked
from hsl.sparsity.distributions.formulas import Shape, check_sparsity
from hsl.sparsity.distributions.ranked import DistributionFacts, Family, all_together, half_groups

Distribution = Callable[..., dict[str, float]]


def _from(family: Family) -> Entry[DistributionFacts]:
    return Entry(ranked.from_ratios, DistributionFacts(family, all_together))


DISTRIBUTIONS: Registry[Distribution, DistributionFacts] = Registry(
    "distribution",
    {
        "uniform": formulas.uniform,
        "uniform_plus": formulas.uniform_plus,
        "er": formulas.er,
        "erk": formulas.erk,
        "igq": formulas.igq,
        "pyramid": formulas.pyramid,
        "pyramid_vgg": formulas.pyramid_vgg,
        "global": Entry(ranked.global_, DistributionFacts(Family.RANKED, all_together)),
        "halves": Entry(ranked.halves, DistributionFacts(Family.RANKED, half_groups)),
        "from:snip": _from(Family.FROM_SCORES),
        "from:grasp": _from(Family.FROM_SCORES),
        "from:synflow": _from(Family.FROM_SCORES),
        "from:omp": _from(Family.FROM_PARENT),
        "from:imp": _from(Family.FROM_PARENT),
    },
    DistributionFacts(),
    wanted=called("shapes", "sparsity", keywords=("keep_dense",)),
)
"""(shapes, sparsity, *, keep_dense) -> layer names and densities in [0, 1]; an estimate where several are ranked."""


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


def share_out(total: int, weights: Mapping[str, float], ceilings: Mapping[str, int]) -> dict[str, int]:
    """Whole numbers in proportion to weights, none above its ceiling, by largest remainder.

    What exceeds a ceiling goes to the others in their proportion; if no weight is left, all weigh the same.

    Args:
        total: What to share out, at most the sum of the ceilings.
        weights: Names and weights, 0 or more; NaN counts as 0, as the mean of an empty layer.
        ceilings: Names and the most that each may get.

    Returns:
        Names and shares; their sum is `total`.
    """
    weights = {name: 0.0 if math.isnan(weight) else weight for name, weight in weights.items()}
    ideal = dict.fromkeys(weights, 0.0)
    open_ = set(weights)
    left = float(total)
    while left > 0 and open_:
        mass = sum(weights[name] for name in open_)
        parts = {name: left * (weights[name] / mass if mass > 0 else 1 / len(open_)) for name in open_}
        full = {name for name in open_ if parts[name] >= ceilings[name]}
        ideal |= {name: float(ceilings[name]) if name in full else parts[name] for name in open_}
        if not full:
            break
        left -= sum(ceilings[name] for name in full)
        open_ -= full
    counts = {name: math.floor(share) for name, share in ideal.items()}
    return _settle(counts, total, ideal, dict.fromkeys(weights, 0), ceilings)


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
