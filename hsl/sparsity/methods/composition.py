"""What a sparse-training method is made of: criterion x moment x distributions, as plain data.

The engine reads these objects; they know nothing of it. A new method is one `Method` and one registry line.
"""

from dataclasses import dataclass
from functools import cached_property

from hsl.sparsity.distributions.allocate import DISTRIBUTIONS
from hsl.sparsity.distributions.ranked import Family, is_ratios
from hsl.sparsity.methods.moments import Moment
from hsl.sparsity.methods.weight_scores import Init


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
        families: Families of distributions, or names of single ones, that it takes. Empty for dense.
        default: The distribution that it has where none is asked for; the first that it takes if None.
        needs_gradient: Whether a criterion reads gradients of all prunable weights, pruned ones included.
        needs_loss: Whether the gradients of the first step are not enough, so that a loss must be given.
        iterative: Whether its parent is itself pruned, by imp with one round less, down to a dense network.
        hyperparameters: What it can be tuned by.
    """

    name: str
    summary: str
    source: str
    moment: Moment
    families: tuple[Family | str, ...] = ()
    default: str | None = None
    needs_gradient: bool = False
    needs_loss: bool = False
    iterative: bool = False
    hyperparameters: tuple[Hyperparameter, ...] = ()

    @cached_property
    def distributions(self) -> tuple[str, ...]:
        """Names of the distributions of the registry that it takes, its default first."""
        taken = [
            name
            for name in DISTRIBUTIONS
            if name in self.families or DISTRIBUTIONS.facts(name).family in self.families
        ]
        return tuple(sorted(taken, key=lambda name: name != self.default))

    @cached_property
    def needs_parent(self) -> bool:
        """Whether it needs a trained network, dense unless the method is iterative."""
        families = {DISTRIBUTIONS.facts(name).family for name in self.distributions}
        return self.moment.needs_parent or Family.FROM_PARENT in families

    @property
    def has_schedule(self) -> bool:
        """Whether its masks change while training, so that the number of steps must be known."""
        return self.moment.has_schedule

    @property
    def starts_sparse(self) -> bool:
        """Whether a mask of the untrained network may come before the first step."""
        return self.moment.starts_sparse

    @property
    def init(self) -> Init:
        """How initial weights are scaled for the first mask, where nothing else is asked for."""
        return self.moment.init

    @property
    def takes_structure(self) -> bool:
        """Whether its masks can keep N of every M weights: if one choice among all weights makes them."""
        return self.moment.is_one_choice and self.takes_densities

    def takes(self, distribution: str) -> bool:
        """Whether it can be combined with `distribution` (a registry name or a ``package.module:attr``)."""
        if distribution in DISTRIBUTIONS or is_ratios(distribution) or ":" not in distribution:
            return distribution in self.distributions
        return DISTRIBUTIONS.facts(distribution).family in self.families

    @property
    def takes_densities(self) -> bool:
        """Whether it takes densities by layer; not if a distribution is what defines it."""
        return Family.FORMULA in self.families
