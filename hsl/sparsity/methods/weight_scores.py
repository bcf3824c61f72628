"""The registry of criteria by which weights are kept, dropped and grown. Torch-free."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hsl.registry import Entry, Registry


@dataclass(frozen=True)
class CriterionFacts:
    """What a criterion reads.

    Attributes:
        gradients: Reference to what computes the gradients that it reads before training:
            (network, loss, hyperparameters) -> layer name to gradient. None where it reads none then.
        passes: Forward-backward passes of a batch that these cost.
        in_rounds: Whether it scores and prunes in many rounds, on the flow through the network, without data.
        reads_inactive: Whether it reads gradients of inactive weights while training, which costs a dense
            gradient.
    """

    gradients: str | None = None
    passes: float = 0.0
    in_rounds: bool = False
    reads_inactive: bool = False


def _criterion(name: str, **facts: Any) -> Entry[CriterionFacts]:
    return Entry(f"hsl.sparsity.criteria:{name}", CriterionFacts(**facts))


CRITERIA: Registry[Callable[..., Any], CriterionFacts] = Registry(
    "criterion",
    {
        "random": "hsl.sparsity.criteria:random",
        "magnitude": "hsl.sparsity.criteria:magnitude",
        "signed_magnitude": "hsl.sparsity.criteria:signed_magnitude",
        "gradient": _criterion("gradient", reads_inactive=True),
        "magnitude_and_gradient": "hsl.sparsity.criteria:magnitude_and_gradient",
        "momentum": _criterion("momentum", reads_inactive=True),
        "snip": _criterion("snip", gradients="hsl.sparsity.saliency:loss_gradients", passes=1.0),
        "grasp": _criterion("grasp", gradients="hsl.sparsity.saliency:hessian_gradients", passes=2.0),
        "synflow": _criterion("synflow", in_rounds=True),
    },
    CriterionFacts(),
)
"""(signals: `hsl.sparsity.criteria.Signals`) -> one score per weight, higher = kept or grown first."""
