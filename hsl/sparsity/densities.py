"""Densities per layer: the functions behind the distributions. Torch-free.

Each is a function ``(shapes, sparsity, *, keep_dense=()) -> densities``. `shapes` maps layer names, in the
order of the network, to weight shapes in torch's convention (out, in, *kernel).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

from hsl.errors import InfeasibleError, UnknownNameError

Shape = tuple[int, ...]


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


def _check(shapes: Mapping[str, Shape], sparsity: float, keep_dense: Collection[str]) -> None:
    check_sparsity(sparsity)
    if not shapes:
        raise InfeasibleError("there is no prunable layer to distribute non-zeros over")
    for name in keep_dense:
        if name not in shapes:
            raise UnknownNameError("layer", name, shapes)


def weight_count(shapes: Mapping[str, Shape]) -> int:
    """Number of weights of all layers together."""
    return sum(math.prod(shape) for shape in shapes.values())


def _weights_outside(shapes: Mapping[str, Shape], fixed: Collection[str]) -> int:
    return sum(math.prod(shape) for name, shape in shapes.items() if name not in fixed)


def _budget_left(shapes: Mapping[str, Shape], sparsity: float, fixed: Mapping[str, float]) -> float:
    """Non-zeros that remain for the other layers, once those with a fixed density have theirs."""
    taken = sum(density * math.prod(shapes[name]) for name, density in fixed.items())
    return (1.0 - sparsity) * weight_count(shapes) - taken


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
    weights = weight_count(shapes)
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
