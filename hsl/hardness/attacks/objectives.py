"""What attacks make large: functions of the logits, summed over the images."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from hsl.hardness.attacks.losses import divergence

Objective = Callable[[Tensor, Tensor], Tensor]
"""(logits float32 [B, classes], labels int64 [B] or other targets) -> what the attack makes large, summed
over the images."""


ROUNDED = 10.0
"""Nats by which a model is sure when float32 holds the distance of its probability from 1 to a thousandth; beyond 17
it is 0."""

VANISHED = 60.0
"""Nats by which a model is sure when the gradient of its cross-entropy begins to vanish from float32.

Less sure networks are trained as by version 0.1.0, to the bit; surer ones are those that have diverged.
"""


def cross_entropy(sure: float, bn_mode: str) -> Objective:
    """Cross-entropy; of images of which the model is sure by more than so many nats, the odds of an error.

    With log((1 - p) / p) in place of -log p the gradient of an image is divided by 1 - p, which no step reads. Where
    the batch normalises, an image moves the losses of others, so that there the weights must stay as they are.
    """
    if bn_mode == "train":
        return _plain

    def or_odds(logits: Tensor, labels: Tensor) -> Tensor:
        losses = functional.cross_entropy(logits, labels, reduction="none")
        right, own = _right(logits, labels)
        odds = logits.masked_fill(right, -torch.inf).logsumexp(dim=1) - own
        return torch.where(odds < -sure, odds, losses).sum()

    return or_odds


def _plain(logits: Tensor, labels: Tensor) -> Tensor:
    return functional.cross_entropy(logits, labels, reduction="sum")


def lead(logits: Tensor, labels: Tensor) -> Tensor:
    """The largest logit of a wrong class less that of the right one; int64 labels [B]."""
    right, own = _right(logits, labels)
    return (logits.masked_fill(right, -torch.inf).amax(dim=1) - own).sum()


def distance(logits: Tensor, clean: Tensor) -> Tensor:
    """Divergence from the prediction for the clean images, whose logits are `clean`, float32 [B, classes]."""
    return divergence(clean, logits).sum()


def _right(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Which logits are those of the labels, bool [B, classes], and these, [B]; the host waits for nothing."""
    places = labels.view(-1, 1)
    right = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, places, value=True)
    return right, logits.gather(1, places).squeeze(1)
