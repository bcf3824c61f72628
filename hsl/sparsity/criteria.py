"""Criteria: one score per weight, higher = kept or grown first.

A criterion is a function of one layer's `Signals` plus one line in `hsl.sparsity.methods.weight_scores`.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hsl.errors import MethodError
from hsl.sparsity.ties import Ties, shuffle_equal_


@dataclass(frozen=True)
class Signals:
    """What is known of one layer when its weights are scored.

    Attributes:
        weight: Weights, any shape.
        gradient: Gradient for all weights, pruned ones included, of what the criterion asks for: the
            loss, half its squared gradient norm (grasp), the flow (synflow), or the loss over many steps
            (momentum). None where none was computed.
        generator: CPU generator for everything random.
        mask: Boolean, True where active; None where there is no mask yet.
        ties: Which of equal weights come first; None for those with the lowest index.
    """

    weight: Tensor
    gradient: Tensor | None
    generator: torch.Generator
    mask: Tensor | None = None
    ties: Ties | None = None


def random(signals: Signals) -> Tensor:
    """A random order: uniform numbers in [0, 1)."""
    return torch.rand(signals.weight.shape, generator=signals.generator).to(signals.weight.device)


def magnitude(signals: Signals) -> Tensor:
    """Absolute value of the weight."""
    return _precise(signals.weight.detach()).abs()


def gradient(signals: Signals) -> Tensor:
    """Absolute value of the gradient (Evci et al. 2020, arXiv:1911.11134)."""
    return _precise(_gradient(signals)).abs()


def snip(signals: Signals) -> Tensor:
    """|w * gradient|: how much the loss changes without a weight (Lee et al. 2019, arXiv:1810.02340)."""
    return (_precise(signals.weight.detach()) * _precise(_gradient(signals))).abs()


def grasp(signals: Signals) -> Tensor:
    """W * (H g): how much less gradient flows without a weight (Wang et al. 2020, arXiv:2002.07376).

    The paper removes the largest -w * (H g); the gradient given is H g.
    """
    return _precise(signals.weight.detach()) * _precise(_gradient(signals))


def synflow(signals: Signals) -> Tensor:
    """|w * dR/dw| in double precision (Tanaka et al. 2020, arXiv:2006.05467); the gradient given is dR/dw."""
    return (signals.weight.detach().double() * _gradient(signals).double()).abs()


def momentum(signals: Signals) -> Tensor:
    """Absolute running mean of the gradient (Dettmers and Zettlemoyer 2019, arXiv:1907.04840)."""
    return gradient(signals)


def magnitude_and_gradient(signals: Signals) -> Tensor:
    """|w| + |gradient|, where the gradient comes with its weight (Yuan et al. 2021, arXiv:2110.14032)."""
    return magnitude(signals) + gradient(signals)


def signed_magnitude(signals: Signals) -> Tensor:
    """Rank of an active weight among those of its sign, over their number, by distance from zero.

    So the lowest n are the smallest positive and the largest negative weights, in proportion to how many
    there are of each (Mocanu et al. 2018, arXiv:1707.04780). Zeros count as positive; inactive weights
    score 2.
    """
    weight = _precise(signals.weight.detach())
    scores = torch.full_like(weight, 2.0, memory_format=torch.contiguous_format).flatten()
    mask = torch.ones_like(weight, dtype=torch.bool) if signals.mask is None else signals.mask
    active = mask.flatten().nonzero().flatten()
    values = weight.flatten()[active]
    distances, order = values.abs().sort(stable=True)
    if signals.ties:
        shuffle_equal_(order, distances, signals.ties)
    for group in (values[order] >= 0, values[order] < 0):
        members = active[order[group]]
        ranks = torch.arange(len(members), device=weight.device, dtype=scores.dtype) + 0.5
        scores[members] = ranks / max(1, len(members))
    return scores.view(weight.shape)


def _precise(values: Tensor) -> Tensor:
    """In float32, or in double precision as given: half precision would overflow in products."""
    return values if values.dtype == torch.float64 else values.float()


def _gradient(signals: Signals) -> Tensor:
    if signals.gradient is None:
        raise MethodError("this criterion reads gradients, and none was given; run a backward pass first")
    return signals.gradient.detach()


Criterion = Callable[[Signals], Tensor]
