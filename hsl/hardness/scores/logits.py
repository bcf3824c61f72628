"""Difficulty of each sample, from the logits of a model. Higher = harder in every score.

Every score takes logits, floating point [N, C], and labels, int64 [N] in [0, C), and returns [N] in the `dtype`
in which it computes. It raises `DataError` if shapes disagree or a logit is not finite. The logits are those of
the model in eval mode on un-augmented images; train-mode, augmented passes give other scores.

In float64 samples that are learnt by different margins have different scores, up to 36 nats. In float32, which is
that of version 0.1.0, everything beyond 16 is equal: half of the samples after a long training.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hsl.errors import DataError
from hsl.hardness import keyed


def el2n(logits: Tensor, labels: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Error norm: Euclidean distance of the softmax to the one-hot label.

    In [0, sqrt(2)]. Paul, Ganguli & Dziugaite, Deep Learning on a Data Diet, NeurIPS 2021, arXiv 2107.07075.
    """
    check_rows(logits, labels)
    probabilities = functional.softmax(logits.to(dtype), dim=1)
    return torch.linalg.vector_norm(probabilities - functional.one_hot(labels, logits.shape[1]), dim=1)


def el2n_squared(logits: Tensor, labels: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Squared error norm, which is the Brier score: what the code of Xiao et al. ranks by.

    In [0, 2]. Of one model it ranks as `el2n` does; averaged over models it weighs their large errors more.
    Xiao et al., Are Sparse Neural Networks Better Hard Sample Learners?, BMVC 2024, arXiv 2409.09196, take
    one model, fully trained: ``keep: {by: el2n_squared, models: 1, epoch: 1.0}``.
    """
    return el2n(logits, labels, dtype=dtype).square()


def loss(logits: Tensor, labels: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Cross-entropy of each sample."""
    check_rows(logits, labels)
    return functional.cross_entropy(logits.to(dtype), labels, reduction="none")


def margin(logits: Tensor, labels: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Probability of the likeliest wrong class less that of the right one; positive where the model is wrong.

    In [-1, 1]; takes at least two classes.
    """
    check_rows(logits, labels, least=2)
    probabilities = functional.softmax(logits.to(dtype), dim=1)
    right = functional.one_hot(labels, logits.shape[1]).bool()
    return probabilities.masked_fill(right, 0).amax(dim=1) - probabilities[right]


def entropy(logits: Tensor, labels: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Entropy of the prediction, in nats: how undecided the model is, whether it is right or not.

    In [0, log(C)]; of the labels only the number is read.
    """
    check_rows(logits, labels)
    logarithms = functional.log_softmax(logits.to(dtype), dim=1)
    return -(logarithms.exp() * logarithms).sum(dim=1)


def confidence(logits: Tensor, labels: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """One minus the probability of the predicted class, whether the prediction is right or not.

    In [0, 1 - 1/C]; of the labels only the number is read.
    """
    check_rows(logits, labels)
    return 1 - functional.softmax(logits.to(dtype), dim=1).amax(dim=1)


def random(logits: Tensor, labels: Tensor, *, ids: Tensor | None = None, key: int = 0) -> Tensor:
    """The control: a difficulty that knows nothing of the sample.

    Uniform float32 in [0, 1). Drawn from the stream `key` by sample id, int64 [N]; without `ids` by 0..N-1. Of logits
    and labels only the number is read.
    """
    return keyed.uniform(key, torch.arange(len(labels), device=labels.device) if ids is None else ids)


def mean_over_models(scores: Sequence[Tensor]) -> Tensor:
    """Mean difficulty over several scoring models; far more repeatable than the score of one.

    Args:
        scores: K tensors [N] of one floating point type, samples in the same order.

    Returns:
        [N], of that type.

    Raises:
        DataError: If there is no score or one is not finite.
    """
    if not len(scores):
        raise DataError("no scores to average; score with at least one model")
    mean = torch.stack([score.double() for score in scores]).mean(dim=0).to(scores[0].dtype)
    check_finite(mean, "a difficulty score")
    return mean


def check_rows(rows: Tensor, labels: Tensor, what: str = "logit", *, size: str = "C", least: int = 1) -> None:
    """Refuse rows that are not finite, or not one for each label.

    Args:
        rows: Expected to be floating point [N, C].
        labels: Expected to be int64 [N].
        what: Name of one value of a row, for the message.
        size: Name of the length of a row, for the message.
        least: Least length of a row, where it is the number of classes.

    Raises:
        DataError: If shapes disagree, there are too few classes, or a value is not finite.
    """
    if rows.ndim != 2 or labels.shape != rows.shape[:1]:
        shapes = f"{list(rows.shape)} and {list(labels.shape)}"
        raise DataError(f"{what}s and labels have shapes {shapes}; give {what}s [N, {size}] and labels [N]")
    if rows.shape[1] < least:
        raise DataError(
            f"a margin needs at least {least} classes, there are {rows.shape[1]}; choose another score"
        )
    check_finite(rows, f"a {what}")


def check_finite(values: Tensor, what: str) -> None:
    """Refuse values, of any shape, that a diverged model leaves behind.

    Args:
        values: Floating point.
        what: Description of one of them, for the message.

    Raises:
        DataError: If one is not finite.
    """
    if not bool(torch.isfinite(values).all()):
        bad = int((~torch.isfinite(values)).sum())
        raise DataError(
            f"{what} is not finite ({bad} of {values.numel()}); the scoring model has diverged, lower its lr"
        )
