"""Accuracy and loss of a network on samples, clean or under attack."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsl.hardness.apply import Samples
from hsl.hardness.attacks.robustness import are_right

BATCH = 1000

Perturb = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""(model, images float [B, C, H, W] in [0, 1], labels [B], ids [B]) -> perturbed images."""


class Metrics(NamedTuple):
    """Share of correct predictions, in [0, 1], and mean cross-entropy, in nats."""

    accuracy: float
    loss: float


def to_float(images: Tensor) -> Tensor:
    """Images uint8 [B, C, H, W] as float32 in [0, 1]."""
    return images.to(torch.float32).div_(255)


@dataclass(frozen=True)
class Classified:
    """Predictions of a network for N samples.

    Attributes:
        correct: bool [N], whether the prediction is right; of logits without a softmax it is not.
        losses: Cross-entropy float32 [N], in nats; NaN of logits without a softmax.
    """

    correct: Tensor
    losses: Tensor

    @property
    def metrics(self) -> Metrics:
        """Accuracy and loss over all samples."""
        count = len(self.correct)
        return Metrics(self.correct.sum().item() / count, self.losses.double().sum().item() / count)

    def where(self, mask: Tensor) -> Classified:
        """The part at which `mask`, bool [N], holds."""
        return Classified(self.correct[mask], self.losses[mask])

    def worst_class(self, labels: Tensor, classes: Tensor | None = None) -> float:
        """The lowest accuracy of a class of those that are among `labels`, int64 [N].

        Of those that are among `classes` as well, int64 [C], where they are given: one without training samples would
        be the worst of every network.
        """
        there = torch.bincount(labels)
        right = torch.bincount(labels[self.correct], minlength=len(there))
        counts = there > 0
        if classes is not None:
            counts &= torch.isin(torch.arange(len(there), device=labels.device), classes)
        return (right[counts] / there[counts].double()).min().item()


def classify(model: nn.Module, samples: Samples, perturb: Perturb | None = None) -> Classified:
    """Classify samples, attacked by `perturb` if given, in eval mode; the model's mode is restored."""
    was_training = model.training
    model.eval()
    correct, losses = [], []
    parts = (each.split(BATCH) for each in (samples.images, samples.labels, samples.ids))
    for pixels, labels, ids in zip(*parts, strict=True):
        images = to_float(pixels)
        if perturb is not None:
            images = perturb(model, images, labels, ids)
        with torch.no_grad():
            logits = model(images).float()
        correct.append(are_right(logits, labels))
        losses.append(functional.cross_entropy(logits, labels, reduction="none"))
    model.train(was_training)
    return Classified(torch.cat(correct), torch.cat(losses))


def mean_loss_and_accuracy(
    losses: Sequence[Tensor], predicted: Sequence[Tensor], labelled: Sequence[Tensor]
) -> tuple[float, float]:
    """Mean loss and share of correct predictions over all samples of an epoch.

    Computed once at its end: small operations at every batch would cost more.

    Args:
        losses: Mean loss of each batch, float [].
        predicted: Classes predicted for each batch, int64 [B].
        labelled: Labels of each batch, int64 [B].
    """
    sizes = torch.tensor([len(labels) for labels in labelled], dtype=torch.float64)
    loss = torch.stack(tuple(losses)).double().cpu() @ sizes / sizes.sum()
    correct = (torch.cat(tuple(predicted)) == torch.cat(tuple(labelled))).sum()
    return float(loss), int(correct) / int(sizes.sum())


@dataclass(frozen=True)
class EvaluationSets:
    """Validation and test samples, clean and matched to the training regime (may be the same object).

    Attributes:
        perturb: Attack on the matched samples, or None.
        classes: int64 [C], those that have training samples, before any selection; None for all.
    """

    val_clean: Samples
    val_matched: Samples
    test_clean: Samples
    test_matched: Samples
    perturb: Perturb | None = None
    classes: Tensor | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of clean, and of matched, validation and test samples."""
        return len(self.val_clean) + len(self.test_clean), len(self.val_matched) + len(self.test_matched)

    def classified(self, model: nn.Module, split: str) -> tuple[Classified, Classified]:
        """Classify the clean and the matched samples of ``val`` or ``test``, once where they are the same."""
        clean, matched = getattr(self, f"{split}_clean"), getattr(self, f"{split}_matched")
        on_clean = classify(model, clean)
        same = matched is clean and self.perturb is None
        return on_clean, on_clean if same else classify(model, matched, self.perturb)

    def measure(self, model: nn.Module) -> dict[str, float]:
        """``{split}_{clean|matched}_{accuracy|loss}`` and ``{split}_worst_class_accuracy`` of `model`."""
        row: dict[str, float] = {}
        for split in ("val", "test"):
            clean, matched = self.classified(model, split)
            for name, found in (("clean", clean), ("matched", matched)):
                row |= {f"{split}_{name}_{key}": value for key, value in found.metrics._asdict().items()}
            labels = getattr(self, f"{split}_clean").labels
            row[f"{split}_worst_class_accuracy"] = clean.worst_class(labels, self.classes)
        return row


def all_logits(model: nn.Module, samples: Samples) -> Tensor:
    """Logits float32 [N, classes] in eval mode, without augmentation."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        parts = [model(to_float(images)).float() for images in samples.images.split(BATCH)]
    model.train(was_training)
    return torch.cat(parts)
