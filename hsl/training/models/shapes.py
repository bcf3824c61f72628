"""The shape of an image, and what a network needs of it."""

from hsl.errors import DataError

Shape = tuple[int, int, int]
"""Channels, height and width."""


def check_side(network: str, shape: Shape, side: int, instead: str) -> None:
    """Refuse images that a network would shrink to nothing.

    Args:
        network: Name of the network.
        shape: Channels, height and width of the images.
        side: Smallest height and width that it takes, in pixels.
        instead: What to use for smaller images.

    Raises:
        DataError: If the images are smaller.
    """
    if min(shape[1:]) < side:
        raise DataError(
            f"{network} needs images of at least {side}x{side} pixels, got {shape[1]}x{shape[2]}; use {instead}"
        )
