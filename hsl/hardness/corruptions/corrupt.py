"""Damaged images: the corruptions of CIFAR-C and Tiny-ImageNet-C, batched, on any device.

Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR
2019, arXiv 1903.12261; their constants are in `hsl.hardness.corruptions.constants`. A corruption works in
pixel values, 0 to 255, and leaves clipping and the step to whole numbers to `corrupt`. The originals give the
same up to that step: a value that is a whole number can come out of their sums a rounding error lower, and is
then cut to the number below.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from hsl.errors import DataError
from hsl.hardness import keyed
from hsl.hardness.corruptions.constants import check_corruption
from hsl.hardness.corruptions.filters import ROUNDING
from hsl.hardness.registries import CORRUPTIONS
from hsl.hardness.returned import check_pixels

_CHUNK_VALUES = 1 << 20


def corrupt(
    images: Tensor, ids: Tensor, name: str, severity: int, key: int, *, chunk: int | None = None
) -> Tensor:
    """Apply one corruption to a set of images.

    Values are clipped to [0, 255] and cut to whole numbers, not rounded, as the published data sets are.

    Args:
        images: uint8 [N, C, H, W].
        ids: Sample ids, int64 [N]. The draws of an image depend on its id and the key alone.
        name: Entry of the registry of corruptions.
        severity: 1 to 5; 6 where its facts say so.
        key: Stream of the draws.
        chunk: Images that are worked on at once; bounds memory, does not change the result. Default: as many
            as have a million values.

    Returns:
        uint8 [N, C, H, W].

    Raises:
        UnknownNameError: If there is no such corruption.
        DataError: If the images are not uint8 [N, C, H, W], or the corruption is not defined for their size,
            their channels or the severity, or it has returned no such pixels.
    """
    _check(images, ids)
    check_corruption(name, (images.shape[1], images.shape[2], images.shape[3]), severity)
    damage = CORRUPTIONS[name]
    chunk = chunk or max(1, _CHUNK_VALUES // max(1, images[:1].numel()))
    corrupted = torch.empty_like(images)
    for first in range(0, len(images), chunk):
        piece = slice(first, first + chunk)
        pixels = damage(images[piece].float(), ids[piece], severity, key)
        check_pixels(name, pixels, images[piece])
        corrupted[piece] = (pixels + ROUNDING).clamp_(0, 255).to(torch.uint8)
    return corrupted


def mixed(images: Tensor, ids: Tensor, names: Sequence[str], severity: int, key: int) -> Tensor:
    """Apply one of several corruptions to each image, every one equally likely.

    An image is damaged as `corrupt` would damage it with a stream of its own for each name and severity.
    Choice and draws depend on its id and the key alone. Arguments and result are those of `corrupt`.
    """
    return as_chosen(images, ids, names, severity, key, choice(ids, len(names), key))


def as_chosen(
    images: Tensor, ids: Tensor, names: Sequence[str], severity: int, key: int, chosen: Tensor
) -> Tensor:
    """Apply to each image the corruption that was chosen for it: its position in `names`, int64 [N].

    The other arguments and the result are those of `mixed`.
    """
    corrupted = torch.empty_like(images)
    for i, name in enumerate(names):
        mine = chosen == i
        stream = keyed.key(key, name, severity)
        corrupted[mine] = corrupt(images[mine], ids[mine], name, severity, stream)
    return corrupted


def choice(ids: Tensor, options: int, key: int) -> Tensor:
    """Choose a corruption of a mix for each sample id, int64 [N]: its number in [0, options), int64 [N]."""
    return keyed.integers(keyed.key(key, "choice"), ids, (), options)


def correlated_choice(classes: Tensor, ids: Tensor, options: int, skew: float, key: int) -> Tensor:
    """Choose a corruption of a mix for each sample, where every class has one of its own.

    The corruption of class c is number c modulo `options`. A sample has that of its class with probability
    1 - skew, else one of the others, each equally likely. Nam et al., Learning from Failure, NeurIPS 2020,
    arXiv 2007.02561, who have ten classes and ten corruptions.

    Args:
        classes: Class of each image, int64 [N].
        ids: Sample ids, int64 [N].
        options: Number of corruptions, at least 2.
        skew: Probability of another corruption than that of the class, in (0, 1).
        key: Stream of the mix.

    Returns:
        int64 [N] in [0, options).
    """
    own = classes % options
    other = (own + 1 + keyed.integers(keyed.key(key, "choice"), ids, (), options - 1)) % options
    return torch.where(keyed.uniform(keyed.key(key, "is skewed"), ids) < skew, other, own)


def _check(images: Tensor, ids: Tensor) -> None:
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise DataError(f"images are {images.dtype} {list(images.shape)}; give torch.uint8 [N, C, H, W]")
    if len(ids) != len(images):
        raise DataError(f"{len(images)} images have {len(ids)} ids; give one id per image")
