"""Constants of the corruptions by severity, and on which images a corruption is defined. Free of torch.

Hendrycks & Dietterich, Benchmarking Neural Network Robustness to Common Corruptions and Perturbations, ICLR
2019, arXiv 1903.12261: CIFAR-C for 32 x 32 pixels, Tiny-ImageNet-C for 64 x 64. An image whose shorter side
is at least 48 pixels takes the constants for 64, a smaller one those for 32.

Severity 6 is no part of these data sets. Where the sixth entry of a table exists it continues the table by
its own last step (of shot noise: by the last step of the standard deviation, 1 / sqrt(photons); of the radius
of defocus blur: at the same smoothing). The 0.12 of contrast is that of the corrupted CIFAR-10 of Nam et al.,
Learning from Failure, NeurIPS 2020, arXiv 2007.02561. Where one number does not grow with severity alone, a
sixth entry would be arbitrary, and there is none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hsl.errors import DataError
from hsl.hardness.registries import CORRUPTIONS, CorruptionFacts

LARGE_SIDE = 48
"""Shorter side, in pixels, from which on an image takes the constants for 64 x 64."""

EXTRAPOLATED_SEVERITY = 6
"""The highest severity of any corruption."""

Constants = tuple[float, ...]


@dataclass(frozen=True)
class Table:
    """Constants of one corruption, the first entry for severity 1.

    Attributes:
        small: For images of 32 x 32.
        large: For images of 64 x 64.
    """

    small: tuple[Constants, ...]
    large: tuple[Constants, ...]

    def of(self, side: int) -> tuple[Constants, ...]:
        """The entries for images with this shorter side, in pixels."""
        return self.large if side >= LARGE_SIDE else self.small


def _single(small: Sequence[float], large: Sequence[float]) -> Table:
    """Table of a corruption with one constant."""
    return Table(tuple((value,) for value in small), tuple((value,) for value in large))


_ZOOM = (1.06, 1.11, 1.16, 1.21, 1.26)

TABLES: dict[str, Table] = {
    # standard deviation, of the range
    "gaussian_noise": _single((0.04, 0.06, 0.08, 0.09, 0.10, 0.11), (0.04, 0.08, 0.12, 0.15, 0.18, 0.21)),
    # photons of a white pixel
    "shot_noise": _single((500, 250, 100, 75, 50, 36), (250, 100, 50, 30, 15, 9)),
    # share of damaged values
    "impulse_noise": _single((0.01, 0.02, 0.03, 0.05, 0.07, 0.09), (0.01, 0.02, 0.05, 0.08, 0.14, 0.20)),
    # standard deviation, of the value
    "speckle_noise": _single((0.06, 0.1, 0.12, 0.16, 0.2, 0.24), (0.15, 0.2, 0.25, 0.3, 0.35, 0.4)),
    # standard deviation in pixels
    "gaussian_blur": _single((0.4, 0.6, 0.7, 0.8, 1, 1.2), (0.5, 0.75, 1, 1.25, 1.5, 1.75)),
    # radius and smoothing of the disk, in pixels
    "defocus_blur": Table(
        ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1), (2, 0.1)),
        ((0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1), (3.5, 0.1)),
    ),
    # standard deviation and largest displacement in pixels, rounds
    "glass_blur": Table(
        ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        ((0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)),
    ),
    # radius and standard deviation in pixels
    "motion_blur": Table(
        ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),
        ((10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)),
    ),
    # end of the range of zoom factors
    "zoom_blur": _single(_ZOOM, _ZOOM),
    # mean and standard deviation of the flakes, their zoom and threshold, radius and standard deviation of
    # their motion in pixels, share of the image
    "snow": Table(
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.8),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.8),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.7),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.6),
        ),
    ),
    # share of the image, share of the texture
    "frost_procedural": Table(
        ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),
        ((1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)),
    ),
    # strength, and factor by which the fog gets smoother from scale to scale
    "fog": Table(
        ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),
        ((0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)),
    ),
    # added to the value, of the range
    "brightness": _single((0.05, 0.1, 0.15, 0.2, 0.3, 0.4), (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)),
    # share of the contrast that is left
    "contrast": _single((0.75, 0.5, 0.4, 0.3, 0.15, 0.12), (0.4, 0.3, 0.2, 0.1, 0.05)),
    # factor of the saturation, and what is added to it
    "saturate": Table(
        ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),
        ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)),
    ),
    # quality
    "jpeg_compression": _single((80, 65, 58, 50, 40), (65, 58, 50, 40, 25)),
    # side of the small image, of the side
    "pixelate": _single((0.95, 0.9, 0.85, 0.75, 0.65), (0.9, 0.8, 0.7, 0.6, 0.5)),
    # length and standard deviation of the flow, largest move of a corner; of the side
    "elastic_transform": Table(
        ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03)),
        ((0, 0, 0.08), (0.05, 0.3, 0.06), (0.1, 0.08, 0.06), (0.1, 0.03, 0.03), (0.16, 0.03, 0.02)),
    ),
    # mean, standard deviation, smoothing in pixels and threshold of the liquid, its strength (of mud:
    # smoothing in pixels), whether it is mud
    "spatter": Table(
        (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        (
            (0.62, 0.1, 0.7, 0.7, 0.6, 0),
            (0.65, 0.1, 0.8, 0.7, 0.6, 0),
            (0.65, 0.3, 1, 0.69, 0.6, 0),
            (0.65, 0.1, 0.7, 0.68, 0.6, 1),
            (0.65, 0.1, 0.5, 0.67, 0.6, 1),
        ),
    ),
}


def constants_of(name: str, side: int, severity: int) -> Constants:
    """Constants of a corruption of this package at a severity, for images of this shorter side in pixels."""
    return TABLES[name].of(side)[severity - 1]


def check_corruption(name: str, shape: tuple[int, int, int], severity: int = 1) -> None:
    """Refuse a corruption that is not defined on such images; a plug-in is defined wherever it says.

    Args:
        name: Entry of the registry of corruptions, or a plug-in.
        shape: (C, H, W) of the images.
        severity: How severe it is to be.

    Raises:
        UnknownNameError: If there is no such corruption.
        DataError: If it is not defined for the size, the number of channels or the severity.
    """
    facts = CORRUPTIONS.facts(name)
    channels, side = shape[0], min(shape[1:])
    highest = facts.severities[side >= LARGE_SIDE]
    if severity not in range(1, highest + 1):
        raise DataError(
            f"severity {severity} of {name} does not exist at {side} pixels; allowed is 1-{highest}"
        )
    if side < facts.least_side:
        needs, size = f"it needs {facts.least_side} pixels a side", f"{shape[1]} x {shape[2]}"
        known = {other: CORRUPTIONS.facts(other) for other in sorted(CORRUPTIONS)}
        fitting = [other for other, its in known.items() if side >= its.least_side and _takes(its, channels)]
        raise DataError(
            f"{name} is not defined on images of {size}, {needs}; for these there are: {', '.join(fitting)}"
        )
    if not _takes(facts, channels):
        allowed = " or ".join(map(str, facts.channels))
        raise DataError(
            f"{name} is defined on images of {allowed} channels, these have {channels}; choose another"
        )


def _takes(facts: CorruptionFacts, channels: int) -> bool:
    return not facts.channels or channels in facts.channels
