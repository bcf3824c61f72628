"""The registry of criteria by which weights are kept, dropped and grown. Torch-free."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hsl.registry import Entry, Registry

Init = Literal["sparse", "energy", "signal", "dense"]
"""How initial weights of networks that are sparse from the start are scaled for the first mask.

``sparse`` by sqrt(fan-in / live fan-in) of each unit, ``energy`` to the norm of each unit's dense weights, ``signal``
to the size of each layer's dense output on the batch of a loss, ``dense`` not at all.
"""


@dataclass(frozen=True)
class CriterionFacts:
    """What a criterion reads, and how a network is best initialised whose first mask it makes.

    Attributes:
        gradients: Reference to what computes the gradients that it reads before training:
            (network, loss, hyperparameters) -> layer name to gradient. None where it reads none then.
        passes: Forward-backward passes of a batch that these cost.
        in_rounds: Whether it scores and prunes in many rounds, on the flow through the network, without data.
        reads_inactive: Whether it reads gradients of inactive weights while training, which costs a dense
            gradient.
        init: How initial weights are scaled for a first mask by it, where nothing else is asked for.
    """

    gradients: str | None = None
    passes: float = 0.0
    in_rounds: bool = False
    reads_inactive: bool = False
    init: Init = "dense"


def _criterion(name: str, **facts: Any) -> Entry[CriterionFacts]:
    return Entry(f"hsl.sparsity.criteria:{name}", CriterionFacts(**facts))


CRITERIA: Registry[Callable[..., Any], CriterionFacts] = Registry(
    "criterion",
    {
        "random": _criterion("random", init="sparse"),
        "magnitude": "hsl.sparsity.criteria:magnitude",
        "signed_magnitude": "hsl.sparsity.criteria:signed_magnitude",
        "gradient": _criterion("gradient", reads_inactive=True),
        "magnitude_and_gradient": "hsl.sparsity.criteria:magnitude_and_gradient",
        "momentum": _criterion("momentum", reads_inactive=True),
        "snip": _criterion(
            "snip", gradients="hsl.sparsity.saliency:loss_gradients", passes=1.0, init="signal"
        ),
        "grasp": _criterion(
            "grasp", gradients="hsl.sparsity.saliency:hessian_gradients", passes=2.0, init="signal"
        ),
        "synflow": _criterion("synflow", in_rounds=True, init="signal"),
    },
    CriterionFacts(),
)
"""(signals: `hsl.sparsity.criteria.Signals`) -> one score per weight, higher = kept or grown first."""
