"""What a sparse-training method is made of: criterion x moment x distributions, as plain data.

The engine reads these objects; they know nothing of it. A new method is one `Method` and one registry line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
    """

    drop: str
    grow: str


Moment = Never | Once | OnceAfterParent | Gradual | DropAndGrow


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
    """

    name: str
    default: float
    low: float
    high: float
    summary: str
    source: str
    below: str | None = None


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
        hyperparameters: What it can be tuned by.
    """

    name: str
    summary: str
    source: str
    moment: Moment
    distributions: tuple[str, ...] = ()
    needs_gradient: bool = False
    hyperparameters: tuple[Hyperparameter, ...] = ()

    @property
    def needs_parent(self) -> bool:
        """Whether it starts from a trained dense network."""
        return isinstance(self.moment, OnceAfterParent)

    def takes(self, distribution: str) -> bool:
        """Whether it can be combined with `distribution` (a registry name or a ``package.module:attr``)."""
        return distribution in self.distributions or (":" in distribution and bool(self.distributions))
