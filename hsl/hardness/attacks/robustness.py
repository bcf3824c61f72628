"""Robust accuracy: which images a model classifies right under any change that an attack finds.

Every measure counts an image as right only if the untouched image, which is in the ball as well, is
classified right. The model is in eval mode and works in float32; starting points are drawn per sample, so
that a result depends neither on the batch nor on the order of the images (but for rounding). Parameters and
result of each measure are those of `hsl.hardness.registries.ROBUST`.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hsl.errors import DamagedError, DataError, HslError
from hsl.filesystems import place
from hsl.hardness import keyed
from hsl.hardness.attacks.attacks import check_ball, pgd_margin, pgd_odds, random_start
from hsl.hardness.attacks.modes import in_mode
from hsl.hardness.registries import ROBUST
from hsl.hardness.returned import check_right
from hsl.store.layout import intact

BLOCK = 128
"""Images that are attacked at once. It affects the results of AutoAttack, whose draws are those of a whole
batch."""

STEPS = {"linf": 1 / 4, "l2": 15 / 128}
"""Length of a step over eps: 2/255 of 8/255 (Wong et al. 2020, arXiv 2001.03994; Rice et al. 2020, arXiv
2002.11569), and 15/255 of 128/255."""


def still_right(
    measure: str,
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    seed: int = 0,
    state_path: Path | None = None,
) -> Tensor:
    """Find the images that are classified right under an attack, block by block.

    With a `state_path` every finished block is durable: the same call continues after it, with the same
    result to the last bit as without an interruption. The file can be deleted when the result is stored.

    Args:
        measure: Entry of the registry of robustness measures.
        model: Maps float32 [B, C, H, W] in [0, 1] to logits [B, classes].
        images: uint8, or floating point in [0, 1], [N, C, H, W].
        labels: int64 [N].
        ids: Sample ids, int64 [N].
        eps: Radius of the ball in pixel units, in [0, 1]; commonly 8/255 for ``linf`` and 0.5 for ``l2``.
        norm: ``linf`` or ``l2``.
        seed: Seed of the starting points.
        state_path: File of the finished blocks.

    Returns:
        bool [N].

    Raises:
        HslError: If a value is outside its range, a package is missing, or the file holds another evaluation.
    """
    check_ball(eps, norm)
    _check_samples(images, labels, ids)
    evaluator = ROBUST[measure]
    state = _State(state_path, model, labels, ids, [measure, eps, norm, seed, BLOCK]) if state_path else None
    right = torch.tensor(state.right if state else [], dtype=torch.bool, device=labels.device)
    for first in range(len(right), len(labels), BLOCK):
        block = slice(first, first + BLOCK)
        pixels = images[block].float() / 255 if images.dtype == torch.uint8 else images[block].float()
        found = evaluator(model, pixels, labels[block], ids[block], eps=eps, norm=norm, seed=seed)
        check_right(measure, found, len(pixels))
        right = torch.cat([right, found])
        if state:
            state.save(right)
    return right


def fgsm(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    seed: int = 0,
) -> Tensor:
    """One step of length eps from the image itself; draws nothing at random.

    Goodfellow et al., Explaining and Harnessing Adversarial Examples, ICLR 2015, arXiv 1412.6572.
    """
    return _withstood(pgd_odds, model, images, labels, ids, eps=eps, norm=norm, steps=1)


def pgd20(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    seed: int = 0,
) -> Tensor:
    """Twenty steps on the cross-entropy from one random start.

    Madry et al., Towards Deep Learning Models Resistant to Adversarial Attacks, ICLR 2018, arXiv 1706.06083.
    """
    key = keyed.key(seed, "pgd", 0)
    return _withstood(pgd_odds, model, images, labels, ids, eps=eps, norm=norm, steps=20, key=key)


def pgd50x10(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    seed: int = 0,
) -> Tensor:
    """Fifty steps on the cross-entropy from each of ten random starts, the worst of them.

    Wong, Rice & Kolter, Fast is Better than Free, ICLR 2020, arXiv 2001.03994.
    """
    right = is_right(model, images, labels)
    for restart in range(10):
        left = right.nonzero().view(-1)
        key = keyed.key(seed, "pgd", restart)
        right[left] = _withstood(
            pgd_odds, model, images[left], labels[left], ids[left], eps=eps, norm=norm, steps=50, key=key
        )
    return right


def margin(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    eps: float,
    norm: str = "linf",
    seed: int = 0,
) -> Tensor:
    """Fifty steps on the margin between the likeliest wrong logit and the right one, from one random start.

    Takes at least two classes. Carlini & Wagner, Towards Evaluating the Robustness of Neural Networks, S&P
    2017, arXiv 1608.04644.
    """
    key = keyed.key(seed, "margin")
    return _withstood(pgd_margin, model, images, labels, ids, eps=eps, norm=norm, steps=50, key=key)


def is_right(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    """Whether each image, float32 [B, C, H, W] in [0, 1], is classified right in eval mode and float32, bool [B]."""
    off = torch.autocast(images.device.type, enabled=False)
    with torch.no_grad(), in_mode(model, training=False), off:
        return are_right(model(images), labels)


def are_right(logits: Tensor, labels: Tensor) -> Tensor:
    """Whether the largest logit is that of the label, bool [B].

    Logits without a softmax, such as NaN or infinity, predict nothing and so are wrong; `argmax` takes the first
    NaN for the largest, and class 0 would be right.

    Args:
        logits: Floating point [B, classes]; minus infinity is a class that is ruled out.
        labels: int64 [B].
    """
    return (logits.argmax(dim=1) == labels) & logits.logsumexp(dim=1).isfinite()


def _withstood(
    attack: Callable[..., Tensor],
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    ids: Tensor,
    *,
    eps: float,
    norm: str,
    steps: int,
    key: int | None = None,
) -> Tensor:
    """Whether images are classified right untouched and attacked, from a random start if there is a key.

    Only images that are right untouched are attacked. A single step is as long as eps.
    """
    right = is_right(model, images, labels)
    left = right.nonzero().view(-1)
    if eps == 0 or not len(left):
        return right
    start = None if key is None else random_start(key, ids[left], tuple(images.shape[1:]), eps)
    step = eps if steps == 1 else eps * STEPS[norm]
    moved = attack(model, images[left], labels[left], eps=eps, step=step, steps=steps, norm=norm, start=start)
    right[left] = is_right(model, moved, labels[left])
    return right


class _State:
    """Finished blocks, in a file that identifies model, samples and settings (JSON-able) of the evaluation."""

    def __init__(
        self, path: Path, model: nn.Module, labels: Tensor, ids: Tensor, settings: list[Any]
    ) -> None:
        self._path = path
        self._identity = fingerprint(settings, (labels, ids, *model.state_dict().values()))
        found = intact(str(path), _stored) or {"identity": self._identity, "right": []}
        if found["identity"] != self._identity:
            raise HslError(
                f"{path} holds an evaluation of another model, other samples or other settings; "
                f"delete it, or give another path"
            )
        self.right: list[bool] = found["right"]

    def save(self, right: Tensor) -> None:
        """Place the file again, in one step."""
        content = json.dumps({"identity": self._identity, "right": right.tolist()})
        place(str(self._path), content.encode())


def _stored(path: str) -> dict[str, Any]:
    """Content that `_State.save` has written; raises `DamagedError` if it is anything else."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        return {"identity": str(found["identity"]), "right": [bool(one) for one in found["right"]]}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedError(f"no state of an evaluation ({error})") from error


def fingerprint(settings: list[Any], tensors: Iterable[Tensor]) -> str:
    """Hexadecimal digits that identify JSON-able settings and tensors of any type, to the last bit."""
    text = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16)
    for tensor in tensors:
        text.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return text.hexdigest()


def _check_samples(images: Tensor, labels: Tensor, ids: Tensor) -> None:
    if images.ndim != 4 or not labels.shape == ids.shape == images.shape[:1]:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in (images, labels, ids))
        raise DataError(f"images, labels and ids have shapes {shapes}; give [N, C, H, W], [N] and [N]")
