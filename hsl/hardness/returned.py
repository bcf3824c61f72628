"""What entries of registries have returned, checked where they run.

A plug-in that returns something else than its registry says would train on wrong data without a word: pixels in
[0, 1] where they are 0 to 255 make every image black.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hsl.errors import DataError
from hsl.hardness.registries import ATTACKS

TOLERANCE = 1e-4
"""How far the perturbation of an attack may exceed eps, or an image [0, 1], for rounding."""

VISIBLE = 32
"""Pixel, of 255, that is seen as another than black: no damage leaves 1 of it in every image."""


def check_pixels(name: str, pixels: Tensor, images: Tensor) -> None:
    """Refuse what a corruption has made of images.

    Args:
        name: Of the corruption.
        pixels: What it has returned.
        images: What it was given, uint8 [B, C, H, W].

    Raises:
        DataError: If `pixels` is no floating point tensor of the same shape, not finite, or in [0, 1].
    """
    _check_tensor(f"corruption {name!r}", pixels, images.shape, is_floating=True)
    _check_finite(f"corruption {name!r}", pixels)
    if images.numel() and images.max() >= VISIBLE and 0 < pixels.max() <= 1:
        raise DataError(
            f"corruption {name!r} has returned pixels of at most {pixels.max():.3g}, and was given pixels of at most "
            f"{images.max():.3g}: they are 0 to 255, not 0 to 1; multiply by 255 in the end"
        )


def check_order(name: str, order: Tensor, total: int) -> None:
    """Refuse an order of a selection that does not have each of `total` positions once; DataError says why."""
    what = f"selection {name!r}"
    _check_tensor(what, order, (total,))
    if order.dtype != torch.int64:
        raise DataError(f"{what} has returned {order.dtype}; it must return positions, torch.int64")
    if not torch.equal(order.sort().values, torch.arange(total, device=order.device)):
        raise DataError(
            f"{what} has returned an order in which not every position of 0-{total - 1} stands once"
        )


def check_difficulty(name: str, values: Tensor, total: int) -> None:
    """Refuse difficulties that are not one floating point number for each of `total` samples.

    Raises:
        DataError: If they are not. That they are finite is checked where they are used.
    """
    _check_tensor(f"score {name!r}", values, (total,), is_floating=True)


def check_labels(name: str, noisy: Tensor, is_wrong: Tensor, places: Tensor, classes: int) -> None:
    """Refuse labels of a label noise.

    Args:
        name: Of the label noise.
        noisy: The labels that it has returned.
        is_wrong: Which of them are wrong, as it has returned.
        places: The labels that it was given, int64 [N] in [0, classes).
        classes: Number of classes.

    Raises:
        DataError: If they are not int64 [N] in [0, classes) and bool [N], true where a label differs.
    """
    what = f"label noise {name!r}"
    for found, dtype in ((noisy, torch.int64), (is_wrong, torch.bool)):
        _check_tensor(what, found, places.shape)
        if found.dtype != dtype:
            raise DataError(f"{what} has returned {found.dtype} where it must return {dtype}")
    if bool(((noisy < 0) | (noisy >= classes)).any()):
        raise DataError(f"{what} has returned labels outside 0-{classes - 1}")
    if bool(((noisy != places) & ~is_wrong).any()):
        raise DataError(f"{what} has changed labels that it does not call wrong")


def attack_of(name: str) -> Callable[..., Tensor]:
    """An attack of the registry; one from outside is watched, hsl's own are not looked at at every batch.

    To the model, the images and the labels that an attack from outside is given nothing happens: it has copies of
    images and labels, and leaves no gradients behind, which ``loss.backward()`` would add to those of the training.

    Raises:
        DataError: When it is called and returns another shape, what is not finite, leaves [0, 1], or moves an image by
            more than eps.
    """
    return ATTACKS[name] if name in ATTACKS else partial(_watched, name, ATTACKS[name])


def _watched(
    name: str, run: Callable[..., Tensor], model: nn.Module, images: Tensor, labels: Tensor, **settings: Any
) -> Tensor:
    parameters = list(model.parameters())
    before = [(parameter.grad, parameter.requires_grad) for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    try:
        attacked = run(model, images.clone(), labels.clone(), **settings)
    finally:
        for parameter, (gradient, is_trained) in zip(parameters, before, strict=True):
            parameter.grad = gradient
            parameter.requires_grad_(is_trained)
    _check_attacked(name, attacked, images, settings["eps"], settings["norm"])
    return attacked.detach()


def _check_attacked(name: str, attacked: Tensor, images: Tensor, eps: float, norm: str) -> None:
    what = f"attack {name!r}"
    _check_tensor(what, attacked, images.shape, is_floating=True)
    _check_finite(what, attacked)
    if bool(((attacked < -TOLERANCE) | (attacked > 1 + TOLERANCE)).any()):
        raise DataError(f"{what} has returned pixels outside [0, 1]; clamp them in the end")
    change = (attacked - images).flatten(1)
    far = (change.abs().amax(1) if norm == "linf" else change.norm(dim=1)).max()
    if far > eps * (1 + TOLERANCE) + TOLERANCE:
        raise DataError(
            f"{what} has moved an image by {far:.4g} in {norm}, and eps is {eps:.4g}; keep to eps"
        )


def check_right(name: str, right: Tensor, total: int) -> None:
    """Refuse what a measure of robustness has returned unless it is bool for each of `total` images.

    Raises:
        DataError: If it is not.
    """
    what = f"robustness measure {name!r}"
    _check_tensor(what, right, (total,))
    if right.dtype != torch.bool:
        raise DataError(
            f"{what} has returned {right.dtype}; it must return which images are right, torch.bool"
        )


def _check_tensor(what: str, found: object, shape: tuple[int, ...], *, is_floating: bool = False) -> None:
    if not isinstance(found, Tensor):
        raise DataError(f"{what} has returned {type(found).__name__}; it must return a tensor {list(shape)}")
    if found.shape != shape:
        raise DataError(f"{what} has returned {list(found.shape)}; it must return {list(shape)}")
    if is_floating and not found.is_floating_point():
        raise DataError(f"{what} has returned {found.dtype}; it must return floating point numbers")


def _check_finite(what: str, found: Tensor) -> None:
    if not bool(found.isfinite().all()):
        raise DataError(f"{what} has returned numbers that are not finite")
