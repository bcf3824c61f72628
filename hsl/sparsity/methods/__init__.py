"""The registry of sparse-training methods, and the checks of what a user asks of one. Torch-free."""

from collections.abc import Mapping

from hsl.errors import MethodError, UnknownNameError, close_match
from hsl.registry import Registry, Wanted
from hsl.sparsity.distributions.allocate import DISTRIBUTIONS
from hsl.sparsity.distributions.ranked import FROM, Family, is_ratios
from hsl.sparsity.methods.at_start import (
    DENSE,
    GRASP,
    IMP_RATIOS,
    OMP_RATIOS,
    SNIP,
    SNIP_RATIOS,
    STATIC,
    SYNFLOW,
)
from hsl.sparsity.methods.composition import Hyperparameter, Method
from hsl.sparsity.methods.dynamic import MEST, MEST_SOFT, RIGL, RIGL_ITOP, SET, SET_MAGNITUDE, SNFS, TOPKAST
from hsl.sparsity.methods.pruning import ACDC, GMP, GRANET, IMP, LTH, OMP

METHODS: Registry[Method, None] = Registry(
    "method",
    {
        "dense": DENSE,
        "static": STATIC,
        "snip": SNIP,
        "snip_ratios": SNIP_RATIOS,
        "grasp": GRASP,
        "synflow": SYNFLOW,
        "set": SET,
        "set_magnitude": SET_MAGNITUDE,
        "rigl": RIGL,
        "rigl_itop": RIGL_ITOP,
        "snfs": SNFS,
        "mest": MEST,
        "mest_soft": MEST_SOFT,
        "topkast": TOPKAST,
        "gmp": GMP,
        "granet": GRANET,
        "acdc": ACDC,
        "omp": OMP,
        "omp_ratios": OMP_RATIOS,
        "lth": LTH,
        "imp": IMP,
        "imp_ratios": IMP_RATIOS,
    },
    wanted=Wanted(lambda found: isinstance(found, Method), "a hsl.sparsity.methods.Method"),
)

__all__ = ["METHODS", "Hyperparameter", "Method", "check_hyperparameters", "feasible", "scored_source"]


def check_hyperparameters(method: str, given: Mapping[str, float]) -> dict[str, float]:
    """Check what was given to a method, and fill in the defaults.

    Args:
        method: Registry name of the method.
        given: Hyperparameter names (without ``method.``) and values.

    Returns:
        Every hyperparameter of the method with its value, in the order in which the method lists them.

    Raises:
        MethodError: If the method has no such hyperparameter, or a value is not a number or out of range.
        UnknownNameError: If there is no such method.
    """
    known = {parameter.name: parameter for parameter in METHODS[method].hyperparameters}
    for name in given:
        if name not in known:
            allowed = f"it has {', '.join(known)}" if known else "it has none"
            raise MethodError(
                f"method {method!r} has no hyperparameter {name!r}{close_match(name, known)}; {allowed}"
            )
    values = {
        name: _in_range(method, parameter, given.get(name, parameter.default))
        for name, parameter in known.items()
    }
    _check_order(method, known, values)
    return values


def feasible(
    method: str, distribution: str | Mapping[str, float] | None, sparsity: float | None = None
) -> str | None:
    """Whether a combination of levels means something, before anything is trained.

    Args:
        method: Registry name of the method.
        distribution: Name of a distribution, or densities by layer, or None for the method's default.
        sparsity: Sparsity in [0, 1), or None where it is not known yet.

    Returns:
        None if it does; otherwise the reason why not, fit to be printed.

    Raises:
        UnknownNameError: If there is no such method or distribution.
    """
    taken = METHODS[method]
    if isinstance(distribution, str) and (is_ratios(distribution) or not DISTRIBUTIONS.knows(distribution)):
        _check_known(distribution)
    if not taken.distributions:
        return _feasible_dense(method, distribution, sparsity)
    if isinstance(distribution, Mapping):
        if not taken.takes_densities:
            return f"{method} takes {', '.join(taken.distributions)} only, no densities by layer"
    elif distribution is not None and not taken.takes(distribution):
        return (
            f"{method} does not take distribution {distribution}; it takes {', '.join(taken.distributions)}"
        )
    if sparsity == 0:
        return f"{method} at sparsity 0 is dense training; use method dense"
    return None


def scored_source(distribution: str | Mapping[str, float] | None) -> str | None:
    """The method whose scores of the untrained network give a distribution ``from:METHOD``; else None.

    Raises:
        UnknownNameError: If there is no such distribution.
    """
    if not isinstance(distribution, str) or not is_ratios(distribution):
        return None
    is_scored = DISTRIBUTIONS.facts(distribution).family is Family.FROM_SCORES
    return distribution.removeprefix(FROM) if is_scored else None


def _check_known(distribution: str) -> None:
    if distribution not in DISTRIBUTIONS:
        raise UnknownNameError("distribution", distribution, DISTRIBUTIONS)


def _feasible_dense(
    method: str, distribution: str | Mapping[str, float] | None, sparsity: float | None
) -> str | None:
    if distribution is not None:
        return f"{method} prunes nothing, so it takes no distribution ({distribution} was given)"
    if sparsity:
        return f"{method} prunes nothing, so its sparsity is 0 ({sparsity:g} was given)"
    return None


def _in_range(method: str, parameter: Hyperparameter, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise MethodError(f"method.{parameter.name} of {method} must be a number, not {value!r}")
    if not parameter.low <= value <= parameter.high:
        raise MethodError(
            f"method.{parameter.name} of {method} is {value}, "
            f"it must be in [{parameter.low:g}, {parameter.high:g}]: {parameter.summary}"
        )
    if parameter.whole and value != int(value):
        raise MethodError(f"method.{parameter.name} of {method} is {value}, it must be a whole number")
    return float(value)


def _check_order(method: str, known: Mapping[str, Hyperparameter], values: Mapping[str, float]) -> None:
    for name, parameter in known.items():
        if parameter.below is not None and values[name] >= values[parameter.below]:
            raise MethodError(
                f"method.{name} of {method} is {values[name]:g}, "
                f"it must be smaller than method.{parameter.below}, which is {values[parameter.below]:g}"
            )
