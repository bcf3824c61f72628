"""The samples that a regime makes of a data set.

Training samples: keep, then label noise, then corruption. So the difficulty score is that of the undamaged
sample, the share of wrong labels holds among the samples that are kept, and no work is spent on samples that
are not. Their draws are keyed by the seed of the trial. Validation and test samples are *matched*: the same
part of the difficulty scale and the same severity (unless the corruption says otherwise), labels always
right; their draws are the same for every trial, so that all are evaluated on the same images. An attack needs
the model, and belongs to training and evaluation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from hsl.errors import DataError
from hsl.hardness import keyed
from hsl.hardness.corruptions.constants import check_corruption
from hsl.hardness.corruptions.corrupt import as_chosen, correlated_choice, corrupt, mixed
from hsl.hardness.registries import LABEL_NOISES, SELECTIONS
from hsl.hardness.returned import check_labels
from hsl.hardness.schema.keep import Keep
from hsl.hardness.schema.regimes import Corruption, LabelNoise, Regime
from hsl.hardness.selection import long_tail, select

EVALUATION = "evaluation"
"""Takes the place of the seed in the keys of validation and test draws."""


@dataclass(frozen=True)
class Samples:
    """Images with their labels and identity.

    Attributes:
        images: uint8 [N, C, H, W].
        labels: int64 [N].
        ids: int64 [N], unique over the whole data set, training, validation and test together.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor

    def __post_init__(self) -> None:
        if self.images.dtype != torch.uint8 or self.images.ndim != 4:
            given = f"{self.images.dtype} {list(self.images.shape)}"
            raise DataError(f"images are {given}; give torch.uint8 [N, C, H, W]")
        for name in ("labels", "ids"):
            tensor = getattr(self, name)
            if tensor.dtype != torch.int64 or tensor.shape != self.images.shape[:1]:
                given = f"{tensor.dtype} {list(tensor.shape)}"
                raise DataError(f"{name} are {given}; give torch.int64 [{len(self.images)}]")
        ids = self.ids.sort().values
        if bool((ids[1:] == ids[:-1]).any()):
            raise DataError("two samples have the same id; number the samples of the whole data set")

    def __len__(self) -> int:
        return len(self.ids)

    def where(self, mask: Tensor) -> Samples:
        """The samples selected by `mask`, bool [N], in the same order."""
        return Samples(self.images[mask], self.labels[mask], self.ids[mask])


def training_samples(samples: Samples, regime: Regime, seed: int, scores: Tensor | None = None) -> Samples:
    """The samples that a trial with this seed trains on.

    Args:
        samples: The training part of the data set, as it is. Its classes are those that have a sample here, before any
            selection.
        regime: The regime of the trial.
        seed: Seed of the trial.
        scores: Difficulty floating point [N] of the samples; None where ``regime.needs_scores`` is.

    Returns:
        The kept samples in their old order, with their wrong labels and damage. Where the corruption is drawn
        again every epoch the images are still undamaged: see `redrawn`.

    Raises:
        DataError: If scores are missing or not finite, a selection is empty, or a corruption is not defined
            on such images.
    """
    check_regime(_shape(samples), regime)
    classes = samples.labels.unique()
    samples = _only(samples, training_ids(samples.labels, samples.ids, regime, seed, scores))
    right = samples.labels
    if regime.label_noise is not None:
        samples = replace(samples, labels=mislabelled(samples, regime.label_noise, classes, seed)[0])
    corruption = regime.corruption
    if corruption is not None and corruption.where != "test" and not corruption.redraw:
        key = keyed.key(seed, "corruption")
        if corruption.skew is not None:
            return _correlated(samples, corruption, corruption.skew, torch.searchsorted(classes, right), key)
        samples = _corrupted(samples, corruption, corruption.severity, key)
    return samples


def mislabelled(samples: Samples, noise: LabelNoise, classes: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """The labels of a trial's training samples, and which of them are wrong.

    Args:
        samples: The kept samples with their right labels.
        noise: Kind and rate of the wrong labels.
        classes: int64 [C], ascending: the classes that a label can be, which are those that have training samples. A
            label between them gets no sample, and "the next class" is the next of them.
        seed: Seed of the trial.

    Returns:
        Labels int64 [N], and bool [N]: which of them are wrong.

    Raises:
        DataError: If there are too few classes, a sample is of another, or the map names others.
    """
    if len(others := samples.labels[~torch.isin(samples.labels, classes)]):
        raise DataError(f"a label is {int(others[0])}; the classes are {listed(classes)}")
    options = {} if noise.map is None else {"mapping": _places(noise.map, classes)}
    key = keyed.key(seed, "label_noise", noise.kind)
    mislabel: Callable[..., tuple[Tensor, Tensor]] = LABEL_NOISES[noise.kind]
    places = torch.searchsorted(classes, samples.labels)
    noisy, is_wrong = mislabel(places, samples.ids, noise.rate, len(classes), key, **options)
    check_labels(noise.kind, noisy, is_wrong, places, len(classes))
    return classes[noisy], is_wrong


def _places(mapping: Iterable[tuple[int, int]], classes: Tensor) -> list[tuple[int, int]]:
    """A map of classes, by their places among `classes`."""
    place = {label: number for number, label in enumerate(classes.tolist())}
    for right, wrong in mapping:
        if right not in place or wrong not in place:
            raise DataError(f"label_noise.map has {right}: {wrong}; the classes are {listed(classes)}")
    return [(place[right], place[wrong]) for right, wrong in mapping]


def listed(classes: Tensor) -> str:
    """Classes int64 [C], ascending, in words: ``0-9`` if none is missing, ``1, 2, 5`` otherwise."""
    found: list[int] = classes.tolist()
    return f"0-{len(found) - 1}" if found == list(range(len(found))) else ", ".join(map(str, found))


def redrawn(samples: Samples, regime: Regime, seed: int, epoch: int) -> Samples:
    """The training samples of one epoch, where the corruption is drawn again every epoch.

    Args:
        samples: Result of `training_samples`.
        regime: The regime of the trial.
        seed: Seed of the trial.
        epoch: Number of the epoch.

    Returns:
        Samples with this epoch's damage; `samples` itself where the regime draws nothing again.
    """
    if regime.corruption is None or not regime.corruption.redraw:
        return samples
    key = keyed.key(seed, "corruption", epoch)
    return _corrupted(samples, regime.corruption, regime.corruption.severity, key)


def matched_samples(
    samples: Samples, regime: Regime, scores: Tensor | None = None, *, split: Literal["val", "test"]
) -> Samples:
    """Validation or test samples matched to the training regime: of the same difficulty, labels right.

    Samples kept at random are no harder than others, so this keeps all of them.

    Args:
        samples: The validation or test part of the data set, as it is.
        regime: The regime of the trial.
        scores: Difficulty floating point [N] of the samples; None where ``regime.needs_scores`` is.
        split: Which part it is; the draws of the two differ.

    Returns:
        The kept samples in their old order, damaged; the same for every seed.

    Raises:
        DataError: If scores are missing or not finite, a selection is empty, or a corruption is not defined
            on such images.
    """
    check_regime(_shape(samples), regime)
    samples = _only(samples, matched_ids(samples.labels, samples.ids, regime, scores, split=split))
    corruption = regime.corruption
    if corruption is not None and corruption.where != "train":
        key = keyed.key(EVALUATION, "corruption", split)
        samples = _corrupted(samples, corruption, corruption.matched_severity, key)
    return samples


def training_ids(
    labels: Tensor, ids: Tensor, regime: Regime, seed: int, scores: Tensor | None = None
) -> Tensor:
    """Ids of the training samples, int64 [n], that a trial with this seed keeps.

    Args:
        labels: Right labels int64 [N].
        ids: int64 [N], all different.
        regime: The regime of the trial.
        seed: Seed of the trial.
        scores: Difficulty floating point [N] of the samples; None where ``regime.needs_scores`` is.

    Raises:
        DataError: If scores are missing or not finite, or a selection is empty or loses a class that it must
            not lose.
    """
    return ids if regime.keep is None else _kept(labels, ids, regime.keep, scores, keyed.key(seed, "keep"))


def matched_ids(
    labels: Tensor, ids: Tensor, regime: Regime, scores: Tensor | None = None, *, split: str
) -> Tensor:
    """Ids of the validation or test samples, int64 [n], that match the training samples that are kept.

    All of them where the regime keeps samples at random.

    Args:
        labels: int64 [N].
        ids: int64 [N], all different.
        regime: The regime of the trial.
        scores: Difficulty floating point [N] of the samples; None where ``regime.needs_scores`` is.
        split: Which part it is; the draws of the two differ.

    Raises:
        DataError: As `training_ids`.
    """
    if regime.keep is None or regime.needs_scores is None:
        return ids
    return _kept(labels, ids, regime.keep, scores, keyed.key(EVALUATION, "keep", split))


def check_regime(shape: tuple[int, int, int], regime: Regime) -> None:
    """Refuse a regime whose corruption is not defined on images of this shape, (C, H, W).

    Raises:
        DataError: If it is not defined for the size, the number of channels or its severity.
    """
    if regime.corruption is None:
        return
    for name in regime.corruption.names:
        for severity in (regime.corruption.severity, regime.corruption.matched_severity):
            check_corruption(name, shape, severity)


def _only(samples: Samples, ids: Tensor) -> Samples:
    return samples if len(ids) == len(samples) else samples.where(torch.isin(samples.ids, ids))


def _kept(labels: Tensor, ids: Tensor, keep: Keep, scores: Tensor | None, key: int) -> Tensor:
    if keep.keeps_all:
        return ids
    if keep.long_tail is not None:
        return long_tail(labels, ids, keep.long_tail.imbalance, keep.long_tail.profile, key=key)
    return select(
        scores if keep.is_ranked else None,
        labels,
        ids,
        keep.fraction,
        keep.which,
        count=keep.count,
        class_balanced=keep.class_balanced,
        key=key,
        ties=keep.ties or "keyed",
        options=keep.options | _former(keep),
    )


def _former(keep: Keep) -> dict[str, bool]:
    """What a selection does as in version 0.1.0, under whose identity scores are in single precision."""
    return {"underflow": keep.precision == "single"} if SELECTIONS.facts(keep.which).has_weights else {}


def _corrupted(samples: Samples, corruption: Corruption, severity: int, key: int) -> Samples:
    if isinstance(corruption.name, tuple):
        images = mixed(samples.images, samples.ids, corruption.name, severity, key)
    else:
        stream = keyed.key(key, corruption.name, severity)
        images = corrupt(samples.images, samples.ids, corruption.name, severity, stream)
    return replace(samples, images=images)


def _correlated(samples: Samples, corruption: Corruption, skew: float, places: Tensor, key: int) -> Samples:
    """Damage by a corruption that goes with the right class of the image, by its place among the classes."""
    names = corruption.names
    chosen = correlated_choice(places, samples.ids, len(names), skew, key)
    images = as_chosen(samples.images, samples.ids, names, corruption.severity, key, chosen)
    return replace(samples, images=images)


def _shape(samples: Samples) -> tuple[int, int, int]:
    return samples.images.shape[1], samples.images.shape[2], samples.images.shape[3]
