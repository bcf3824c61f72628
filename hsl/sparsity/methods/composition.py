"""What a sparse-training method is made of: criterion x moment x distributions, as plain data.

The engine reads these objects; they know nothing of it. A new method is one `Method` and one registry line.
"""

from dataclasses import dataclass
from typing import Literal

from hsl.sparsity.distributions.ranked import FROM_PARENTS, is_ratios

Decay = Literal["cosine", "constant", "stepwise"]


@dataclass(frozen=True)
class Never:
    """The mask never exists: dense training."""


@dataclass(frozen=True)
class Once:
    """One mask at the start of training, from the untrained network.

    Attributes:
        criterion: Weights that score highest are kept.
    """

    criterion: str


@dataclass(frozen=True)
class OnceAfterParent:
    """One mask from a trained dense network, the parent.

    Attributes:
        criterion: Scored on the parent's trained weights; those that score highest are kept.
        start: Whether training goes on from the parent's trained or from its rewound weights.
    """

    criterion: str
    start: Literal["trained", "rewound"]


@dataclass(frozen=True)
class Gradual:
    """Dense at first, then ever sparser along a cubic schedule.

    Attributes:
        criterion: Active weights that score lowest are removed, for good.
    """

    criterion: str


@dataclass(frozen=True)
class DropAndGrow:
    """Sparse from the start; every n steps some active weights are dropped and as many are grown.

    Attributes:
        drop: Active weights that score lowest are dropped.
        grow: Inactive weights that score highest are grown.
        decay: How the fraction that is dropped falls over the training.
        redistribute: Whether layers grow by their mean momentum rather than by what they dropped.
    """

    drop: str
    grow: str
    decay: Decay = "cosine"
    redistribute: bool = False


@dataclass(frozen=True)
class SoftDropAndGrow:
    """Drop to the target and grow beyond it, every n steps; the excess falls in steps, at last to nothing.

    Attributes:
        drop: Active weights that score lowest are dropped.
        grow: Inactive weights that score highest are grown.
    """

    drop: str
    grow: str


@dataclass(frozen=True)
class GradualDropAndGrow:
    """Ever sparser along a cubic schedule, and every n steps some weights are dropped and as many grown.

    Attributes:
        prune: Active weights that score lowest are removed.
        drop: Active weights that score lowest are dropped.
        grow: Inactive weights that score highest are grown.
    """

    prune: str
    drop: str
    grow: str


@dataclass(frozen=True)
class Alternating:
    """Dense and sparse phases in turn; the last one is sparse.

    Attributes:
        criterion: At the start of a sparse phase the weights that score highest are kept.
    """

    criterion: str


@dataclass(frozen=True)
class ForwardTop:
    """Only the highest weights are used, more than those are trained, and the others wait unchanged.

    Attributes:
        criterion: Weights that score highest are used.
    """

    criterion: str


Moment = (
    Never
    | Once
    | OnceAfterParent
    | Gradual
    | DropAndGrow
    | SoftDropAndGrow
    | GradualDropAndGrow
    | Alternating
    | ForwardTop
)


@dataclass(frozen=True)
class Hyperparameter:
    """A number that a method can be tuned by.

    Attributes:
        name: Its name in a search space, after ``method.``.
        default: The value of the source.
        low: Smallest value allowed.
        high: Largest value allowed.
        summary: What it does, in one line.
        source: Where the default comes from.
        below: Name of another hyperparameter of the method that must be larger, if there is one.
        whole: Whether it must be a whole number.
    """

    name: str
    default: float
    low: float
    high: float
    summary: str
    source: str
    below: str | None = None
    whole: bool = False


@dataclass(frozen=True)
class Method:
    """A sparse-training method as a composition.

    Attributes:
        name: Its registry name.
        summary: What it does, in one line.
        source: Paper and arXiv id.
        moment: When the mask is made and changed, and by which criteria.
        distributions: Names of the distributions it takes; the first is its default. Empty for dense.
        needs_gradient: Whether a criterion reads gradients of all prunable weights, pruned ones included.
        needs_loss: Whether the gradients of the first step are not enough, so that a loss must be given.
        iterative: Whether its parent is itself pruned, by imp with one round less, down to a dense network.
        hyperparameters: What it can be tuned by.
    """

    name: str
    summary: str
    source: str
    moment: Moment
    distributions: tuple[str, ...] = ()
    needs_gradient: bool = False
    needs_loss: bool = False
    iterative: bool = False
    hyperparameters: tuple[Hyperparameter, ...] = ()

    @property
    def needs_parent(self) -> bool:
        """Whether it needs a trained network, dense unless the method is iterative."""
        return isinstance(self.moment, OnceAfterParent) or any(d in FROM_PARENTS for d in self.distributions)

    @property
    def has_schedule(self) -> bool:
        """Whether its masks change while training, so that the number of steps must be known."""
        return not isinstance(self.moment, Never | Once | OnceAfterParent)

    @property
    def starts_sparse(self) -> bool:
        """Whether a mask of the untrained network may come before the first step."""
        return isinstance(self.moment, Once | DropAndGrow | SoftDropAndGrow | GradualDropAndGrow)

    @property
    def takes_structure(self) -> bool:
        """Whether its masks can keep N of every M weights: if one choice among all weights makes them."""
        one_choice = isinstance(self.moment, Once | OnceAfterParent | Gradual | Alternating)
        return one_choice and self.takes_densities and "synflow" not in vars(self.moment).values()

    def takes(self, distribution: str) -> bool:
        """Whether it can be combined with `distribution` (a registry name or a ``package.module:attr``)."""
        if is_ratios(distribution) or ":" not in distribution:
            return distribution in self.distributions
        return self.takes_densities

    @property
    def takes_densities(self) -> bool:
        """Whether it takes a distribution of the user's own; not if a distribution is what defines it."""
        return any(not is_ratios(name) for name in self.distributions)
