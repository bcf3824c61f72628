"""Criteria: one score per weight, higher = kept or grown first.

A criterion is a function of one layer's `Signals` plus one registry line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from hsl.errors import MethodError
from hsl.registry import Registry


@dataclass(frozen=True)
class Signals:
    """What is known of one layer when its weights are scored.

    Attributes:
        weight: Weights, any shape.
        gradient: Gradient of the loss for all weights, pruned ones included; None where none was computed.
        generator: CPU generator for everything random.
    """

    weight: Tensor
    gradient: Tensor | None
    generator: torch.Generator


def random(signals: Signals) -> Tensor:
    """A random order: uniform numbers in [0, 1)."""
    return torch.rand(signals.weight.shape, generator=signals.generator).to(signals.weight.device)


def magnitude(signals: Signals) -> Tensor:
    """Absolute value of the weight."""
    return signals.weight.detach().float().abs()


def gradient(signals: Signals) -> Tensor:
    """Absolute value of the gradient (Evci et al. 2020, arXiv:1911.11134)."""
    return _gradient(signals).float().abs()


def snip(signals: Signals) -> Tensor:
    """|w * gradient|: how much the loss changes without a weight (Lee et al. 2019, arXiv:1810.02340)."""
    return (signals.weight.detach().float() * _gradient(signals).float()).abs()


def _gradient(signals: Signals) -> Tensor:
    if signals.gradient is None:
        raise MethodError("this criterion reads gradients, and none was given; run a backward pass first")
    return signals.gradient.detach()


Criterion = Callable[[Signals], Tensor]

CRITERIA: Registry[Criterion] = Registry(
    "criterion", {"random": random, "magnitude": magnitude, "gradient": gradient, "snip": snip}
)
