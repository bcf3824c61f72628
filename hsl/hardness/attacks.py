"""Adversarial images. Pixels are in [0, 1], so normalisation has to be part of the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsl.errors import HslError
from hsl.hardness import keyed
from hsl.hardness.fields import NORMS

BNMode = Literal["eval", "train"]


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
    norm: str = "linf",
    start: Tensor | None = None,
    bn_mode: BNMode = "eval",
) -> Tensor:
    """Projected gradient ascent on the cross-entropy.

    Works in float32 outside autocast (in 16 bit, small gradients become zero, and their sign with them).
    Gradients of the parameters are not computed, their ``.grad`` is left alone, and every training flag is as
    before afterwards.

    Args:
        model: Maps float32 [B, C, H, W] in [0, 1] to logits [B, classes].
        images: Floating point [B, C, H, W] in [0, 1].
        labels: int64 [B].
        eps: Largest change of a value, in [0, 1]; 0 returns the images.
        step: Change per step, above 0.
        steps: Number of steps, at least 1.
        norm: Norm that `eps` bounds.
        start: First perturbation [B, C, H, W] in [-eps, eps], for example of `random_start`; None starts at
            the image.
        bn_mode: Mode of the model while the attack runs. ``train`` normalises by the batch under attack, and
            moves the running statistics of batch normalisation with every step; ``eval`` leaves them alone.

    Returns:
        float32 [B, C, H, W] in [0, 1], nowhere further than eps from `images`.

    Raises:
        HslError: If a parameter is outside its range.

    Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, arXiv 1706.06083.
    """
    _check(eps, step, steps, norm, bn_mode)
    with torch.inference_mode(mode=False), torch.enable_grad(), _mode(model, bn_mode == "train"):
        clean = images.detach().float().clone()
        labels = labels.clone()
        lowest, highest = (clean - eps).clamp_(min=0), (clean + eps).clamp_(max=1)
        attacked = clean if start is None or eps == 0 else _project(clean + start.detach(), lowest, highest)
        for _ in range(steps if eps > 0 else 0):
            ascent = _gradient(model, attacked, labels).sign_()
            attacked = _project(attacked + step * ascent, lowest, highest)
        return attacked


def random_start(key: int, ids: Tensor, shape: tuple[int, ...], eps: float) -> Tensor:
    """First perturbation of an attack: uniform in the ball of the maximum norm.

    Args:
        key: Stream of the draws.
        ids: Sample ids, int64 [B]. The draws of an image depend on its id and the key alone.
        shape: (C, H, W).
        eps: Radius, in pixel units.

    Returns:
        float32 [B, C, H, W] in [-eps, eps].
    """
    return keyed.uniform(key, ids, shape).mul_(2).sub_(1).mul_(eps)


def _gradient(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Gradient of the summed cross-entropy with respect to the images alone."""
    images = images.detach().requires_grad_()
    with torch.autocast(images.device.type, enabled=False):
        loss = functional.cross_entropy(model(images).float(), labels, reduction="sum")
        return torch.autograd.grad(loss, images)[0]


def _project(images: Tensor, lowest: Tensor, highest: Tensor) -> Tensor:
    return torch.minimum(torch.maximum(images, lowest), highest)


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    """Set the training flag of every module, and give each module its own back."""
    flags = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, flag in flags:
            module.training = flag


def _check(eps: float, step: float, steps: int, norm: str, bn_mode: str) -> None:
    if norm not in NORMS:
        raise HslError(f"unknown norm {norm!r}; known: {', '.join(NORMS)}")
    if not 0 <= eps <= 1:
        raise HslError(f"eps {eps} is outside 0-1; give it in pixel units, for example 8/255")
    if not step > 0 or steps < 1:
        raise HslError(f"step {step} and steps {steps}: give a step above 0 and at least 1 of them")
    if bn_mode not in ("eval", "train"):
        raise HslError(f"unknown bn_mode {bn_mode!r}; known: eval, train")
