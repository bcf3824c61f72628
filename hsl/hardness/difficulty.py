"""How hard each sample is, and which samples to keep. Higher = harder in every score.

Logits come from the model in eval mode on un-augmented images; scores of train-mode, augmented passes are
others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from hsl.errors import DataError
from hsl.hardness import keyed
from hsl.hardness.registries import SELECTIONS


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
    _check(logits, labels)
    probabilities = functional.softmax(logits.float(), dim=1)
    return torch.linalg.vector_norm(probabilities - functional.one_hot(labels, logits.shape[1]), dim=1)


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
    _check(logits, labels)
    return functional.cross_entropy(logits.float(), labels, reduction="none")


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
    _check_finite(mean, "a difficulty score")
    return mean


def hardest(scores: Tensor, ids: Tensor, key: int = 0) -> Tensor:
    """Order from the highest score to the lowest.

    Args:
        scores: float32 [N].
        ids: int64 [N], all different; they decide ties.
        key: Not read.

    Returns:
        Positions int64 [N], the first to keep first.
    """
    by_id = torch.argsort(ids)
    return by_id[torch.argsort(scores[by_id], descending=True, stable=True)]


def easiest(scores: Tensor, ids: Tensor, key: int = 0) -> Tensor:
    """Order from the lowest score to the highest.

    Args:
        scores: float32 [N].
        ids: int64 [N], all different; they decide ties.
        key: Not read.

    Returns:
        Positions int64 [N], the first to keep first.
    """
    by_id = torch.argsort(ids)
    return by_id[torch.argsort(scores[by_id], stable=True)]


def middle(scores: Tensor, ids: Tensor, key: int = 0) -> Tensor:
    """Order by distance to the median rank, the harder of two first: its head is a centred window.

    Args:
        scores: float32 [N].
        ids: int64 [N], all different; they decide ties.
        key: Not read.

    Returns:
        Positions int64 [N], the first to keep first.
    """
    ranked = hardest(scores, ids)
    ranks = torch.arange(len(ranked), device=ranked.device)
    return ranked[torch.argsort((2 * ranks - (len(ranked) - 1)).abs(), stable=True)]


def shuffled(scores: Tensor, ids: Tensor, key: int) -> Tensor:
    """Order by chance.

    Args:
        scores: float32 [N], not read.
        ids: int64 [N], all different; a sample's place depends on its id and the key alone.
        key: Stream of the draws.

    Returns:
        Positions int64 [N], the first to keep first.
    """
    by_id = torch.argsort(ids)
    return by_id[torch.argsort(keyed.hashed(key, ids[by_id]), stable=True)]


def select(
    scores: Tensor | None,
    labels: Tensor,
    ids: Tensor,
    fraction: float,
    which: str = "hardest",
    *,
    class_balanced: bool = False,
    key: int = 0,
) -> Tensor:
    """Which samples to keep: n = round(fraction * N) of them, half to even.

    Class-balanced keeps floor(fraction * N_c) samples of each class c, and fills up to n with the next in the
    order, at most one per class.

    Args:
        scores: float32 [N], higher = harder; None where `which` looks at no score.
        labels: int64 [N].
        ids: int64 [N], all different.
        fraction: Share to keep, in (0, 1].
        which: Entry of the registry of selections.
        class_balanced: Keep the same share of every class.
        key: Stream of the draws, for a random selection.

    Returns:
        Ids of the kept samples, int64 [n], ascending.

    Raises:
        DataError: If a score is missing or not finite, nothing would be kept, or a balanced selection would
            lose a whole class. An unbalanced one that does warns.
    """
    if scores is None:
        if which != "random":
            raise DataError(
                f"selection {which!r} needs a difficulty score of every sample, and there is none"
            )
        scores = torch.zeros(len(ids), device=ids.device)
    _check_selection(scores, labels, ids, fraction)
    order = partial(_order, scores, ids, SELECTIONS[which], key)
    exact = Fraction(str(fraction))
    count = round(exact * len(ids))
    if count == 0:
        raise DataError(f"keep.fraction {fraction} of {len(ids)} samples is none; raise the fraction")
    kept = _balanced(order, labels, exact, count) if class_balanced else order(_positions(ids))[:count]
    _check_classes(labels, labels[kept], class_balanced, fraction)
    return ids[kept].sort().values


def _order(
    scores: Tensor, ids: Tensor, selection: Callable[..., Tensor], key: int, members: Tensor
) -> Tensor:
    """The positions `members`, the first to keep first."""
    return members[selection(scores[members], ids[members], key)]


def _balanced(order: Callable[[Tensor], Tensor], labels: Tensor, fraction: Fraction, count: int) -> Tensor:
    """Positions of a class-balanced selection of `count` samples."""
    kept, next_in_class = [], []
    for label in _classes(labels):
        members = order((labels == label).nonzero().view(-1))
        share = int(fraction * len(members))
        kept.append(members[:share])
        next_in_class.append(members[share : share + 1])
    everyone = order(_positions(labels))
    candidates = everyone[torch.isin(everyone, torch.cat(next_in_class))]
    return torch.cat([*kept, candidates])[:count]


def _positions(ids: Tensor) -> Tensor:
    return torch.arange(len(ids), device=ids.device)


def _classes(labels: Tensor) -> list[int]:
    return sorted(set(labels.tolist()))


def _check_selection(scores: Tensor, labels: Tensor, ids: Tensor, fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise DataError(f"keep.fraction {fraction} is outside (0, 1]; give the share of samples to keep")
    if not scores.shape == labels.shape == ids.shape or ids.ndim != 1:
        shapes = [list(tensor.shape) for tensor in (scores, labels, ids)]
        raise DataError(f"scores, labels and ids have shapes {shapes}; give one of each per sample")
    _check_finite(scores, "a difficulty score")


def _check_classes(before: Tensor, after: Tensor, class_balanced: bool, fraction: float) -> None:
    lost = sorted(set(_classes(before)) - set(_classes(after)))
    if not lost:
        return
    message = f"keep.fraction {fraction} leaves no sample of class {', '.join(map(str, lost))}"
    if class_balanced:
        raise DataError(f"{message}, although class_balanced; raise the fraction")
    warnings.warn(f"{message}; raise the fraction or set class_balanced", stacklevel=3)


def _check(logits: Tensor, labels: Tensor) -> None:
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        shapes = f"{list(logits.shape)} and {list(labels.shape)}"
        raise DataError(f"logits and labels have shapes {shapes}; give logits [N, C] and labels [N]")
    _check_finite(logits, "a logit")


def _check_finite(values: Tensor, what: str) -> None:
    if not bool(torch.isfinite(values).all()):
        bad = int((~torch.isfinite(values)).sum())
        raise DataError(
            f"{what} is not finite ({bad} of {values.numel()}); the scoring model has diverged, lower its lr"
        )
