"""AutoAttack by the package pyautoattack, which the extra ``autoattack`` installs."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from hsl.errors import DataError, HslError
from hsl.hardness import keyed
from hsl.hardness.attacks.modes import frozen, in_mode
from hsl.hardness.attacks.robustness import are_right, is_right, margin, pgd50x10

TARGETS = 9
"""Classes that the targeted attacks aim at, if there are so many wrong ones."""

FEWEST_FOR_DLR = 4
"""The targeted difference of logits ratio divides by the spread of four logits."""

NAMES = {"linf": "Linf", "l2": "L2"}


def autoattack(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    seed: int = 0,
) -> Tensor:
    """The standard AutoAttack: APGD on the cross-entropy, targeted APGD, targeted FAB and Square, in turn.

    Its targeted attacks aim at nine wrong classes each; where there are fewer, at all of them. The loss of targeted
    APGD divides by the spread of four logits, so with two or three classes there is none: there the images that
    withstand the other three attacks are attacked by PGD-50-10 and by PGD on the margin as well. Its random draws
    are those of the whole batch, so the result of an image depends on the rest of its batch:
    `hsl.hardness.attacks.robustness.still_right` always makes the same batches. Croce & Hein, Reliable Evaluation
    of Adversarial Robustness with an Ensemble of Diverse Parameter-free Attacks, ICML 2020, arXiv 2003.01690.

    Raises:
        HslError: If pyautoattack is not installed.
        DataError: If there is only one class.
    """
    attacks = _package()
    if not len(images):
        return torch.zeros(0, dtype=torch.bool, device=labels.device)
    with in_mode(model, training=False), _left_alone(model, images.device):
        with torch.no_grad():
            logits = model(images)
        if logits.shape[1] < 2:
            raise DataError(f"AutoAttack needs at least 2 classes, there are {logits.shape[1]}")
        right = are_right(logits, labels)
        left = right.nonzero().view(-1)
        if eps == 0 or not len(left):
            return right
        run = attacks.AutoAttack(
            model, norm=NAMES[norm], eps=eps, seed=keyed.key(seed, "autoattack") >> 32, device=images.device
        )
        _fit(run, logits.shape[1])
        moved, found = run.run_standard_evaluation(
            images[left].contiguous(), labels[left], batch_size=len(left)
        )
        right[left] = (found == labels[left]) & is_right(model, moved, labels[left])
        if logits.shape[1] < FEWEST_FOR_DLR:
            _attack_rest_(right, model, images, labels, ids, eps=eps, norm=norm, seed=seed)
        return right


def _attack_rest_(
    right: Tensor, model: nn.Module, images: Tensor, labels: Tensor, ids: Tensor, **given: Any
) -> None:
    """Attack the images that are still classified right by what stands in for targeted APGD."""
    for attack in (pgd50x10, margin):
        left = right.nonzero().view(-1)
        right[left] = attack(model, images[left], labels[left], ids[left], **given)


def _fit(run: Any, classes: int) -> None:
    """Aim at no more classes than there are."""
    targets = min(TARGETS, classes - 1)
    run.apgd_targeted.n_target_classes = run.fab.n_target_classes = targets
    if classes < FEWEST_FOR_DLR:
        run.attacks_to_run = [name for name in run.attacks_to_run if name != "apgd-t"]


def _package() -> Any:
    try:
        import pyautoattack  # noqa: PLC0415  an extra
    except ImportError as error:
        raise HslError(
            "AutoAttack needs the package pyautoattack, which is not installed: pip install 'hsl[autoattack]', "
            "or choose another robustness measure, for example pgd50x10"
        ) from error
    return pyautoattack


@contextmanager
def _left_alone(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Undo what the package does: seed the global generators, add to gradients of weights, end tracing."""
    devices = [device] if device.type == "cuda" else []
    trace = sys.gettrace()
    off = torch.autocast(device.type, enabled=False)
    with torch.inference_mode(mode=False), torch.random.fork_rng(devices=devices), off, frozen(model):
        try:
            yield
        finally:
            sys.settrace(trace)
