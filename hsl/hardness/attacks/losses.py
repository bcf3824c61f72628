"""Losses of adversarial training on the logits of clean and attacked images.

A loss takes logits of the clean and of the attacked images, floating point [B, C], labels, int64 [B], and
`beta`, the weight of the divergence, at least 0. It returns the mean over the images, float32 [], and raises
`DataError` if shapes disagree.
"""

import torch
from torch import Tensor
from torch.nn import functional

from hsl.errors import DataError


def trades_loss(clean: Tensor, attacked: Tensor, labels: Tensor, beta: float = 6.0) -> Tensor:
    """Cross-entropy of the clean images plus `beta` times the divergence of the attacked from the clean ones.

    Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019, arXiv
    1901.08573.
    """
    _check(clean, attacked, labels)
    return functional.cross_entropy(clean.float(), labels) + beta * divergence(clean, attacked).mean()


def mart_loss(clean: Tensor, attacked: Tensor, labels: Tensor, beta: float = 5.0) -> Tensor:
    """Boosted cross-entropy of the attacked images plus a divergence weighted by how wrong the model is.

    The first part adds to the cross-entropy -log(1.0001 - p) of the likeliest wrong class; the second weights
    the divergence of each image by 1 - p of its right class on the clean image. Takes at least two classes.
    Wang et al., Improving Adversarial Robustness Requires Revisiting Misclassified Examples, ICLR 2020.
    """
    _check(clean, attacked, labels)
    right = functional.one_hot(labels, clean.shape[1]).bool()
    likeliest_wrong = functional.softmax(attacked.float(), dim=1).masked_fill(right, 0.0).amax(dim=1)
    boosted = functional.cross_entropy(attacked.float(), labels) - torch.log(1.0001 - likeliest_wrong).mean()
    doubt = 1 - functional.softmax(clean.float(), dim=1)[right]
    return boosted + beta * (divergence(clean, attacked) * doubt).mean()


def divergence(clean: Tensor, attacked: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the attacked image's prediction from the clean one's, in nats.

    Takes logits, floating point [B, C] twice; returns float32 [B], at least 0 up to rounding.
    """
    expected, found = (functional.log_softmax(logits.float(), dim=1) for logits in (clean, attacked))
    return (expected.exp() * (expected - found)).sum(dim=1)


def _check(clean: Tensor, attacked: Tensor, labels: Tensor) -> None:
    if clean.ndim != 2 or clean.shape != attacked.shape or labels.shape != clean.shape[:1]:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in (clean, attacked, labels))
        raise DataError(
            f"clean and attacked logits and labels have shapes {shapes}; give [B, C] twice and [B]"
        )
