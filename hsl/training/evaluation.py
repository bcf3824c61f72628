"""Accuracy and loss of a network on samples, clean or under attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsl.hardness.apply import Samples

BATCH = 1000

Perturb = Callable[[nn.Module, Tensor, Tensor, Tensor], Tensor]
"""(model, images float [B, C, H, W] in [0, 1], labels [B], ids [B]) -> perturbed images."""


@dataclass(frozen=True)
class Metrics:
    """Result of one evaluation.

    Attributes:
        accuracy: Share of correct predictions, in [0, 1].
        loss: Mean cross-entropy, in nats.
    """

    accuracy: float
    loss: float


def to_float(images: Tensor) -> Tensor:
    """Images uint8 [B, C, H, W] as float32 in [0, 1]."""
    return images.to(torch.float32).div_(255)


def evaluate(model: nn.Module, samples: Samples, perturb: Perturb | None = None) -> Metrics:
    """Evaluate in eval mode; the model's mode is restored.

    Args:
        model: Maps images in [0, 1] to logits.
        samples: What to evaluate on, at least one sample.
        perturb: Attack on each batch, or None.
    """
    was_training = model.training
    model.eval()
    correct = torch.zeros((), dtype=torch.int64, device=samples.labels.device)
    loss = torch.zeros((), dtype=torch.float64, device=samples.labels.device)
    for part in torch.arange(len(samples.labels), device=samples.labels.device).split(BATCH):
        images, labels = to_float(samples.images[part]), samples.labels[part]
        if perturb is not None:
            images = perturb(model, images, labels, samples.ids[part])
        with torch.no_grad():
            logits = model(images).float()
        correct += (logits.argmax(1) == labels).sum()
        loss += functional.cross_entropy(logits, labels, reduction="sum")
    model.train(was_training)
    return Metrics(correct.item() / len(samples.labels), loss.item() / len(samples.labels))


@dataclass(frozen=True)
class EvaluationSets:
    """What is evaluated, and how.

    Attributes:
        val_clean: Validation samples as they are.
        val_matched: Validation samples of the regime's difficulty; may be the same object.
        test_clean: Test samples as they are.
        test_matched: Test samples of the regime's difficulty; may be the same object.
        perturb: Attack on the matched samples, or None.
    """

    val_clean: Samples
    val_matched: Samples
    test_clean: Samples
    test_matched: Samples
    perturb: Perturb | None = None

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of clean, and of matched, validation and test samples."""
        return len(self.val_clean) + len(self.test_clean), len(self.val_matched) + len(self.test_matched)

    def measure(self, model: nn.Module) -> dict[str, float]:
        """``{split}_{clean|matched}_{accuracy|loss}`` of `model`; what is equal is computed once."""
        row: dict[str, float] = {}
        for split in ("val", "test"):
            clean, matched = getattr(self, f"{split}_clean"), getattr(self, f"{split}_matched")
            on_clean = evaluate(model, clean)
            same = matched is clean and self.perturb is None
            on_matched = on_clean if same else evaluate(model, matched, self.perturb)
            row |= _named(f"{split}_clean", on_clean) | _named(f"{split}_matched", on_matched)
        return row


def _named(prefix: str, metrics: Metrics) -> dict[str, float]:
    return {f"{prefix}_{field.name}": getattr(metrics, field.name) for field in fields(metrics)}


def all_logits(model: nn.Module, samples: Samples) -> Tensor:
    """Logits float32 [N, classes] in eval mode, without augmentation."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        parts = [model(to_float(images)).float() for images in samples.images.split(BATCH)]
    model.train(was_training)
    return torch.cat(parts)
