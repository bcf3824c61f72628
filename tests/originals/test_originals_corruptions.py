"""Deterministic corruptions compared with the libraries that the published scripts call, where these are installed.

`published_corruptions` writes the formulas out; here they are made of the same calls as the originals. Distances are
of values in [0, 1] before they are cut.
"""

import io

import numpy as np
import published_corruptions as published
import pytest
import torch
from corruption_draws import DRAWS, KEY, SEVERITIES, SIDES, rough, waves
from PIL import Image
from scipy import ndimage

from hsl.hardness import CORRUPTIONS

cv2 = pytest.importorskip("cv2")
color = pytest.importorskip("skimage.color")
filters = pytest.importorskip("skimage.filters")


def constant(name, x, severity):
    return published.CONSTANTS[x.shape[0]][name][severity - 1]


def gaussian_blur(x, severity):
    return filters.gaussian(x, sigma=constant("gaussian_blur", x, severity), channel_axis=-1)


def defocus_blur(x, severity):
    radius, alias = constant("defocus_blur", x, severity)
    places = np.arange(-8, 9)
    across, down = np.meshgrid(places, places)
    disk = np.array((across**2 + down**2) <= radius**2, dtype=np.float64)
    kernel = cv2.GaussianBlur(disk / np.sum(disk), ksize=(3, 3), sigmaX=alias)
    return np.stack([cv2.filter2D(np.ascontiguousarray(x[..., c]), -1, kernel) for c in range(3)], axis=2)


def zoom_blur(x, severity):
    out = np.zeros_like(x)
    for factor in published.ZOOMS[severity - 1]:
        side = x.shape[0]
        part = int(np.ceil(side / factor))
        top = (side - part) // 2
        zoomed = ndimage.zoom(x[top : top + part, top : top + part], (factor, factor, 1), order=1)
        trim = (zoomed.shape[0] - side) // 2
        out += zoomed[trim : trim + side, trim : trim + side]
    return (x + out) / (len(published.ZOOMS[severity - 1]) + 1)


def contrast(x, severity):
    means = np.mean(x, axis=(0, 1), keepdims=True)
    return (x - means) * constant("contrast", x, severity) + means


def brightness(x, severity):
    hsv = color.rgb2hsv(x)
    hsv[..., 2] = np.clip(hsv[..., 2] + constant("brightness", x, severity), 0, 1)
    return color.hsv2rgb(hsv)


def saturate(x, severity):
    factor, added = constant("saturate", x, severity)
    hsv = color.rgb2hsv(x)
    hsv[..., 1] = np.clip(hsv[..., 1] * factor + added, 0, 1)
    return color.hsv2rgb(hsv)


def jpeg_compression(x, severity):
    file = io.BytesIO()
    quality = constant("jpeg_compression", x, severity)
    Image.fromarray(np.uint8(np.round(x * 255))).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file)) / 255


def pixelate(x, severity):
    side, share = x.shape[0], constant("pixelate", x, severity)
    picture = Image.fromarray(np.uint8(np.round(x * 255)))
    picture = picture.resize((int(side * share), int(side * share)), Image.Resampling.BOX)
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX)) / 255


def elastic_transform(x, severity, corners, flow):
    side = x.shape[0]
    strength, sigma, move = (value * side for value in constant("elastic_transform", x, severity))
    size, third = np.float32((side, side)) // 2, side // 3
    before = np.float32([size + third, [size[0] + third, size[1] - third], size - third])
    matrix = cv2.getAffineTransform(before, before + (corners * move).astype(np.float32))
    x = cv2.warpAffine(x.astype(np.float32), matrix, (side, side), borderMode=cv2.BORDER_REFLECT_101)
    if strength == 0:
        return x
    right, down = (
        filters.gaussian(f, sigma, mode="reflect", truncate=3) * strength for f in flow.astype(np.float64)
    )
    across, along = np.meshgrid(np.arange(side), np.arange(side))
    places = [along + down, across + right]
    moved = [ndimage.map_coordinates(x[..., c], places, order=1, mode="reflect") for c in range(3)]
    return np.stack(moved, axis=2)


LARGEST = {
    gaussian_blur: 1e-12,
    defocus_blur: 1e-12,
    zoom_blur: 7e-5 / 255,
    contrast: 2e-13,
    brightness: 2e-13,
    saturate: 2e-13,
    jpeg_compression: 1e-15,
    pixelate: 1e-15,
    elastic_transform: 5e-4 / 255,  # OpenCV is exact in 32 bits alone, and so were the images of the original
}


@pytest.mark.parametrize("original", LARGEST, ids=lambda original: original.__name__)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("severity", SEVERITIES)
def test_values_are_those_of_the_libraries(original, side, severity):
    smooth = waves(3, side)
    images = smooth if original is elastic_transform else torch.cat([smooth, rough(1, side)])
    ids = torch.arange(len(images)) * 5 + 3
    name = original.__name__
    ours = CORRUPTIONS[name](images.float(), ids, severity, KEY).double().numpy() / 255
    draws = DRAWS[name](ids, side, severity) if name in DRAWS else []
    pictures = images.permute(0, 2, 3, 1).double().numpy() / 255
    theirs = [original(x, severity, *(draw[i] for draw in draws)) for i, x in enumerate(pictures)]
    np.testing.assert_allclose(ours, np.stack(theirs).transpose(0, 3, 1, 2), rtol=0, atol=LARGEST[original])


@pytest.mark.parametrize("severity", SEVERITIES)
def test_liquid_is_lit_as_by_opencv(severity):
    """The steps of spatter that the published script leaves to OpenCV, on the liquid of many draws."""
    for i, noise in enumerate(DRAWS["spatter"](torch.arange(6), 32, severity)[0]):
        mean, sigma, smoothing = published.SPATTER_NOISE[severity - 1]
        liquid = ndimage.gaussian_filter(noise * sigma + mean, smoothing, mode="nearest")
        liquid[liquid < 0.69] = 0
        grey = (liquid * 255).astype(np.uint8)
        edges = cv2.Canny(grey, 50, 150)
        assert np.array_equal(edges > 0, published.canny(grey.astype(np.int64))), i
        far = cv2.distanceTransform(255 - edges, cv2.DIST_L2, 5)
        if edges.any():
            np.testing.assert_allclose(published.chamfer(edges > 0), far, atol=1e-4)
        level = np.minimum(far, 20).astype(np.uint8)
        assert np.array_equal(cv2.equalizeHist(level), published.equalize(level.astype(int)))
