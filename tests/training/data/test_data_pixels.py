"""Pixels of every mode and format that Pillow writes, against torchvision's loader and what the formats define."""

from __future__ import annotations

import io
import logging
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from torchvision.datasets.folder import pil_loader

from hsl.errors import DataError
from hsl.training.data.files.pixels import COLOUR, GREY, SIXTEEN_BITS, read_picture
from hsl.training.data.sources import imagefolder

Image.init()
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:PIL")  # of formats that Pillow will drop

MODES = sorted({*Image.MODES, "I;16L", "I;16B", "I;16N", "LA", "PA"})
EXTERNAL = {"EPS", "PDF", "WMF", "PALM", "BUFR", "GRIB", "HDF5"}
"""Formats that Pillow writes, and reads not at all or by a program from outside."""

ICONS = {"ICNS"}
"""Written at ten sizes up to 1,024 pixels, which takes seconds: of one mode, the rest is PNG."""


def image_of(mode: str, size: tuple[int, int] = (8, 8)) -> Image.Image:
    """An image of random pixels, where Pillow can make one of that mode from RGBA, else a flat one."""
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    try:
        return Image.fromarray(pixels, "RGBA").convert("RGB" if mode == "LAB" else mode)
    except ValueError:
        return Image.new(mode, size, 1)


def written(image: Image.Image, kind: str, **options: Any) -> bytes | None:
    """The file, or None where the format does not take that mode."""
    buffer = io.BytesIO()
    try:
        image.save(buffer, kind, **options)
    except (OSError, ValueError, KeyError, AttributeError):
        return None
    return buffer.getvalue()


def rounded(value: Fraction) -> int:
    return int(value + Fraction(1, 2))


@pytest.mark.parametrize("kind", sorted(set(Image.SAVE) - EXTERNAL))
def test_every_mode_of_a_format_is_read_as_torchvision_reads_it_or_refused_by_name(
    kind: str, tmp_path: Path
) -> None:
    read = []
    for mode in ("P",) if kind in ICONS else MODES:
        content = written(image_of(mode), kind)
        if content is None:
            continue
        file = tmp_path / f"{mode.replace(';', '')}.image"
        file.write_bytes(content)
        with Image.open(file) as opened:
            opened.load()
            form, values = opened.mode, np.asarray(opened)
        read.append(form)
        if form in SIXTEEN_BITS or (form == "I" and kind in {"PNG", "PPM"}):
            expected = np.vectorize(lambda v: rounded(Fraction(int(v), 257)))(values)
            assert np.array_equal(read_picture(str(file), file).pixels, expected[None])
        elif form in GREY | COLOUR:
            reference = np.asarray(pil_loader(str(file))).transpose(2, 0, 1)
            found = read_picture(str(file), file).pixels
            assert len(found) == (1 if form in GREY else 3)
            assert np.array_equal(np.broadcast_to(found, reference.shape), reference)
        else:
            with pytest.raises(DataError, match=rf"{file}: an image of Pillow's mode {form} has no scale"):
                read_picture(str(file), file)
    assert read, f"Pillow writes nothing as {kind}"


def test_the_formats_reach_every_mode_that_is_read_and_the_refused_ones() -> None:
    """So that the test above is about all of them."""
    reached = set()
    for kind in set(Image.SAVE) - EXTERNAL - ICONS:
        for mode in MODES:
            if content := written(image_of(mode), kind):
                with Image.open(io.BytesIO(content)) as opened:
                    reached.add(opened.mode)
    assert reached >= {"1", "L", "P", "RGB", "RGBA", "LA", "PA", "CMYK", "YCbCr", "I;16", "I;16B", "I", "F"}


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000", "PPM"])
def test_sixteen_bits_become_eight_over_their_whole_scale(kind: str, tmp_path: Path) -> None:
    ramp = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    file = tmp_path / "ramp"
    content = written(Image.fromarray(ramp), kind)
    assert content is not None
    file.write_bytes(content)
    found = read_picture("ramp", file).pixels
    assert found.dtype == np.uint8
    assert found.reshape(-1).tolist() == [rounded(Fraction(value, 257)) for value in range(65536)]


def tiff(values: np.ndarray, bits: int, photometric: int, content: bytes) -> bytes:
    """A little-endian TIFF of one strip, written by its specification (revision 6.0)."""
    tags = {256: values.shape[1], 257: values.shape[0], 258: bits, 259: 1, 262: photometric}
    tags |= {273: 8 + 2 + 12 * 9 + 4, 277: 1, 278: values.shape[0], 279: len(content)}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in sorted(tags.items()))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + b"\0\0\0\0" + content


def test_a_tiff_whose_white_is_zero_is_no_negative() -> None:
    values = np.array([[0, 257 * 3], [65535, 65535 - 257]], "<u2")
    for photometric, expected in ((1, [[0, 3], [255, 254]]), (0, [[255, 252], [0, 1]])):
        content = tiff(values, 16, photometric, values.tobytes())
        assert read_picture("x", content).pixels[0].tolist() == expected


@pytest.mark.parametrize(("bits", "kind"), [(8, "u1"), (16, "<u2")])
def test_a_tiff_of_signed_values_is_refused(bits: int, kind: str) -> None:
    values = np.array([[0, 3], [100, 7]], kind)
    content = tiff(values, bits, 1, values.tobytes())
    assert read_picture("x", content).pixels.shape == (1, 2, 2)
    end = 8 + 2 + 12 * 9  # of the last entry, in whose place one that says how values are signed stands
    entry = struct.pack("<HHII", 339, 4, 1, 2)
    signed = content[:8] + struct.pack("<H", 10) + content[10:end] + entry + content[end:]
    signed = signed.replace(
        struct.pack("<HHII", 273, 4, 1, 8 + 2 + 12 * 9 + 4), struct.pack("<HHII", 273, 4, 1, end + 16)
    )
    with pytest.raises(DataError, match=r"x: "):
        read_picture("x", signed)


def test_twelve_bits_have_their_own_scale() -> None:
    values = np.array([[0, 4095], [16, 2048]])
    packed = b"".join(
        bytes([a >> 4, (a & 15) << 4 | b >> 8, b & 255]) for a, b in values.tolist()
    )  # two values in three bytes
    found = read_picture("x", tiff(values, 12, 1, packed)).pixels[0]
    assert found.tolist() == [[0, 255], [1, 128]]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(9))
def test_the_orientation_of_a_camera_is_applied_as_pillow_applies_it(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = written(image_of("RGB", (8, 5)), kind, exif=exif)
    assert content is not None
    with Image.open(io.BytesIO(content)) as opened:
        opened.load()
        upright = np.asarray(ImageOps.exif_transpose(opened).convert("RGB")).transpose(2, 0, 1)
    found = read_picture("x", content).pixels
    assert found.shape == ((3, 8, 5) if orientation > 4 else (3, 5, 8))
    assert np.array_equal(found, upright)


def test_sixteen_bits_are_turned_as_well() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    values = np.arange(6, dtype=np.uint16).reshape(2, 3) * 257
    content = written(Image.fromarray(values), "PNG", exif=exif)
    assert content is not None
    assert np.array_equal(read_picture("x", content).pixels[0], np.rot90(values // 257, -1))


def test_damaged_exif_says_nothing_of_the_pixels() -> None:
    content = written(image_of("RGB"), "PNG", exif=b"Exif\0\0no exif at all")
    assert content is not None
    assert np.array_equal(read_picture("x", content).pixels, np.asarray(image_of("RGB")).transpose(2, 0, 1))


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_an_image_of_several_frames_is_refused(kind: str) -> None:
    content = written(image_of("RGB"), kind, save_all=True, append_images=[Image.new("RGB", (8, 8))])
    assert content is not None
    with pytest.raises(DataError, match=r"a\.x: an image of 2 frames or pages; save the one that counts"):
        read_picture("a.x", content)


def test_previews_of_a_camera_are_no_frames() -> None:
    content = written(image_of("RGB"), "MPO", save_all=True, append_images=[Image.new("RGB", (4, 4))])
    assert content is not None
    assert read_picture("x", content).pixels.shape == (3, 8, 8)


def transparent(mode: str) -> dict[str, Any]:
    """Options that make one value of a PNG of this mode transparent."""
    return {"transparency": {"L": 7, "P": 7, "RGB": (7, 7, 7)}[mode]} if mode != "RGBA" else {}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mode", ["L", "P", "RGB", "RGBA"])
def test_transparency_is_dropped_and_said(
    mode: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    values = np.full((8, 8, 4), 7, np.uint8)
    hidden = Image.fromarray(values, "RGBA")
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / folder / "1.png")
    image = hidden if mode == "RGBA" else Image.new(mode, (8, 8), 7 if mode != "RGB" else (7, 7, 7))
    if mode == "P":
        image.putpalette([channel for value in range(256) for channel in (value, value, value)])
    image.save(tmp_path / "b" / "2.png", **transparent(mode))
    arrays = imagefolder(str(tmp_path))
    assert (arrays.images[2] == 7).all(), "the hidden colour"
    assert "1 of 3 images lose their transparency, and hidden colours show" in caplog.text
    assert f"{tmp_path}/b/2.png" in caplog.text


def test_an_opaque_alpha_is_not_spoken_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        Image.new("RGBA", (8, 8), (1, 2, 3, 255)).save(tmp_path / folder / "1.png")
    assert imagefolder(str(tmp_path)).images[:, :, 0, 0].tolist() == [[1, 2, 3]] * 2
    assert caplog.text == ""


def test_grey_among_colour_becomes_colour(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for folder, mode, colour in (("a", "L", 9), ("b", "RGB", (1, 2, 3)), ("c", "I;16", 257 * 4)):
        (tmp_path / folder).mkdir()
        Image.new(mode, (8, 8), colour).save(tmp_path / folder / "1.png")
    arrays = imagefolder(str(tmp_path))
    assert arrays.images[:, :, 0, 0].tolist() == [[9, 9, 9], [1, 2, 3], [4, 4, 4]]
    assert "2 of 3 images are grey, and become RGB" in caplog.text
