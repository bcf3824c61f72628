"""Channels that are the same in every image, and images that use little of their scale. Torch-free."""

from collections.abc import Iterator

import numpy as np

from hsl.errors import DataError
from hsl.hardness.schema.regimes import Regime

CHUNK = 1000


def constant_channels(images: np.ndarray, ids: np.ndarray) -> list[int]:
    """Channels in which all pixels of some images have one value.

    Args:
        images: uint8 [N, C, H, W], which may be memory-mapped; only so many are read as are needed.
        ids: int64 [n], at least one: which of them count.
    """
    constant = np.arange(images.shape[1])
    value = images[ids[0], :, :1, :1]
    for start in range(0, len(ids), CHUNK):
        part = images[ids[start : start + CHUNK]][:, constant]
        constant = constant[(part == value[constant]).all((0, 2, 3))]
        if not len(constant):
            break
    return [int(channel) for channel in constant]


DIM = 64
"""Brightest pixel, of 255, from which on images use enough of their scale."""


def dim(images: np.ndarray, ids: np.ndarray) -> Iterator[str]:
    """A warning if no pixel of the images is bright, as of values of 12 bits in files of 16.

    Args:
        images: uint8 [N, C, H, W], which may be memory-mapped; only so many are read as are needed.
        ids: int64 [n], at least one: which of them count.
    """
    brightest = 0
    for start in range(0, len(ids), CHUNK):
        brightest = max(brightest, int(images[ids[start : start + CHUNK]].max()))
        if brightest >= DIM:
            return
    yield (
        f"no pixel of the {len(ids)} training images is brighter than {brightest} of 255, so that corruptions and "
        "attacks, whose size is a share of 255, are larger than they seem; if the files hold values of fewer bits, "
        "as of 12 bits in PNG of 16, scale them to the whole range"
    )


def check_perturbed(constant: list[int], is_perturbed: bool) -> None:
    """Refuse to perturb channels without any spread: a network divides by it, and any change becomes enormous.

    Args:
        constant: The channels that are the same in all training images.
        is_perturbed: Whether images are corrupted or attacked.

    Raises:
        DataError: If there is such a channel and images are perturbed.
    """
    if constant and is_perturbed:
        raise DataError(
            f"channel {', '.join(map(str, constant))} is the same in all pixels of the training images, so a network "
            "divides its changes by a spread of nothing, and what a corruption or an attack does to it outweighs the "
            "image; give images without it, for example grey ones"
        )


def perturbs(regime: Regime) -> bool:
    """Whether a regime corrupts or attacks images."""
    return regime.corruption is not None or regime.attack is not None
