"""The corruptions of CIFAR-C and Tiny-ImageNet-C compared with the libraries that the published scripts call.

`published_corruptions` writes the formulas out; here they are made of the same calls as the originals: OpenCV,
scikit-image, SciPy, Pillow. What they draw at random is given to both. ImageMagick's motion blur, which takes Wand, is
a kernel of OpenCV's instead. Frost is not compared: its photographs are not here, and hsl has another by another name.
"""

import io
import math
import os
from itertools import product
from pathlib import Path

import numpy as np
import published_corruptions as published
import pyarrow.parquet as pq
import pytest
import torch
from corruption_draws import DRAWS, KEY, SEVERITIES, SIDES, rough, waves
from PIL import Image
from scipy import ndimage, stats

from hsl.hardness import CORRUPTIONS
from hsl.hardness.corruptions.corrupt import corrupt

cv2 = pytest.importorskip("cv2")
color = pytest.importorskip("skimage.color")
filters = pytest.importorskip("skimage.filters")
util = pytest.importorskip("skimage.util")


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


def gaussian_noise(x, severity, normal):
    return x + normal * constant("gaussian_noise", x, severity)


def speckle_noise(x, severity, normal):
    return x + x * normal * constant("speckle_noise", x, severity)


def glass_blur(x, severity, moves):
    sigma, reach, rounds = constant("glass_blur", x, severity)
    y = in_bytes(filters.gaussian(x, sigma=sigma, channel_axis=-1))
    for i in range(rounds):
        for h in range(x.shape[0] - reach, reach, -1):
            for w in range(x.shape[1] - reach, reach, -1):
                dy, dx = moves[i, :, h, w]
                # The script exchanges two pixels, but both sides are views of one array: one is copied on the other.
                y[h, w] = y[h + dy, w + dx]
    return filters.gaussian(y / 255, sigma=sigma, channel_axis=-1)


def in_bytes(x):
    return np.uint8(np.clip(x, 0, 1) * 255 + 1e-9)


def motion(picture, radius, sigma, degrees):
    """Half a normal curve along a line of whole pixels: one kernel, over the picture with its edge repeated."""
    width = 2 * math.ceil(radius) + 1
    weights = np.exp(-np.square(np.arange(width)) / (2 * sigma**2))
    kernel = np.zeros((2 * width + 1, 2 * width + 1))
    angle = math.radians(degrees)
    for i, weight in enumerate(weights / weights.sum()):
        right, down = math.ceil(i * math.cos(angle) - 0.5), math.ceil(i * math.sin(angle) - 0.5)
        kernel[width + down, width + right] += weight
    blurred = cv2.filter2D(picture.astype(np.float64), -1, kernel, borderType=cv2.BORDER_REPLICATE)
    return np.floor(blurred + 1e-9) / 255


def motion_blur(x, severity, degrees):
    radius, sigma = constant("motion_blur", x, severity)
    return np.dstack([motion(in_bytes(x[..., c]), radius, sigma, degrees) for c in range(3)])


def clipped_zoom(layer, factor):
    side = len(layer)
    part = int(np.ceil(side / factor))
    top = (side - part) // 2
    large = ndimage.zoom(layer[top : top + part, top : top + part], (factor, factor), order=1)
    trim = (len(large) - side) // 2
    return large[trim : trim + side, trim : trim + side]


def snow(x, severity, normal, degrees):
    mean, sigma, factor, threshold, radius, spread = published.SNOW[severity - 1]
    layer = clipped_zoom(normal * sigma + mean, factor)
    layer[layer < threshold] = 0
    layer = motion(in_bytes(layer), radius, spread, degrees)[..., None]
    share = constant("snow_share", x, severity)
    grey = cv2.cvtColor(x.astype(np.float32), cv2.COLOR_RGB2GRAY)[..., None]
    return share * x + (1 - share) * np.maximum(x, grey * 1.5 + 0.5) + layer + np.rot90(layer, k=2)


def plasma(uniform, decay):
    """Diamond-square on a torus, a whole level at once by rolling; `uniform` [S, S] in [-1, 1], one per point."""
    height, step, wibble = np.zeros_like(uniform), len(uniform), 100.0
    while step >= 2:
        half = step // 2
        corners, middles = slice(0, None, step), slice(half, None, step)

        def fill(rows, columns, total, wibble=wibble):
            height[rows, columns] = total / 4 + wibble * wibble * uniform[rows, columns]

        old = height[corners, corners]
        fill(middles, middles, sum(np.roll(old, (-a, -b), (0, 1)) for a in (0, 1) for b in (0, 1)))
        centre = height[middles, middles]
        fill(corners, middles, centre + np.roll(centre, 1, 0) + old + np.roll(old, -1, 1))
        fill(middles, corners, centre + np.roll(centre, 1, 1) + old + np.roll(old, -1, 0))
        step, wibble = half, wibble / decay
    return (height - height.min()) / np.ptp(height)


def fog(x, severity, uniform):
    strength, decay = constant("fog", x, severity)
    return (x + strength * plasma(uniform, decay)[..., None]) * x.max() / (x.max() + strength)


def spatter(x, severity, normal):
    mean, sigma, smoothing = published.SPATTER_NOISE[severity - 1]
    threshold, strength = constant("spatter", x, severity)
    liquid = filters.gaussian(normal * sigma + mean, sigma=smoothing)
    liquid[liquid < threshold] = 0
    if severity >= 4:
        mud = filters.gaussian((liquid > threshold).astype(np.float64), sigma=strength)
        mud[mud < 0.8] = 0
        return x * (1 - mud[..., None]) + mud[..., None] * np.array([63, 42, 20]) / 255
    liquid = np.uint8(liquid * 255)
    far = cv2.distanceTransform(255 - cv2.Canny(liquid, 50, 150), cv2.DIST_L2, 5)
    far = cv2.threshold(far, 20, 20, cv2.THRESH_TRUNC)[1]
    height = cv2.equalizeHist(np.uint8(cv2.blur(far, (3, 3)) + 1e-5))
    lit = cv2.filter2D(height, cv2.CV_8U, np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]], np.float32))
    film = liquid * cv2.blur(lit, (3, 3)).astype(np.float32)
    film = film / film.max() if film.any() else film
    return x + film[..., None] * strength * np.array([175, 238, 238]) / 255


LARGEST = {
    gaussian_noise: 1e-6,
    speckle_noise: 1e-6,
    glass_blur: 1e-12,
    motion_blur: 1e-12,
    snow: 1e-6,  # OpenCV's grey is one of 32 bits
    fog: 1e-12,
    spatter: 1e-6,
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


def compared(original, images, severity):
    """Ours before and after the cut to bytes, and the original's values, [N, C, H, W] in [0, 1]."""
    ids, name = torch.arange(len(images)) * 5 + 3, original.__name__
    ours = CORRUPTIONS[name](images.float(), ids, severity, KEY).double().numpy() / 255
    stored = corrupt(images, ids, name, severity, KEY)
    draws = DRAWS[name](ids, images.shape[-1], severity) if name in DRAWS else []
    pictures = images.permute(0, 2, 3, 1).double().numpy() / 255
    theirs = [original(x, severity, *(draw[i] for draw in draws)) for i, x in enumerate(pictures)]
    return ours, stored.numpy(), np.stack(theirs).transpose(0, 3, 1, 2)


def check(original, images, severity):
    ours, stored, theirs = compared(original, images, severity)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=LARGEST[original])
    bytes_of_theirs = np.uint8(np.clip(theirs, 0, 1) * 255)
    assert np.abs(stored.astype(int) - bytes_of_theirs).max() <= 1


SAMPLE = {(3, 32), (5, 64)}
"""Severities and sides of the default tier."""


@pytest.mark.parametrize("original", LARGEST, ids=lambda original: original.__name__)
@pytest.mark.parametrize(
    ("severity", "side"),
    [
        pytest.param(*each, marks=() if each in SAMPLE else pytest.mark.slow)
        for each in product(SEVERITIES, SIDES)
    ],
)
def test_values_are_those_of_the_libraries(original, severity, side):
    smooth = waves(3, side)
    check(
        original, smooth if original is elastic_transform else torch.cat([smooth, rough(1, side)]), severity
    )


@pytest.mark.slow
@pytest.mark.parametrize("original", LARGEST, ids=lambda original: original.__name__)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("side", SIDES)
def test_many_images_and_draws_agree_with_the_libraries(original, severity, side):
    check(original, waves(32, side), severity)


@pytest.mark.slow
@pytest.mark.parametrize("original", LARGEST, ids=lambda original: original.__name__)
def test_photographs_agree_with_the_libraries(original):
    """The test images of CIFAR-10 that are at hand: within one of 255 levels, at every severity."""
    images = torch.from_numpy(photographs()[:40])
    for severity in SEVERITIES:
        check(original, images, severity)


def photographs():
    folder = Path(os.environ.get("HSL_TEST_DATA", "../shared/data")) / "cifar10"
    files = sorted(folder.glob("**/*test*.parquet"))
    if not files:
        pytest.skip("needs ../shared: no CIFAR-10 files there")
    column = pq.read_table(files[0]).column(0)[:40].to_pylist()
    return np.stack([np.asarray(Image.open(io.BytesIO(row["bytes"]))) for row in column]).transpose(
        0, 3, 1, 2
    )


@pytest.mark.parametrize("severity", [3, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2, 4, 5))])
@pytest.mark.parametrize("side", SIDES)
def test_salt_and_pepper_is_as_frequent_as_that_of_the_library(severity, side):
    """`random_noise` draws for itself: shares of black and of white, each within the scatter of two samples."""
    grey = np.full((60, side, side, 3), 100, np.uint8)
    amount = published.CONSTANTS[side]["impulse_noise"][severity - 1]
    theirs = util.random_noise(grey, mode="s&p", amount=amount, rng=0)
    ours = corrupt(
        torch.from_numpy(grey).permute(0, 3, 1, 2), torch.arange(60), "impulse_noise", severity, KEY
    )
    for value in (0, 255):
        found = [int((ours == value).sum()), int((np.round(theirs * 255) == value).sum())]
        assert stats.binomtest(found[0], sum(found), 0.5).pvalue > 1e-3


@pytest.mark.parametrize("severity", [3, *(pytest.param(s, marks=pytest.mark.slow) for s in (1, 2, 4, 5))])
@pytest.mark.parametrize("side", SIDES)
def test_photons_are_distributed_as_those_of_numpy(severity, side):
    """Counts of NumPy's generator and ours, of four grey values, by the two-sample test of Kolmogorov-Smirnov."""
    photons = published.CONSTANTS[side]["shot_noise"][severity - 1]
    for value in (3, 60, 128, 250):
        pixels = torch.full((8, 3, side, side), float(value))
        ours = CORRUPTIONS["shot_noise"](pixels, torch.arange(8), severity, KEY).numpy() / 255 * photons
        theirs = np.random.default_rng(value).poisson(photons * value / 255, ours.size)
        assert stats.ks_2samp(np.round(ours).ravel(), theirs).pvalue > 1e-3


def test_all_of_the_published_corruptions_are_compared():
    names = {original.__name__ for original in LARGEST} | {"impulse_noise", "shot_noise"}
    assert len(names) == 18
    assert names == set(CORRUPTIONS) - {"frost_procedural"}


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
