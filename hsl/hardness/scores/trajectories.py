"""Difficulty of each sample, from its predictions during training. Higher = harder in every score.

After each of T epochs one of three quantities is recorded, each [N]; scores take them stacked, [T, N], and
return [N], of the type of the quantity where it is floating point. The passes may be those of training, as in
the papers, or passes in eval mode after each epoch.

Quantities take logits, floating point [N, C], and labels, int64 [N] in [0, C), and raise `DataError` if
shapes disagree or a logit is not finite; `dtype` is that in which they compute. Scores raise it if shape or dtype
is wrong or a value is not finite.
"""

import torch
from torch import Tensor
from torch.nn import functional

from hsl.errors import DataError
from hsl.hardness.scores.logits import check_finite, check_rows


def correct(logits: Tensor, labels: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Whether each sample is classified as its label says, bool [N]; the same in every `dtype`."""
    check_rows(logits, labels)
    return logits.argmax(dim=1) == labels


def margins(logits: Tensor, labels: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Logit of the label less the largest other logit, [N]; takes at least two classes."""
    check_rows(logits, labels, least=2)
    right = functional.one_hot(labels, logits.shape[1]).bool()
    return logits.to(dtype)[right] - logits.to(dtype).masked_fill(right, -torch.inf).amax(dim=1)


def probabilities(logits: Tensor, labels: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Probability of the label, [N] in [0, 1]."""
    check_rows(logits, labels)
    return functional.softmax(logits.to(dtype), dim=1).gather(1, labels[:, None])[:, 0]


QUANTITIES = {"correct": correct, "margins": margins, "probabilities": probabilities}
"""What can be recorded, by its name in `hsl.hardness.registries.ScoreFacts`."""


def forgetting(correct: Tensor) -> Tensor:
    """Number of times a correctly classified sample is misclassified an epoch later; T if it never was correct.

    Takes bool [T, N], T at least 2; returns float64 in [0, T]. Toneva et al., An Empirical Study of Example
    Forgetting during Deep Neural Network Learning, ICLR 2019, arXiv 1812.05159.
    """
    _check_correct(correct, looks=2)
    forgotten = (correct[:-1] & ~correct[1:]).sum(dim=0)
    return torch.where(correct.any(dim=0), forgotten, len(correct)).double()


def learning_speed(correct: Tensor, *, dtype: torch.dtype = torch.float64) -> Tensor:
    """Share of the epochs after which a sample is misclassified: higher for what is learnt late.

    Takes bool [T, N]; returns `dtype` in [0, 1]. A cheap stand-in for the consistency score, which takes thousands of
    trainings. Jiang et al., Characterizing Structural Regularities of Labeled Data, ICML 2021, arXiv
    2002.03206.
    """
    _check_correct(correct, looks=1)
    return 1 - correct.to(dtype).mean(dim=0)


def aum(margins: Tensor) -> Tensor:
    """Area under the margin, with its sign turned: high for samples that others of their class contradict.

    Takes what `margins` records, floating point [T, N]. Pleiss et al., Identifying Mislabeled Data using the
    Area Under the Margin Ranking, NeurIPS 2020, arXiv 2001.10528.
    """
    _check_values(margins, "a margin", looks=1)
    return -margins.double().mean(dim=0).to(margins.dtype)


def datamap_confidence(probabilities: Tensor) -> Tensor:
    """One minus the mean probability of the label: high for the hard to learn.

    Takes what `probabilities` records, floating point [T, N]; in [0, 1]. Swayamdipta et al., Dataset
    Cartography, EMNLP 2020, arXiv 2009.10795.
    """
    _check_values(probabilities, "a probability", looks=1)
    return 1 - probabilities.double().mean(dim=0).to(probabilities.dtype)


def datamap_variability(probabilities: Tensor) -> Tensor:
    """Standard deviation of the probability of the label: high for the ambiguous.

    Takes what `probabilities` records, floating point [T, N], T at least 2; in [0, 0.5]. Swayamdipta et al.,
    Dataset Cartography, EMNLP 2020, arXiv 2009.10795.
    """
    _check_values(probabilities, "a probability", looks=2)
    return probabilities.double().std(dim=0, correction=0).to(probabilities.dtype)


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
