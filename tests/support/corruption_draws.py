"""Images and draws for comparisons of corruptions: what `published_corruptions` and others are given.

Draws are those that hsl makes of sample ids, so that two ways to damage an image can be compared value by value.
"""

import numpy as np
import published_corruptions as published
import torch

from hsl.hardness import keyed

KEY = keyed.key(3, "corruption")
SEVERITIES = range(1, 6)
SIDES = (32, 64)


def waves(n, side, channels=3):
    """Smooth images that use the whole range."""
    y, x = np.mgrid[0:side, 0:side] / (side - 1)
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (n, channels, 2))
    values = [[np.sin(4 * x + a) * np.cos(5 * y + b) for a, b in image] for image in phases]
    return torch.from_numpy(np.uint8(np.stack(values) * 127.5 + 127.5))


def rough(n, side):
    """Images of many colours, some of them grey, black or white."""
    values = np.random.default_rng(1).integers(0, 256, (n, 3, side, side)).astype(np.uint8)
    values[:, :, 2] = values[:, :1, 2]
    values[:, :, 3], values[:, :, 4] = 0, 255
    return torch.from_numpy(values)


def normal(ids, *shape, key=KEY):
    return keyed.normal(key, ids, shape).double().numpy()


def signed(ids, *shape, key=KEY):
    return keyed.uniform(key, ids, shape).double().numpy() * 2 - 1


def degrees(ids, middle, key=KEY):
    return signed(ids, key=key) * 45 + middle


def moves(ids, side, severity):
    _, reach, rounds = published.CONSTANTS[side]["glass_blur"][severity - 1]
    return keyed.integers(KEY, ids, (rounds, 2, side, side), 2 * reach).numpy() - reach


def part(name):
    return keyed.key(KEY, name)


DRAWS = {
    "gaussian_noise": lambda ids, n, s: [normal(ids, 3, n, n).transpose(0, 2, 3, 1)],
    "speckle_noise": lambda ids, n, s: [normal(ids, 3, n, n).transpose(0, 2, 3, 1)],
    "motion_blur": lambda ids, n, s: [degrees(ids, 0)],
    "glass_blur": lambda ids, n, s: [moves(ids, n, s)],
    "fog": lambda ids, n, s: [signed(ids, n, n)],
    "snow": lambda ids, n, s: [normal(ids, n, n, key=part("flakes")), degrees(ids, -90, part("direction"))],
    "spatter": lambda ids, n, s: [normal(ids, n, n)],
    "elastic_transform": lambda ids, n, s: [
        signed(ids, 3, 2, key=part("corners")),
        signed(ids, 2, n, n, key=part("flow")),
    ],
}
"""What each published function is given, one entry per image."""
