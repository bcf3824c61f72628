"""How hard each sample is, from how training went with it. Higher = harder in every score.

What is recorded at every epoch is one of three quantities, each [N]; scores take them stacked, [T, N]. They
may be those of the training passes, as in the papers, or of passes in eval mode after each epoch.
"""

import torch
from torch import Tensor
from torch.nn import functional

from hsl.errors import DataError
from hsl.hardness.scores.logits import check_finite, check_logits


def correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether each sample is classified as its label says.

    Args:
        logits: Floating point [N, C].
        labels: int64 [N] in [0, C).

    Returns:
        bool [N].

    Raises:
        DataError: If shapes disagree or a logit is not finite.
    """
    check_logits(logits, labels)
    return logits.argmax(dim=1) == labels


def margins(logits: Tensor, labels: Tensor) -> Tensor:
    """Logit of the label less the largest other logit.

    Args:
        logits: Floating point [N, C], C at least 2.
        labels: int64 [N] in [0, C).

    Returns:
        float32 [N].

    Raises:
        DataError: If shapes disagree, there is one class alone, or a logit is not finite.
    """
    check_logits(logits, labels)
    if logits.shape[1] < 2:
        raise DataError(
            f"a margin needs at least 2 classes, there are {logits.shape[1]}; choose another score"
        )
    right = functional.one_hot(labels, logits.shape[1]).bool()
    return logits.float()[right] - logits.float().masked_fill(right, -torch.inf).amax(dim=1)


def probabilities(logits: Tensor, labels: Tensor) -> Tensor:
    """Probability of the label.

    Args:
        logits: Floating point [N, C].
        labels: int64 [N] in [0, C).

    Returns:
        float32 [N] in [0, 1].

    Raises:
        DataError: If shapes disagree or a logit is not finite.
    """
    check_logits(logits, labels)
    return functional.softmax(logits.float(), dim=1).gather(1, labels[:, None])[:, 0]


QUANTITIES = {"correct": correct, "margins": margins, "probabilities": probabilities}
"""What is to be recorded, by the name that `hsl.hardness.registries.ScoreFacts` calls it."""


def forgetting(correct: Tensor) -> Tensor:
    """How often a sample that was classified correctly no longer is at the next look; T if it never was.

    Args:
        correct: bool [T, N], T at least 2.

    Returns:
        float32 [N] in [0, T].

    Raises:
        DataError: If the shape or the type is another.

    Toneva et al., An Empirical Study of Example Forgetting during Deep Neural Network Learning, ICLR 2019,
    arXiv 1812.05159.
    """
    _check_correct(correct, looks=2)
    forgotten = (correct[:-1] & ~correct[1:]).sum(dim=0)
    return torch.where(correct.any(dim=0), forgotten, len(correct)).float()


def learning_speed(correct: Tensor) -> Tensor:
    """Share of the looks at which a sample is misclassified: what is learnt late has more of them.

    A cheap stand-in for the consistency score, which takes thousands of trainings.

    Args:
        correct: bool [T, N], T at least 1.

    Returns:
        float32 [N] in [0, 1].

    Raises:
        DataError: If the shape or the type is another.

    Jiang et al., Characterizing Structural Regularities of Labeled Data, ICML 2021, arXiv 2002.03206.
    """
    _check_correct(correct, looks=1)
    return 1 - correct.float().mean(dim=0)


def aum(margins: Tensor) -> Tensor:
    """Area under the margin, with its sign turned: high for samples that others of their class contradict.

    Args:
        margins: Floating point [T, N], logit of the label less the largest other; T at least 1.

    Returns:
        float32 [N].

    Raises:
        DataError: If the shape is another, or a value is not finite.

    Pleiss et al., Identifying Mislabeled Data using the Area Under the Margin Ranking, NeurIPS 2020, arXiv
    2001.10528.
    """
    _check_values(margins, "a margin", looks=1)
    return -margins.double().mean(dim=0).float()


def datamap_confidence(probabilities: Tensor) -> Tensor:
    """What the mean probability of the label lacks to 1: high for the hard to learn.

    Args:
        probabilities: Floating point [T, N] in [0, 1], of the label; T at least 1.

    Returns:
        float32 [N] in [0, 1].

    Raises:
        DataError: If the shape is another, or a value is not finite.

    Swayamdipta et al., Dataset Cartography, EMNLP 2020, arXiv 2009.10795.
    """
    _check_values(probabilities, "a probability", looks=1)
    return 1 - probabilities.double().mean(dim=0).float()


def datamap_variability(probabilities: Tensor) -> Tensor:
    """Standard deviation of the probability of the label: high for the ambiguous.

    Args:
        probabilities: Floating point [T, N] in [0, 1], of the label; T at least 2.

    Returns:
        float32 [N] in [0, 0.5].

    Raises:
        DataError: If the shape is another, or a value is not finite.

    Swayamdipta et al., Dataset Cartography, EMNLP 2020, arXiv 2009.10795.
    """
    _check_values(probabilities, "a probability", looks=2)
    return probabilities.double().std(dim=0, correction=0).float()


def _check_correct(correct: Tensor, looks: int) -> None:
    if correct.dtype != torch.bool:
        raise DataError(f"a trajectory of correctness is {correct.dtype}; give torch.bool [T, N]")
    _check_shape(correct, looks)


def _check_values(values: Tensor, what: str, looks: int) -> None:
    if not values.is_floating_point():
        raise DataError(f"{what} is {values.dtype}; give floating point [T, N]")
    _check_shape(values, looks)
    check_finite(values, what)


def _check_shape(values: Tensor, looks: int) -> None:
    if values.ndim != 2 or len(values) < looks:
        raise DataError(f"a trajectory has shape {list(values.shape)}; give [T, N] with T at least {looks}")
