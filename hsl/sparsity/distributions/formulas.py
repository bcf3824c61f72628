"""Densities per layer: the functions behind the distributions. Torch-free.

All have these arguments; a distribution says only what it adds to them.

Args:
    shapes: Layer names, in the order of the network, and weight shapes in torch's convention (out, in, *kernel).
    sparsity: Fraction of zeros over all layers, in [0, 1).
    keep_dense: Names of layers with density 1; the others make up for them.

Returns:
    Layer names and densities in [0, 1]. Where ratios decide, a layer whose share exceeds 1 is dense.

Raises:
    InfeasibleError: If the layers of fixed density alone hold more than the budget.
"""

import math
from collections.abc import Callable, Collection, Mapping
from fnmatch import fnmatchcase

from hsl.errors import InfeasibleError, UnknownNameError

Shape = tuple[int, ...]
Shapes = Mapping[str, Shape]


def uniform(shapes: Shapes, sparsity: float, *, keep_dense: Collection[str] = ()) -> dict[str, float]:
    """The same density for every layer that is not kept dense."""
    _check(shapes, sparsity, keep_dense)
    return _rest_uniform(shapes, sparsity, dict.fromkeys(keep_dense, 1.0))


def uniform_plus(
    shapes: Shapes,
    sparsity: float,
    *,
    keep_dense: Collection[str] = (),
    last_at_least: float = 0.2,
) -> dict[str, float]:
    """Uniform with a dense first layer and a floor under the last one (Gale et al. 2019, arXiv:1902.09574).

    The layers between make up for both, so that the sparsity over all layers is the one asked for. The density
    of the last layer is never below `last_at_least`, in [0, 1].
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
    shapes: Shapes, sparsity: float, *, keep_dense: Collection[str] = (), power: float = 1.0
) -> dict[str, float]:
    """Erdos-Renyi: density proportional to (in + out) / (in * out) (Mocanu et al. 2018, arXiv:1707.04780).

    The ratio has the exponent `power`; 0 gives uniform.
    """
    _check(shapes, sparsity, keep_dense)
    ratios = {name: (sum(shape[:2]) / math.prod(shape[:2])) ** power for name, shape in shapes.items()}
    return _proportional(shapes, sparsity, ratios, dict.fromkeys(keep_dense, 1.0))


def erk(
    shapes: Shapes, sparsity: float, *, keep_dense: Collection[str] = (), power: float = 1.0
) -> dict[str, float]:
    """Erdos-Renyi kernel: as `er`, with kernel dimensions as well (Evci et al. 2020, arXiv:1911.11134).

    The ratio has the exponent `power`; 0 gives uniform.
    """
    _check(shapes, sparsity, keep_dense)
    ratios = {name: (sum(shape) / math.prod(shape)) ** power for name, shape in shapes.items()}
    return _proportional(shapes, sparsity, ratios, dict.fromkeys(keep_dense, 1.0))


def igq(shapes: Shapes, sparsity: float, *, keep_dense: Collection[str] = ()) -> dict[str, float]:
    """Ideal gas quotas: density 1 / (F * weights + 1), with F solved for.

    From Chen et al. 2022, arXiv:2202.09844.
    """
    _check(shapes, sparsity, keep_dense)
    dense = dict.fromkeys(keep_dense, 1.0)
    left = _budget_left(shapes, sparsity, dense)
    _check_left(shapes, sparsity, dense, left)
    sizes = [math.prod(shape) for name, shape in shapes.items() if name not in dense]
    if not sizes:
        return dict.fromkeys(shapes, 1.0)
    force = _solve_falling(lambda force: sum(size / (force * size + 1.0) for size in sizes), left)
    return {
        name: 1.0 if name in dense else 1.0 / (force * math.prod(shape) + 1.0)
        for name, shape in shapes.items()
    }


def pyramid(
    shapes: Shapes, sparsity: float, *, keep_dense: Collection[str] = (), last: float = 0.3
) -> dict[str, float]:
    """Smart ratios of residual networks: density falls with depth as h^2 + h, where h counts layers from the end.

    The last layer has the density `last`, unless the network as a whole is denser than that (Su et al. 2020,
    arXiv:2009.11094). Other networks have ratios of their own there: `pyramid_vgg`.
    """
    _check(shapes, sparsity, keep_dense)
    names = list(shapes)
    heights = {name: len(names) - index for index, name in enumerate(names)}
    ratios = {name: float(height**2 + height) for name, height in heights.items()}
    fixed = dict.fromkeys(keep_dense, 1.0)
    if len(names) > 1 and names[-1] not in fixed:
        fixed[names[-1]] = max(last, 1.0 - sparsity)
    return _proportional(shapes, sparsity, ratios, fixed)


def pyramid_vgg(
    shapes: Shapes, sparsity: float, *, keep_dense: Collection[str] = (), last: float = 0.3
) -> dict[str, float]:
    """Smart ratios of plain networks (VGG): as `pyramid`, over the square of the layer's number from the start.

    So the density falls as (h^2 + h) / l^2, and what a layer cannot hold goes to the next one, as in the authors'
    code (Su et al. 2020, arXiv:2009.11094).
    """
    _check(shapes, sparsity, keep_dense)
    names, count = list(shapes), len(shapes)
    fixed = dict.fromkeys(keep_dense, 1.0)
    if count > 1 and names[-1] not in fixed:
        fixed[names[-1]] = max(last, 1.0 - sparsity)
    left = _budget_left(shapes, sparsity, fixed)
    _check_left(shapes, sparsity, fixed, left)
    sizes = {name: math.prod(shapes[name]) for name in names if name not in fixed}
    ratios = {
        name: ((count - index) ** 2 + count - index) / (index + 1) ** 2 for index, name in enumerate(names)
    }
    scale = left / sum(ratios[name] * size for name, size in sizes.items()) if sizes else 0.0
    found, excess = dict(fixed), 0.0
    for name, size in sizes.items():
        wanted = scale * ratios[name] * size + excess
        excess = max(0.0, wanted - size)
        found[name] = min(1.0, wanted / size)
    return {name: found[name] for name in names}


def explicit(
    shapes: Shapes,
    sparsity: float,
    given: Mapping[str, float],
    *,
    keep_dense: Collection[str] = (),
) -> dict[str, float]:
    """Densities of one's own; layers that are not named share what is left in equal density.

    Args:
        shapes: Layer names and weight shapes.
        sparsity: Fraction of zeros over all layers, in [0, 1).
        given: Layer names or globs, and densities in [0, 1]. A name goes before a glob, an earlier glob
            before a later one.
        keep_dense: More layers with density 1.

    Returns:
        Layer names and densities in [0, 1].

    Raises:
        InfeasibleError: If the densities do not fit the sparsity, or one is not in [0, 1].
        UnknownNameError: If a name or glob matches no layer.
    """
    _check(shapes, sparsity, keep_dense)
    for pattern, density in given.items():
        if not any(fnmatchcase(name, pattern) for name in shapes):
            raise UnknownNameError("layer", pattern, shapes)
        if not 0.0 <= density <= 1.0:
            raise InfeasibleError(f"the density of {pattern!r} is {density}, it must be in [0, 1]")
    fixed = dict.fromkeys(keep_dense, 1.0)
    for name in shapes:
        matching = [density for pattern, density in given.items() if fnmatchcase(name, pattern)]
        if matching and name not in fixed:
            fixed[name] = given.get(name, matching[0])
    if len(fixed) == len(shapes):
        _check_adds_up(shapes, sparsity, fixed)
        return {name: fixed[name] for name in shapes}
    densities = _rest_uniform(shapes, sparsity, fixed)
    _check_adds_up(shapes, sparsity, densities)
    return densities


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


def _check(shapes: Shapes, sparsity: float, keep_dense: Collection[str]) -> None:
    check_sparsity(sparsity)
    if not shapes:
        raise InfeasibleError("there is no prunable layer to distribute non-zeros over")
    for name in keep_dense:
        if name not in shapes:
            raise UnknownNameError("layer", name, shapes)


def weight_count(shapes: Shapes) -> int:
    """Number of weights of all layers together."""
    return sum(math.prod(shape) for shape in shapes.values())


def _weights_outside(shapes: Shapes, fixed: Collection[str]) -> int:
    return sum(math.prod(shape) for name, shape in shapes.items() if name not in fixed)


def _budget_left(shapes: Shapes, sparsity: float, fixed: Mapping[str, float]) -> float:
    """Non-zeros that remain for the other layers, once those with a fixed density have theirs."""
    taken = sum(density * math.prod(shapes[name]) for name, density in fixed.items())
    return (1.0 - sparsity) * weight_count(shapes) - taken


def _rest_uniform(shapes: Shapes, sparsity: float, fixed: Mapping[str, float]) -> dict[str, float]:
    left, others = _budget_left(shapes, sparsity, fixed), _weights_outside(shapes, fixed)
    _check_left(shapes, sparsity, fixed, left)
    rest = min(1.0, left / others) if others else 1.0
    return {name: fixed.get(name, rest) for name in shapes}


def _check_left(shapes: Shapes, sparsity: float, fixed: Mapping[str, float], left: float) -> None:
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


def _check_adds_up(shapes: Shapes, sparsity: float, densities: Mapping[str, float]) -> None:
    """Refuse densities that miss the sparsity by more than rounding."""
    weights = weight_count(shapes)
    have = sum(density * math.prod(shapes[name]) for name, density in densities.items())
    if abs(have - (1.0 - sparsity) * weights) > len(shapes):
        raise InfeasibleError(
            f"the densities given have sparsity {1.0 - have / weights:.6g}, not {sparsity:g}: ask for that "
            "sparsity, scale the densities, or leave a layer out to let it make up for the others"
        )


def _solve_falling(function: Callable[[float], float], value: float) -> float:
    """Where a falling function of a number >= 0 has a value, by bisection; 0 if it starts below it."""
    low, high = 0.0, 1.0
    while function(high) > value:
        low, high = high, 2.0 * high
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > value else (low, middle)
    return (low + high) / 2


def _proportional(
    shapes: Shapes,
    sparsity: float,
    ratios: Mapping[str, float],
    fixed: Mapping[str, float],
) -> dict[str, float]:
    """Densities proportional to `ratios` besides fixed ones; a layer that would exceed 1 is dense."""
    found = dict(fixed)
    _check_left(shapes, sparsity, found, _budget_left(shapes, sparsity, found))
    while len(found) < len(shapes):
        left = _budget_left(shapes, sparsity, found)
        others = {name: ratio for name, ratio in ratios.items() if name not in found}
        scale = left / sum(ratio * math.prod(shapes[name]) for name, ratio in others.items())
        largest = max(others.values())
        if scale * largest <= 1.0:
            return {name: found.get(name, scale * ratios[name]) for name in shapes}
        found |= {name: 1.0 for name, ratio in others.items() if ratio == largest}
    return {name: found[name] for name in shapes}
