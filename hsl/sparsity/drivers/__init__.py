"""Drivers: one per moment. They decide when masks change and compute the new ones; the engine calls them."""

from collections.abc import Mapping

from hsl.errors import MethodError
from hsl.sparsity.drivers.base import Driver
from hsl.sparsity.drivers.drop_and_grow import DropAndGrowDriver, RedistributingDriver, SoftDropAndGrowDriver
from hsl.sparsity.drivers.gradual import (
    AlternatingDriver,
    GradualDriver,
    GradualDropAndGrowDriver,
    granet_schedules,
)
from hsl.sparsity.drivers.once import AfterParentDriver, OnceDriver
from hsl.sparsity.drivers.top import ForwardTopDriver
from hsl.sparsity.methods import (
    Alternating,
    DropAndGrow,
    ForwardTop,
    Gradual,
    GradualDropAndGrow,
    Method,
    Never,
    Once,
    OnceAfterParent,
    SoftDropAndGrow,
)
from hsl.sparsity.network import Loss, Network, Parent
from hsl.sparsity.schedules import AlternatingSchedule, DropAndGrowSchedule, GradualSchedule

__all__ = ["Driver", "driver_for"]

Hyperparameters = Mapping[str, float]


def driver_for(  # noqa: PLR0911  one return per moment
    method: Method,
    network: Network,
    hyperparameters: Hyperparameters,
    total_steps: int,
    *,
    parent: Parent | None = None,
    loss: Loss | None = None,
) -> Driver:
    """Driver of a method.

    Args:
        method: The composition.
        network: What the driver works on.
        hyperparameters: All of the method's, checked.
        total_steps: Steps of the whole training, at least 1.
        parent: The trained dense network, for a method that needs one.
        loss: Loss of one batch, for scores before the first step.

    Returns:
        The driver, not started yet.

    Raises:
        MethodError: If the method needs a parent and there is none.
    """
    match method.moment:
        case Once(criterion):
            return OnceDriver(network, criterion, method.needs_gradient, loss, hyperparameters)
        case OnceAfterParent():
            return AfterParentDriver(network, method.moment, _checked_parent(method, parent))
        case Gradual(criterion):
            pruning = GradualSchedule.from_fractions(**hyperparameters, total_steps=total_steps)
            return GradualDriver(network, criterion, pruning)
        case Alternating(criterion):
            phases = AlternatingSchedule.from_fractions(**hyperparameters, total_steps=total_steps)
            return AlternatingDriver(network, criterion, phases)
        case ForwardTop(criterion):
            return ForwardTopDriver(network, criterion, hyperparameters, total_steps)
        case DropAndGrow() | SoftDropAndGrow():
            return _moving(method, network, hyperparameters, total_steps)
        case GradualDropAndGrow():
            return _gradual_and_moving(method.moment, network, hyperparameters, total_steps)
        case Never():
            return Driver()


def _moving(
    method: Method, network: Network, hyperparameters: Hyperparameters, total_steps: int
) -> DropAndGrowDriver:
    moment = method.moment
    assert isinstance(moment, DropAndGrow | SoftDropAndGrow)
    soft = isinstance(moment, SoftDropAndGrow)
    schedule = DropAndGrowSchedule.from_fractions(
        hyperparameters["excess" if soft else "drop_fraction"],
        hyperparameters["interval"],
        hyperparameters["until"],
        total_steps,
        decay="stepwise" if isinstance(moment, SoftDropAndGrow) else moment.decay,
    )
    criteria = (moment.drop, moment.grow)
    if isinstance(moment, DropAndGrow) and moment.redistribute:
        return RedistributingDriver(network, criteria, schedule, hyperparameters["momentum"])
    kind = SoftDropAndGrowDriver if soft else DropAndGrowDriver
    weight = hyperparameters.get("gradient_weight", 1.0)
    return kind(network, criteria, schedule, method.needs_gradient, weight)


def _gradual_and_moving(
    moment: GradualDropAndGrow, network: Network, hyperparameters: Hyperparameters, total_steps: int
) -> GradualDropAndGrowDriver:
    initial, sparsity = hyperparameters["initial_sparsity"], network.budget.sparsity
    if initial >= sparsity:
        raise MethodError(
            f"method.initial_sparsity is {initial:g}, "
            f"it must be smaller than the sparsity, which is {sparsity:g}"
        )
    pruning, moving = granet_schedules(hyperparameters, sparsity, total_steps)
    schedule = DropAndGrowSchedule.from_fractions(**moving, total_steps=total_steps)
    return GradualDropAndGrowDriver(
        network,
        GradualDriver(network, moment.prune, pruning),
        DropAndGrowDriver(network, (moment.drop, moment.grow), schedule, needs_gradient=True),
        initial,
    )


def _checked_parent(method: Method, parent: Parent | None) -> Parent:
    if parent is None:
        raise MethodError(
            f"method {method.name!r} starts from a trained dense network: "
            "give parent=Parent(trained=state_dict, rewind=state_dict)"
        )
    if (
        isinstance(method.moment, OnceAfterParent)
        and method.moment.start == "rewound"
        and parent.rewind is None
    ):
        raise MethodError(
            f"method {method.name!r} rewinds: give parent=Parent(trained=..., rewind=state_dict), with "
            "the parent's weights at the step to rewind to (its initial weights, for instance)"
        )
    return parent
