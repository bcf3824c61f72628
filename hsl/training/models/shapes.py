"""The shape of an image, and what a network needs of it."""

from hsl.errors import DataError

Shape = tuple[int, int, int]
"""Channels, height and width."""


def check_side(network: str, shape: Shape, side: int, instead: str) -> None:
    """Raise DataError for images below `side` pixels, which a network would shrink to nothing."""
    if min(shape[1:]) < side:
        raise DataError(
            f"{network} needs images of at least {side}x{side} pixels, got {shape[1]}x{shape[2]}; use {instead}"
        )
