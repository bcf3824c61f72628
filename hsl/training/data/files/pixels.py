"""Pixels of image files as bytes: every mode of Pillow is read right, or refused. Torch-free.

==========================  ==================================================================================
Mode                        Pixels
==========================  ==================================================================================
``1``, ``L``                one channel
``I;16`` and its kin        one channel; a value v of b bits becomes 255 v / (2**b - 1), rounded to nearest
                            (v / 257 of 16 bits)
``P``, ``CMYK``, ``YCbCr``  converted to RGB by Pillow; of 16-bit colour it keeps the high byte
alpha of any kind           converted to RGB, and the alpha is dropped, as ``convert("RGB")`` of torchvision's
                            ``ImageFolder`` and of most code on Hugging Face's does; how many images lose
                            transparent pixels that way is logged
``I``, ``F``, ``LAB``       refused: there is no scale from black to white (but a 16-bit PNG or PGM is one)
signed values of TIFF       refused: nothing says which of them is black
several frames or pages     refused, but for MPO, whose other frames are previews
==========================  ==================================================================================

The orientation that cameras note in EXIF is applied, as Hugging Face's ``Image`` does and browsers show it.
"""

import io
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image

from hsl.errors import DataError

GREY = frozenset({"1", "L"})
SIXTEEN_BITS = frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
COLOUR = frozenset({"RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "LA", "CMYK", "YCbCr", "HSV"})

WITH_ALPHA = frozenset({"RGBA", "RGBa", "LA", "PA", "P"})
"""Modes that can have an alpha channel; the colours of a palette can."""

SIXTEEN_BITS_AS_INTEGERS = frozenset({"PNG", "PPM"})
"""Formats whose images of the mode ``I`` are of 16 bits: PGM in every version of Pillow, PNG in older ones."""

FIRST_IS_WHOLE = frozenset({"MPO", "PSD"})
"""Formats whose first frame is the image, and the others are previews or layers."""

BITS, PHOTOMETRIC, SAMPLE_FORMAT = 258, 262, 339
"""Tags of TIFF: bits of a value; whether 0 is white (value 0) or black; and whether values are signed (2)."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Orientation of EXIF -> what puts the image upright."""


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels: uint8 [C, H, W], one channel of grey or three of RGB.
        is_transparent: Whether it had pixels that were not opaque.
    """

    pixels: np.ndarray
    is_transparent: bool = False


def read_picture(where: str, source: Path | bytes, mend: str = "remove or repair it") -> Picture:
    """The pixels of an image, by the rules of this module.

    Args:
        where: Names the image in messages.
        source: Its file, or its content.
        mend: What to do about an image that cannot be read.

    Raises:
        DataError: If it cannot be read, has several frames, or a mode without a scale from black to white.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            image.load()
            _check_form(where, image)
            return _picture(image)
    except DataError:
        raise
    except Exception as error:  # Pillow raises many types of errors for damaged files
        raise DataError(f"{where}: not a readable image ({error}); {mend}") from error


def in_colour(pixels: np.ndarray) -> np.ndarray:
    """Pixels [3, H, W]; the channels of a grey image are equal."""
    return np.repeat(pixels, 3, axis=0) if len(pixels) == 1 else pixels


def _check_form(where: str, image: Image.Image) -> None:
    frames = 1 if image.format in FIRST_IS_WHOLE else getattr(image, "n_frames", 1)
    if frames > 1:
        raise DataError(
            f"{where}: an image of {frames} frames or pages; save the one that counts as a file of its own"
        )
    if not (image.mode in GREY | COLOUR or _has_sixteen_bits(image)):
        raise DataError(
            f"{where}: an image of Pillow's mode {image.mode} has no scale from black to white; save it as grey of "
            f"8 or 16 bits, or as RGB"
        )
    if 2 in getattr(image, "tag_v2", {}).get(SAMPLE_FORMAT, ()):
        raise DataError(
            f"{where}: a TIFF of signed values, of which nothing says what is black; save it unsigned"
        )


def _has_sixteen_bits(image: Image.Image) -> bool:
    return image.mode in SIXTEEN_BITS or (image.mode == "I" and image.format in SIXTEEN_BITS_AS_INTEGERS)


def _picture(image: Image.Image) -> Picture:
    orientation = None
    with suppress(Exception):  # damaged EXIF, of which Pillow raises many types, says nothing of the pixels
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    upright = image.transpose(TURNS[orientation]) if orientation in TURNS else image
    if _has_sixteen_bits(image):
        return Picture(_eight_bits(np.asarray(upright), getattr(image, "tag_v2", {}))[None])
    opaque, is_transparent = _without_alpha(upright)
    if opaque.mode in GREY:
        return Picture(np.asarray(opaque.convert("L"))[None], is_transparent)
    return Picture(np.asarray(opaque.convert("RGB")).transpose(2, 0, 1), is_transparent)


def _without_alpha(image: Image.Image) -> tuple[Image.Image, bool]:
    """An image whose alpha is dropped, and whether some of its pixels were not opaque."""
    if image.mode not in WITH_ALPHA and "transparency" not in image.info:
        return image, False
    coloured = image.convert("RGBA")
    is_transparent = bool((np.asarray(coloured.getchannel("A")) < 255).any())
    return image if image.mode in GREY else coloured, is_transparent


def _eight_bits(values: np.ndarray, tags: Mapping[int, Any]) -> np.ndarray:
    """Values of up to 16 bits as uint8, rounded to nearest.

    Args:
        values: Integers of the file; Pillow leaves those of TIFFs as they are whose white is 0, or that have 12 bits.
        tags: Of a TIFF, else empty.
    """
    top = (1 << tags.get(BITS, (16,))[0]) - 1
    scaled = (values.astype(np.uint32) * 255 + top // 2) // top
    return (255 - scaled if tags.get(PHOTOMETRIC) == 0 else scaled).astype(np.uint8)
