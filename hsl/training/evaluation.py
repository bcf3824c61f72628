"""Accuracy and loss of a network on samples, clean or under attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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


def all_logits(model: nn.Module, samples: Samples) -> Tensor:
    """Logits float32 [N, classes] in eval mode, without augmentation."""
    was_training = model.training
    model.eval()
    with torch.no_grad():
        parts = [model(to_float(images)).float() for images in samples.images.split(BATCH)]
    model.train(was_training)
    return torch.cat(parts)
