"""When masks are made and changed: one class per moment, with all that is known of it. Torch-free until built."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from hsl.registry import imported
from hsl.sparsity.methods.weight_scores import CRITERIA, Init
from hsl.sparsity.schedules import AlternatingSchedule, DropAndGrowSchedule

if TYPE_CHECKING:
    from hsl.sparsity.drivers.base import Driver
    from hsl.sparsity.network import Start

Decay = Literal["cosine", "constant", "stepwise"]
Values = Mapping[str, float]


class Moment:
    """The base of every moment; one of your own overrides what differs.

    Every method is imported whenever names are listed or a space is read, so its moment must not import torch:
    keep the driver (a `hsl.sparsity.drivers.base.Driver`) in a module of its own and name it in `driver`, as the
    moments here do. A moment from outside may have its driver next to it and override `build`; then every command
    that reads a space with it waits for torch.

    Attributes:
        driver: Reference to what `build` calls with the moment and with what there is to start from.
        is_masked: Whether there are masks at all.
        needs_parent: Whether it starts from a trained network.
        has_schedule: Whether masks change while training, so that the number of steps must be known.
        starts_sparse: Whether a mask of the untrained network may come before the first step.
    """

    driver: ClassVar[str] = "hsl.sparsity.drivers.base:no_driver"
    is_masked: ClassVar[bool] = True
    needs_parent: ClassVar[bool] = False
    has_schedule: ClassVar[bool] = True
    starts_sparse: ClassVar[bool] = False

    @property
    def is_one_choice(self) -> bool:
        """Whether each mask is one choice among all weights, so that it can keep N of every M."""
        return False

    @property
    def init(self) -> Init:
        """How initial weights are scaled by default: as of a first mask at random, if there is any."""
        return CRITERIA.facts("random").init

    def build(self, start: Start) -> Driver:
        """The driver that makes and changes the masks, not started yet.

        Raises:
            MethodError: If it lacks something that it needs.
        """
        make: Callable[[Moment, Start], Driver] = imported(self.driver, "driver")
        return make(self, start)

    def scoring_passes(self, values: Values, batch_size: int) -> float:
        """Dense steps on a batch that scores before the training cost.

        Args:
            values: Hyperparameters of the method, all of them.
            batch_size: Samples of a training step.
        """
        return 0.0

    def dense_gradient_steps(self, values: Values, total_steps: int, first: int, last: int) -> int:
        """How many of the steps from `first` on, to before `last`, compute gradients of inactive weights."""
        return 0

    def trained_density(self, values: Values, density: float) -> float:
        """Fraction of the weights of a layer that are trained where `density` are used."""
        return density


class _OneChoice(Moment):
    @property
    def is_one_choice(self) -> bool:
        """See `Moment`."""
        return True


@dataclass(frozen=True)
class Never(Moment):
    """The mask never exists: dense training."""

    is_masked = False
    has_schedule = False


@dataclass(frozen=True)
class Once(Moment):
    """One mask at the start of training, from the untrained network.

    Attributes:
        criterion: Weights that score highest are kept.
    """

    driver = "hsl.sparsity.drivers.once:of_untrained"

    criterion: str

    has_schedule = False
    starts_sparse = True

    @property
    def is_one_choice(self) -> bool:
        """Unless it prunes in rounds."""
        return not CRITERIA.facts(self.criterion).in_rounds

    @property
    def init(self) -> Init:
        """As is best for masks by its criterion."""
        return CRITERIA.facts(self.criterion).init

    def scoring_passes(self, values: Values, batch_size: int) -> float:
        """Of rounds each is one sample."""
        facts = CRITERIA.facts(self.criterion)
        return values["rounds"] / batch_size if facts.in_rounds else facts.passes


@dataclass(frozen=True)
class OnceAfterParent(_OneChoice):
    """One mask from a trained dense network, the parent.

    Attributes:
        criterion: Scored on the parent's trained weights; those that score highest are kept.
        start: Whether training goes on from the parent's trained or from its rewound weights.
    """

    driver = "hsl.sparsity.drivers.once:of_parent"

    criterion: str
    start: Literal["trained", "rewound"]

    needs_parent = True
    has_schedule = False


@dataclass(frozen=True)
class Gradual(_OneChoice):
    """Dense at first, then ever sparser along a cubic schedule.

    Attributes:
        criterion: Active weights that score lowest are removed, for good.
    """

    driver = "hsl.sparsity.drivers.gradual:gradual"

    criterion: str


@dataclass(frozen=True)
class DropAndGrow(Moment):
    """Sparse from the start; every n steps some active weights are dropped and as many are grown.

    Attributes:
        drop: Active weights that score lowest are dropped.
        grow: Inactive weights that score highest are grown.
        decay: How the fraction that is dropped falls over the training.
        redistribute: Whether layers grow by their mean momentum rather than by what they dropped.
    """

    driver = "hsl.sparsity.drivers.drop_and_grow:moving"

    drop: str
    grow: str
    decay: Decay = "cosine"
    redistribute: bool = False

    starts_sparse = True

    def dense_gradient_steps(self, values: Values, total_steps: int, first: int, last: int) -> int:
        """At every step for a running mean, else where weights are grown by them."""
        if self.redistribute:
            return last - first
        return _updates(self.grow, self.schedule(values, total_steps), first, last)

    def schedule(self, values: Values, total_steps: int) -> DropAndGrowSchedule:
        """When non-zeros move, and how many; `values` are those of the method."""
        return DropAndGrowSchedule.from_fractions(
            values["drop_fraction"], values["interval"], values["until"], total_steps, decay=self.decay
        )


@dataclass(frozen=True)
class SoftDropAndGrow(Moment):
    """Drop to the target and grow beyond it, every n steps; the excess falls in steps, at last to nothing.

    Attributes:
        drop: Active weights that score lowest are dropped.
        grow: Inactive weights that score highest are grown.
    """

    driver = "hsl.sparsity.drivers.drop_and_grow:moving_softly"

    drop: str
    grow: str

    starts_sparse = True


@dataclass(frozen=True)
class GradualDropAndGrow(Moment):
    """Ever sparser along a cubic schedule, and every n steps some weights are dropped and as many grown.

    Attributes:
        prune: Active weights that score lowest are removed.
        drop: Active weights that score lowest are dropped.
        grow: Inactive weights that score highest are grown.
    """

    driver = "hsl.sparsity.drivers.gradual:gradual_and_moving"

    prune: str
    drop: str
    grow: str

    starts_sparse = True

    def dense_gradient_steps(self, values: Values, total_steps: int, first: int, last: int) -> int:
        """Where weights are grown by them."""
        schedule = DropAndGrowSchedule.from_fractions(
            values["drop_fraction"], values["interval"], 1.0, total_steps
        )
        return _updates(self.grow, schedule, first, last)


@dataclass(frozen=True)
class Alternating(_OneChoice):
    """Dense and sparse phases in turn; the last one is sparse.

    Attributes:
        criterion: At the start of a sparse phase the weights that score highest are kept.
    """

    driver = "hsl.sparsity.drivers.gradual:alternating"

    criterion: str

    def dense_gradient_steps(self, values: Values, total_steps: int, first: int, last: int) -> int:
        """The step at which a dense phase begins: its forward pass was sparse, and it trains all weights."""
        schedule = AlternatingSchedule.from_fractions(
            values["start"], values["end"], values["interval"], total_steps
        )
        return sum(schedule.change_after(step) == "dense" for step in range(first, last))


@dataclass(frozen=True)
class ForwardTop(Moment):
    """Only the highest weights are used, more than those are trained, and the others wait unchanged.

    Attributes:
        criterion: Weights that score highest are used.
    """

    driver = "hsl.sparsity.drivers.top:forward_top"

    criterion: str

    def trained_density(self, values: Values, density: float) -> float:
        """Those that explore as well."""
        return min(1.0, (1.0 + values["exploration"]) * density)


def _updates(grow: str, schedule: DropAndGrowSchedule, first: int, last: int) -> int:
    """How many of some steps move non-zeros by the gradients of inactive weights."""
    if not CRITERIA.facts(grow).reads_inactive:
        return 0
    return sum(schedule.updates_at(step) for step in range(first, last))
