"""Distributions that no formula gives: scores of weights decide. Torch-free.

`global` and `halves` rank the scores of several layers together; `from:METHOD` takes the densities that
another method's ranking over the whole network gives. Before there are scores only sums are known, so the
functions here return estimates, the same density for all layers that are ranked together; they serve for cost
and to see what is feasible. Arguments are those of the formulas.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum

from hsl.sparsity.distributions.formulas import Shapes, uniform

GLOBAL, FROM = "global", "from:"

Groups = dict[str, tuple[str, ...]]
"""Name of a group -> layers that are ranked together."""


class Family(StrEnum):
    """How a distribution comes about; a method takes whole families.

    A formula gives densities by itself. Ranked ones follow from the scores of the weights of several layers. Others
    are the densities that another method's scores give: of the untrained network, or of a trained parent.
    """

    FORMULA = "formula"
    RANKED = "ranked"
    FROM_SCORES = "from scores"
    FROM_PARENT = "from a parent"


def each_alone(names: Sequence[str]) -> Groups:
    """Every layer is ranked by itself."""
    return {name: (name,) for name in names}


def all_together(names: Sequence[str]) -> Groups:
    """One ranking over all layers."""
    return {"all": tuple(names)}


@dataclass(frozen=True)
class DistributionFacts:
    """How a distribution comes about.

    Attributes:
        family: Which methods take it.
        groups: Layer names, in the order of the network -> layers that are ranked together.
    """

    family: Family = Family.FORMULA
    groups: Callable[[Sequence[str]], Groups] = each_alone


def is_ratios(distribution: object) -> bool:
    """Whether a distribution is the layer densities of another method."""
    return isinstance(distribution, str) and distribution.startswith(FROM)


def global_(shapes: Shapes, sparsity: float, *, keep_dense: Collection[str] = ()) -> dict[str, float]:
    """One ranking over all layers: the split follows from the scores of the weights."""
    return uniform(shapes, sparsity, keep_dense=keep_dense)


def halves(shapes: Shapes, sparsity: float, *, keep_dense: Collection[str] = ()) -> dict[str, float]:
    """One ranking over the shallow half of the layers and one over the deep half, each of the same sparsity.

    Of an odd number of layers the middle one counts as shallow; dense layers are made up for in their half.
    """
    if len(shapes) < 2:
        return uniform(shapes, sparsity, keep_dense=keep_dense)
    found: dict[str, float] = {}
    for names in half_groups(list(shapes)).values():
        half = {name: shapes[name] for name in names}
        found |= uniform(half, sparsity, keep_dense=[name for name in keep_dense if name in half])
    return found


def from_ratios(shapes: Shapes, sparsity: float, *, keep_dense: Collection[str] = ()) -> dict[str, float]:
    """The layer densities that another method's scores give, ranked over the whole network before training."""
    return uniform(shapes, sparsity, keep_dense=keep_dense)


def half_groups(names: Sequence[str]) -> Groups:
    """The shallow and the deep half of layers given in order; of an odd number the shallow one has more."""
    middle = (len(names) + 1) // 2
    groups = {"shallow": tuple(names[:middle]), "deep": tuple(names[middle:])}
    return {group: members for group, members in groups.items() if members}
