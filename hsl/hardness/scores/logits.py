"""How hard each sample is, from the logits of a model. Higher = harder in every score.

Logits come from the model in eval mode on un-augmented images; scores of train-mode, augmented passes are
others.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from hsl.errors import DataError
from hsl.hardness import keyed


def el2n(logits: Tensor, labels: Tensor) -> Tensor:
    """Error norm: Euclidean distance of the softmax to the one-hot label.

    Args:
        logits: Floating point [N, C].
        labels: int64 [N] in [0, C).

    Returns:
        float32 [N] in [0, sqrt(2)].

    Raises:
        DataError: If shapes disagree or a logit is not finite.

    Paul, Ganguli & Dziugaite, Deep Learning on a Data Diet, NeurIPS 2021, arXiv 2107.07075.
    """
    check_logits(logits, labels)
    probabilities = functional.softmax(logits.float(), dim=1)
    return torch.linalg.vector_norm(probabilities - functional.one_hot(labels, logits.shape[1]), dim=1)


def el2n_squared(logits: Tensor, labels: Tensor) -> Tensor:
    """Squared error norm, which is the Brier score: what the code of Xiao et al. ranks by.

    Of one model it ranks as `el2n` does; averaged over models it weighs their large errors more. Their
    setting is one model, fully trained: ``keep: {by: el2n_squared, models: 1, epoch: 1.0}``.

    Args:
        logits: Floating point [N, C].
        labels: int64 [N] in [0, C).

    Returns:
        float32 [N] in [0, 2].

    Raises:
        DataError: If shapes disagree or a logit is not finite.

    Xiao et al., Are Sparse Neural Networks Better Hard Sample Learners?, BMVC 2024, arXiv 2409.09196.
    """
    return el2n(logits, labels).square()


def loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of each sample.

    Args:
        logits: Floating point [N, C].
        labels: int64 [N] in [0, C).

    Returns:
        float32 [N], at least 0.

    Raises:
        DataError: If shapes disagree or a logit is not finite.
    """
    check_logits(logits, labels)
    return functional.cross_entropy(logits.float(), labels, reduction="none")


def margin(logits: Tensor, labels: Tensor) -> Tensor:
    """Probability of the likeliest wrong class less that of the right one; positive where the model is wrong.

    Args:
        logits: Floating point [N, C], C at least 2.
        labels: int64 [N] in [0, C).

    Returns:
        float32 [N] in [-1, 1].

    Raises:
        DataError: If shapes disagree, there is one class alone, or a logit is not finite.
    """
    check_logits(logits, labels)
    if logits.shape[1] < 2:
        raise DataError(
            f"a margin needs at least 2 classes, there are {logits.shape[1]}; choose another score"
        )
    probabilities = functional.softmax(logits.float(), dim=1)
    right = functional.one_hot(labels, logits.shape[1]).bool()
    return probabilities.masked_fill(right, 0).amax(dim=1) - probabilities[right]


def entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Entropy of the prediction, in nats: how undecided the model is, whether it is right or not.

    Args:
        logits: Floating point [N, C].
        labels: int64 [N], not read but for its length.

    Returns:
        float32 [N] in [0, log(C)].

    Raises:
        DataError: If shapes disagree or a logit is not finite.
    """
    check_logits(logits, labels)
    logarithms = functional.log_softmax(logits.float(), dim=1)
    return -(logarithms.exp() * logarithms).sum(dim=1)


def confidence(logits: Tensor, labels: Tensor) -> Tensor:
    """What the probability of the predicted class lacks to 1, whether the prediction is right or not.

    Args:
        logits: Floating point [N, C].
        labels: int64 [N], not read but for its length.

    Returns:
        float32 [N] in [0, 1 - 1/C].

    Raises:
        DataError: If shapes disagree or a logit is not finite.
    """
    check_logits(logits, labels)
    return 1 - functional.softmax(logits.float(), dim=1).amax(dim=1)


def random(logits: Tensor, labels: Tensor, *, ids: Tensor | None = None, key: int = 0) -> Tensor:
    """The control: a difficulty that knows nothing of the sample.

    Args:
        logits: [N, C], not read.
        labels: int64 [N], not read.
        ids: Sample ids, int64 [N]; 0..N-1 if not given.
        key: Stream of the draws.

    Returns:
        float32 [N], uniform in [0, 1).
    """
    return keyed.uniform(key, torch.arange(len(labels), device=labels.device) if ids is None else ids)


def mean_over_models(scores: Sequence[Tensor]) -> Tensor:
    """Mean difficulty over several scoring models; far more repeatable than the score of one.

    Args:
        scores: K tensors float32 [N], samples in the same order.

    Returns:
        float32 [N].

    Raises:
        DataError: If there is no score or one is not finite.
    """
    if not len(scores):
        raise DataError("no scores to average; score with at least one model")
    mean = torch.stack([score.double() for score in scores]).mean(dim=0).float()
    check_finite(mean, "a difficulty score")
    return mean


def check_logits(logits: Tensor, labels: Tensor, *, classes: int = 1) -> None:
    """Refuse logits that are not one finite row for each label.

    Args:
        logits: To be floating point [N, C].
        labels: To be int64 [N].
        classes: How many classes there must be at least.

    Raises:
        DataError: If they are not.
    """
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        shapes = f"{list(logits.shape)} and {list(labels.shape)}"
        raise DataError(f"logits and labels have shapes {shapes}; give logits [N, C] and labels [N]")
    if logits.shape[1] < classes:
        raise DataError(f"a margin needs at least {classes} classes, there are {logits.shape[1]}")
    check_finite(logits, "a logit")


def check_finite(values: Tensor, what: str) -> None:
    """Refuse values that a diverged model leaves behind.

    Args:
        values: Floating point, any shape.
        what: One of them, in words.

    Raises:
        DataError: If one is not finite.
    """
    if not bool(torch.isfinite(values).all()):
        bad = int((~torch.isfinite(values)).sum())
        raise DataError(
            f"{what} is not finite ({bad} of {values.numel()}); the scoring model has diverged, lower its lr"
        )
