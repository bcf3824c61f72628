"""Which samples to keep: selections by a score, at random, and long tails.

A selection is an order of all samples, the first to keep first; how many are kept is decided apart from it.
So one order serves any share of the samples, the whole set or each class on its own.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from hsl.errors import DataError
from hsl.hardness.orders import share_of, shuffled, tie_order
from hsl.hardness.registries import SELECTIONS
from hsl.hardness.returned import check_order
from hsl.hardness.schema.fields import PROFILES
from hsl.hardness.scores.logits import check_finite
from hsl.wording import and_more

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


def select(
    scores: Tensor | None,
    labels: Tensor,
    ids: Tensor,
    fraction: float = 1.0,
    which: str = "hardest",
    *,
    count: int | None = None,
    class_balanced: bool = False,
    key: int = 0,
    ties: str = "keyed",
    options: Mapping[str, Any] = NO_OPTIONS,
) -> Tensor:
    """Select samples to keep: n = round(fraction * N) of them, half to even, or n = count.

    Class-balanced keeps floor(n / N * N_c) samples of each class c (for a fraction floor(fraction * N_c)),
    and fills up to n with the next in the order, at most one per class.

    Args:
        scores: Floating point [N], higher = harder; None where `which` reads no score.
        labels: int64 [N].
        ids: int64 [N], all different.
        fraction: Share to keep, in (0, 1].
        which: Entry of the registry of selections.
        count: Number of samples to keep, in place of a fraction.
        class_balanced: Keep the same share of every class.
        key: Stream of the draws: of a random selection, and of equally hard samples.
        ties: Choice between equally hard samples: ``keyed``, at random, or ``id``, the lower id first.
        options: Keyword arguments of the selection, for example ``{"offset": 0.1}`` of a window.

    Returns:
        Ids of the kept samples, int64 [n], ascending.

    Raises:
        DataError: If a score is missing or not finite, no sample would be kept, there are fewer samples than
            `count`, or a balanced selection would lose a whole class. An unbalanced one that does warns, and
            so does one that leaves a class less than a tenth of its share.
    """
    if scores is None:
        if SELECTIONS.facts(which).reads_scores:
            raise DataError(
                f"selection {which!r} needs a difficulty score of every sample, and there is none"
            )
        scores = torch.zeros(len(ids), device=ids.device)
    _check_selection(scores, labels, ids)
    exact, n = _amount(fraction, count, len(ids))
    given = tie_order(ids, key, ties)
    scores, labels, ids = scores[given], labels[given], ids[given]
    order = partial(_order, scores, ids, _checked(which, options), key)
    kept = _balanced(order, labels, exact, n) if class_balanced else order(_positions(ids))[:n]
    asked = f"keep.fraction {fraction}" if count is None else f"keep.count {count}"
    _check_classes(labels, labels[kept], class_balanced, asked)
    return ids[kept].sort().values


def _amount(fraction: float, count: int | None, total: int) -> tuple[Fraction, int]:
    """Share and number of the samples to keep."""
    if count is not None:
        if not 1 <= count <= total:
            raise DataError(f"keep.count {count} of {total} samples is not possible; allowed is 1-{total}")
        return Fraction(count, total), count
    if not 0 < fraction <= 1:
        raise DataError(f"keep.fraction {fraction} is outside (0, 1]; give the share of samples to keep")
    n = share_of(fraction, total)
    if n == 0:
        raise DataError(f"keep.fraction {fraction} of {total} samples is none; raise the fraction")
    return Fraction(str(fraction)), n


def long_tail(
    labels: Tensor, ids: Tensor, imbalance: float, profile: str = "exponential", *, key: int = 0
) -> Tensor:
    """Keep ever fewer samples of the higher classes, chosen at random.

    With C classes, the largest of n samples, class c (from 0) keeps n * imbalance ** (c / (C - 1)) of them
    (``exponential``), or n in the first half of the classes and n * imbalance in the second (``step``);
    rounded, at least one, at most as many as exist (which is warned of where it is far less). Cao et al., Learning
    Imbalanced Datasets with Label-Distribution-Aware Margin Loss, NeurIPS 2019, arXiv 1906.07413.

    Args:
        labels: int64 [N].
        ids: int64 [N], all different; whether a sample is chosen depends on its id and the key alone.
        imbalance: Size of the smallest class over that of the largest, in (0, 1].
        profile: ``exponential`` or ``step``.
        key: Stream of the draws.

    Returns:
        Ids of the kept samples, int64 [n], ascending.

    Raises:
        DataError: If a parameter is outside its range.
    """
    if profile not in PROFILES or not 0 < imbalance <= 1:
        allowed = f"one of {', '.join(PROFILES)} and a number in (0, 1]"
        raise DataError(f"long tail with profile {profile!r} and imbalance {imbalance}; give {allowed}")
    classes = _classes(labels)
    largest = int(labels.bincount().max()) if classes else 0
    kept, short = [], []
    for place, label in enumerate(classes):
        members = (labels == label).nonzero().view(-1)
        n = max(1, round(largest * _thinning(place, len(classes), imbalance, profile)))
        kept.append(members[shuffled(members, ids[members], key)][:n])
        short += [f"{len(members)} of {n} of class {label}"] if len(members) < NEARLY * n else []
    if short:
        found = f"keep.long_tail: there are only {', '.join(short[:_SHOWN])}"
        warnings.warn(f"{found}, so the imbalance is not the one that was asked for", stacklevel=2)
    return ids[torch.cat(kept)].sort().values if kept else ids


NEARLY = 0.9
"""A class with less than this part of the samples that a long tail asks of it is warned of."""


def _thinning(place: int, classes: int, imbalance: float, profile: str) -> float:
    """Size of a class over that of the largest."""
    if profile == "step":
        return imbalance if place >= classes / 2 else 1.0
    return float(imbalance ** (place / max(1, classes - 1)))


def _checked(which: str, options: Mapping[str, Any]) -> Callable[[Tensor, Tensor, int], Tensor]:
    """A selection whose result is looked at."""
    selection = SELECTIONS[which]

    def ordered(scores: Tensor, ids: Tensor, key: int) -> Tensor:
        order = selection(scores, ids, key, **options)
        check_order(which, order, len(ids))
        return order

    return ordered


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
    ordered = order(_positions(labels))
    candidates = ordered[torch.isin(ordered, torch.cat(next_in_class))]
    return torch.cat([*kept, candidates])[:count]


def _positions(ids: Tensor) -> Tensor:
    return torch.arange(len(ids), device=ids.device)


def _classes(labels: Tensor) -> list[int]:
    return sorted(set(labels.tolist()))


def _check_selection(scores: Tensor, labels: Tensor, ids: Tensor) -> None:
    if not scores.shape == labels.shape == ids.shape or ids.ndim != 1:
        shapes = [list(tensor.shape) for tensor in (scores, labels, ids)]
        raise DataError(f"scores, labels and ids have shapes {shapes}; give one of each per sample")
    check_finite(scores, "a difficulty score")


def _check_classes(before: Tensor, after: Tensor, class_balanced: bool, asked: str) -> None:
    sizes = before.bincount()
    kept = after.bincount(minlength=len(sizes))
    if lost := _where((sizes > 0) & (kept == 0)):
        message = f"{asked} leaves no sample of {_class_names(lost)}"
        if class_balanced:
            raise DataError(f"{message}, although class_balanced; keep more")
        warnings.warn(f"{message}; keep more or set class_balanced", stacklevel=3)
    rare = _where((kept > 0) & (kept * len(before) < RARE * sizes * len(after)))
    if rare and not class_balanced:
        message = f"{asked} leaves less than a tenth of its share of {_class_names(rare)}; set class_balanced"
        warnings.warn(message, stacklevel=3)


RARE = 0.1
"""A selection that leaves a class less than this part of its share of the samples is warned of."""

_SHOWN = 10
"""Classes that a message lists."""


def _where(mask: Tensor) -> list[int]:
    found: list[int] = mask.nonzero().view(-1).tolist()
    return found


def _class_names(classes: Sequence[int]) -> str:
    return f"class {and_more(classes, _SHOWN)}"
