"""The corruptions of CIFAR-C and Tiny-ImageNet-C, literally: one image, NumPy, SciPy and Pillow, given draws.

An image is float64 [H, W, C] in [0, 1], the result the same before clipping; what was stored in 8 bits on the
way is cut here as well. Constants are written out again, so that a slip in a table does not test itself.
"""

import io
import math

import numpy as np
from PIL import Image
from scipy import ndimage

CONSTANTS = {
    32: {
        "gaussian_noise": [0.04, 0.06, 0.08, 0.09, 0.10],
        "speckle_noise": [0.06, 0.1, 0.12, 0.16, 0.2],
        "impulse_noise": [0.01, 0.02, 0.03, 0.05, 0.07],
        "shot_noise": [500, 250, 100, 75, 50],
        "gaussian_blur": [0.4, 0.6, 0.7, 0.8, 1],
        "defocus_blur": [(0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)],
        "glass_blur": [(0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)],
        "motion_blur": [(6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)],
        "fog": [(0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)],
        "frost": [(1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)],
        "snow_share": [0.95, 0.9, 0.9, 0.85, 0.8],
        "spatter": [(0.7, 0.5), (0.7, 0.5), (0.69, 0.5), (0.69, 0.6), (0.68, 0.6)],
        "brightness": [0.05, 0.1, 0.15, 0.2, 0.3],
        "contrast": [0.75, 0.5, 0.4, 0.3, 0.15],
        "saturate": [(0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)],
        "jpeg_compression": [80, 65, 58, 50, 40],
        "pixelate": [0.95, 0.9, 0.85, 0.75, 0.65],
        "elastic_transform": [
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ],
    },
    64: {
        "gaussian_noise": [0.04, 0.08, 0.12, 0.15, 0.18],
        "speckle_noise": [0.15, 0.2, 0.25, 0.3, 0.35],
        "impulse_noise": [0.01, 0.02, 0.05, 0.08, 0.14],
        "shot_noise": [250, 100, 50, 30, 15],
        "gaussian_blur": [0.5, 0.75, 1, 1.25, 1.5],
        "defocus_blur": [(0.5, 0.6), (1, 0.1), (1.5, 0.1), (2.5, 0.01), (3, 0.1)],
        "glass_blur": [(0.1, 1, 1), (0.5, 1, 1), (0.6, 1, 2), (0.7, 2, 1), (0.9, 2, 2)],
        "motion_blur": [(10, 1), (10, 1.5), (10, 2), (10, 2.5), (12, 3)],
        "fog": [(0.4, 3), (0.7, 3), (1, 2.5), (1.5, 2), (2, 1.75)],
        "frost": [(1, 0.3), (0.9, 0.4), (0.8, 0.45), (0.75, 0.5), (0.7, 0.55)],
        "snow_share": [0.8, 0.8, 0.7, 0.65, 0.6],
        "spatter": [(0.7, 0.6), (0.7, 0.6), (0.69, 0.6), (0.68, 0.6), (0.67, 0.6)],
        "brightness": [0.1, 0.2, 0.3, 0.4, 0.5],
        "contrast": [0.4, 0.3, 0.2, 0.1, 0.05],
        "saturate": [(0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (30, 0.2)],
        "jpeg_compression": [65, 58, 50, 40, 25],
        "pixelate": [0.9, 0.8, 0.7, 0.6, 0.5],
        "elastic_transform": [
            (0, 0, 0.08),
            (0.05, 0.3, 0.06),
            (0.1, 0.08, 0.06),
            (0.1, 0.03, 0.03),
            (0.16, 0.03, 0.02),
        ],
    },
}
SNOW = [
    (0.1, 0.2, 1, 0.6, 8, 3),
    (0.1, 0.2, 1, 0.5, 10, 4),
    (0.15, 0.3, 1.75, 0.55, 10, 4),
    (0.25, 0.3, 2.25, 0.6, 12, 6),
    (0.3, 0.3, 1.25, 0.65, 14, 12),
]
SPATTER_NOISE = [(0.62, 0.1, 0.7), (0.65, 0.1, 0.8), (0.65, 0.3, 1), (0.65, 0.1, 0.7), (0.65, 0.1, 0.5)]
ZOOMS = [np.arange(1, end, 0.01) for end in (1.06, 1.11, 1.16, 1.21, 1.26)]


def constant(name, image, severity):
    return CONSTANTS[image.shape[0]][name][severity - 1]


def each_channel(image, function):
    return np.stack([function(image[..., c]) for c in range(image.shape[2])], axis=2)


def to_bytes(x):
    return np.floor(np.clip(x * 255, 0, 255) + 1e-9).astype(np.uint8)


def gaussian_noise(x, severity, normal):
    return x + normal * constant("gaussian_noise", x, severity)


def speckle_noise(x, severity, normal):
    return x + x * normal * constant("speckle_noise", x, severity)


def contrast(x, severity):
    means = x.mean(axis=(0, 1), keepdims=True)
    return (x - means) * constant("contrast", x, severity) + means


def in_hsv(x, change):
    """Each pixel through the textbook conversions of colour spaces."""
    out = np.empty_like(x)
    for place in np.ndindex(x.shape[:2]):
        out[place] = hsv_to_rgb(*change(*rgb_to_hsv(*x[place])))
    return out


def rgb_to_hsv(r, g, b):
    v, spread = max(r, g, b), max(r, g, b) - min(r, g, b)
    if spread == 0:
        return 0.0, 0.0, v
    sector = (g - b) / spread if v == r else 2 + (b - r) / spread if v == g else 4 + (r - g) / spread
    return sector / 6 % 1, spread / v, v


def hsv_to_rgb(h, s, v):
    sector = math.floor(h * 6)
    f = h * 6 - sector
    p, q, t = v * (1 - s), v * (1 - f * s), v * (1 - (1 - f) * s)
    return [(v, t, p), (q, v, p), (p, v, t), (p, q, v), (t, p, v), (v, p, q)][sector % 6]


def brightness(x, severity):
    c = constant("brightness", x, severity)
    return in_hsv(x, lambda h, s, v: (h, s, np.clip(v + c, 0, 1)))


def saturate(x, severity):
    a, b = constant("saturate", x, severity)
    return in_hsv(x, lambda h, s, v: (h, np.clip(s * a + b, 0, 1), v))


def jpeg_compression(x, severity):
    file = io.BytesIO()
    Image.fromarray(to_bytes(x)).save(file, "JPEG", quality=constant("jpeg_compression", x, severity))
    return np.asarray(Image.open(file)) / 255


def pixelate(x, severity):
    side = x.shape[0]
    small = int(side * constant("pixelate", x, severity))
    picture = Image.fromarray(to_bytes(x)).resize((small, small), Image.Resampling.BOX)
    return np.asarray(picture.resize((side, side), Image.Resampling.BOX)) / 255


def blurred(x, sigma, **options):
    return each_channel(x, lambda c: ndimage.gaussian_filter(c, sigma, mode="nearest", **options))


def gaussian_blur(x, severity):
    return blurred(x, constant("gaussian_blur", x, severity))


def defocus_blur(x, severity):
    radius, sigma = constant("defocus_blur", x, severity)
    places = np.arange(-8, 9)
    disk = (places[:, None] ** 2 + places**2 <= radius**2) / 1.0
    three = np.exp(-(np.arange(-1, 2) ** 2) / (2 * sigma**2))
    kernel = ndimage.convolve(disk / disk.sum(), np.outer(three, three) / three.sum() ** 2, mode="constant")
    return each_channel(x, lambda c: ndimage.correlate(c, kernel, mode="mirror"))


def zoomed(x, factor):
    side = x.shape[0]
    part = math.ceil(side / factor)
    top = (side - part) // 2
    large = ndimage.zoom(x[top : top + part, top : top + part], (factor, factor, 1), order=1)
    trim = (large.shape[0] - side) // 2
    return large[trim : trim + side, trim : trim + side]


def zoom_blur(x, severity):
    zooms = ZOOMS[severity - 1]
    return (x + sum(zoomed(x, z) for z in zooms)) / (len(zooms) + 1)


def glass_blur(x, severity, moves):
    """`moves` [rounds, 2, H, W]: down and right."""
    sigma, reach, rounds = constant("glass_blur", x, severity)
    y, side = to_bytes(blurred(x, sigma)), x.shape[0]
    for i in range(rounds):
        for h in range(side - reach, reach, -1):
            for w in range(side - reach, reach, -1):
                down, right = moves[i, :, h, w]
                y[h, w], y[h + down, w + right] = y[h + down, w + right], y[h, w]
    return blurred(y / 255, sigma)


def motion(channel, radius, sigma, degrees):
    """ImageMagick's motion blur of one channel, in the range of 8 bits, cut to whole numbers."""
    steps = 2 * math.ceil(radius) + 1
    kernel = np.exp(-(np.arange(steps) ** 2) / (2 * sigma**2))
    kernel /= kernel.sum()
    rows, columns = np.mgrid[0 : channel.shape[0], 0 : channel.shape[1]]
    total = np.zeros(channel.shape)
    for i, weight in enumerate(kernel):
        right = math.ceil(i * math.cos(math.radians(degrees)) - 0.5)
        down = math.ceil(i * math.sin(math.radians(degrees)) - 0.5)
        row = np.clip(rows + down, 0, channel.shape[0] - 1)
        column = np.clip(columns + right, 0, channel.shape[1] - 1)
        total += weight * channel[row, column]
    return np.floor(total + 1e-9)


def motion_blur(x, severity, degrees):
    radius, sigma = constant("motion_blur", x, severity)
    return each_channel(to_bytes(x).astype(float), lambda c: motion(c, radius, sigma, degrees)) / 255


def snow(x, severity, normal, degrees):
    mean, sigma, zoom, threshold, radius, spread = SNOW[severity - 1]
    layer = zoomed((normal * sigma + mean)[..., None], zoom)[..., 0]
    layer[layer < threshold] = 0
    layer = motion(to_bytes(np.clip(layer, 0, 1)).astype(float), radius, spread, degrees)[..., None] / 255
    share = constant("snow_share", x, severity)
    gray = (x @ [0.299, 0.587, 0.114])[..., None]
    return share * x + (1 - share) * np.maximum(x, gray * 1.5 + 0.5) + layer + np.rot90(layer, k=2)


def plasma(uniform, decay):
    """Midpoint displacement, point by point on a torus; `uniform` [S, S] in [-1, 1]."""
    size = len(uniform)
    height = np.zeros((size, size))
    step, wibble = size, 100.0
    while step >= 2:
        half = step // 2

        def displace(row, column, neighbours, wibble=wibble):
            mean = sum(height[r % size, c % size] for r, c in neighbours) / 4
            height[row, column] = mean + wibble * wibble * uniform[row, column]

        for r in range(0, size, step):
            for c in range(0, size, step):
                corners = [(r, c), (r + step, c), (r, c + step), (r + step, c + step)]
                displace(r + half, c + half, corners)
        for r in range(0, size, step):
            for c in range(0, size, step):
                displace(r, c + half, [(r, c), (r, c + step), (r + half, c + half), (r - half, c + half)])
                displace(r + half, c, [(r, c), (r + step, c), (r + half, c + half), (r + half, c - half)])
        step, wibble = half, wibble / decay
    height -= height.min()
    return height / height.max()


def fog(x, severity, uniform):
    strength, decay = constant("fog", x, severity)
    highest = x.max()
    return (x + strength * plasma(uniform, decay)[..., None]) * highest / (highest + strength)


def elastic_transform(x, severity, corners, flow):
    """`corners` [3, 2] and `flow` [2, H, W], both in [-1, 1]."""
    side = x.shape[0]
    strength, sigma, move = (value * side for value in constant("elastic_transform", x, severity))
    third, middle = side // 3, side // 2
    before = np.array(
        [[middle + third, middle + third], [middle + third, middle - third], [middle - third, middle - third]]
    )
    after = before + corners * move
    back = np.linalg.solve(np.c_[after, np.ones(3)], before)  # [x, y, 1] after -> [x, y] before
    columns, rows = np.meshgrid(np.arange(side), np.arange(side))
    sources = np.stack([columns, rows, np.ones_like(rows)], axis=2) @ back
    x = each_channel(
        x, lambda c: ndimage.map_coordinates(c, [sources[..., 1], sources[..., 0]], order=1, mode="mirror")
    )
    if strength == 0:
        return x
    right, down = (ndimage.gaussian_filter(f, sigma, mode="reflect", truncate=3) * strength for f in flow)
    return each_channel(
        x, lambda c: ndimage.map_coordinates(c, [rows + down, columns + right], order=1, mode="reflect")
    )


def spatter(x, severity, normal):
    mean, sigma, smoothing = SPATTER_NOISE[severity - 1]
    threshold, strength = constant("spatter", x, severity)
    liquid = ndimage.gaussian_filter(normal * sigma + mean, smoothing, mode="nearest")
    liquid[liquid < threshold] = 0
    if severity >= 4:
        cover = ndimage.gaussian_filter((liquid > threshold) * 1.0, strength, mode="nearest")[..., None]
        cover[cover < 0.8] = 0
        return x * (1 - cover) + cover * np.array([63, 42, 20]) / 255
    liquid = (liquid * 255).astype(np.int64) % 256
    distance = np.minimum(chamfer(canny(liquid)), 20)
    nine = np.full((3, 3), 1 / 9)
    height = np.floor(ndimage.correlate(distance, nine, mode="mirror") + 1e-9).astype(int)
    light = np.array([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]])
    lit = np.clip(ndimage.correlate(equalize(height), light, mode="mirror"), 0, 255)
    film = liquid * np.round(ndimage.correlate(lit.astype(float), nine, mode="mirror"))
    film = film / film.max() if film.max() else film
    return x + film[..., None] * strength * np.array([175, 238, 238]) / 255


def canny(image):
    """Edges by the 3 x 3 Sobel operator, thresholds 50 and 150, direction by the angle of the derivative."""
    right, down = (ndimage.sobel(image, axis=axis, mode="nearest") for axis in (1, 0))
    size = np.pad(abs(right) + abs(down), 1)
    ridge = np.zeros(image.shape, dtype=bool)
    for r, c in np.ndindex(image.shape):
        m, angle = size[r + 1, c + 1], math.degrees(math.atan2(abs(down[r, c]), abs(right[r, c])))
        diagonal = 1 if right[r, c] * down[r, c] >= 0 else -1
        if angle < 22.5:
            ridge[r, c] = m > size[r + 1, c] and m >= size[r + 1, c + 2]
        elif angle > 67.5:
            ridge[r, c] = m > size[r, c + 1] and m >= size[r + 2, c + 1]
        else:
            ridge[r, c] = m > size[r, c + 1 - diagonal] and m > size[r + 2, c + 1 + diagonal]
    weak, strong = ridge & (size[1:-1, 1:-1] > 50), ridge & (size[1:-1, 1:-1] > 150)
    return ndimage.binary_propagation(strong, np.ones((3, 3)), mask=weak)


def chamfer(edges):
    """Distance to the nearest edge by steps of length 1, 1.4 and 2.1969, in closed form."""
    distance = np.full(edges.shape, np.inf)
    for r, c in np.argwhere(edges):
        rows, columns = np.mgrid[0 : edges.shape[0], 0 : edges.shape[1]]
        far, near = np.maximum(abs(rows - r), abs(columns - c)), np.minimum(abs(rows - r), abs(columns - c))
        slanted = np.where(far >= 2 * near, near * 2.1969 + (far - 2 * near), 0)
        steep = np.where(far < 2 * near, (far - near) * 2.1969 + (2 * near - far) * 1.4, 0)
        distance = np.minimum(distance, slanted + steep)
    return distance


def equalize(image):
    counts = np.bincount(image.ravel(), minlength=256)
    first = counts.nonzero()[0][0]
    if counts[first] == image.size:
        return image
    scale = np.float32(255) / np.float32(image.size - counts[first])
    levels = np.round(np.float32(np.cumsum(counts) - counts[first]) * scale)
    return levels[image].astype(int)
