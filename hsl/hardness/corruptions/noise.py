"""Noise: every value is damaged on its own."""

from functools import lru_cache

import torch
from scipy import stats
from torch import Tensor

from hsl.hardness import keyed
from hsl.hardness.corruptions.constants import constants_of

_QUANTILE_BITS = 14


def gaussian_noise(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Add normal noise to every value.

    Severities 1 to 6: standard deviation 0.04, 0.06, 0.08, 0.09, 0.10, 0.11 of the range (at 32 pixels).
    """
    (sigma,) = constants_of("gaussian_noise", min(pixels.shape[2:]), severity)
    return pixels + keyed.normal(key, ids, tuple(pixels.shape[1:])) * (255 * sigma)


def speckle_noise(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Add normal noise in proportion to the value.

    Severities 1 to 6: standard deviation 0.06, 0.1, 0.12, 0.16, 0.2, 0.24 of the value (at 32 pixels).
    """
    (sigma,) = constants_of("speckle_noise", min(pixels.shape[2:]), severity)
    return pixels + pixels * (keyed.normal(key, ids, tuple(pixels.shape[1:])) * sigma)


def impulse_noise(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Salt and pepper: a value becomes 0 or 255, both equally likely; every channel on its own.

    Severities 1 to 6: a share of 0.01, 0.02, 0.03, 0.05, 0.07, 0.09 damaged values (at 32 pixels).
    """
    (share,) = constants_of("impulse_noise", min(pixels.shape[2:]), severity)
    drawn = keyed.uniform(key, ids, tuple(pixels.shape[1:]))
    return pixels.masked_fill(drawn < share, 255.0).masked_fill_(drawn < share / 2, 0.0)


def shot_noise(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """Count photons: Poisson noise.

    Severities 1 to 6: a mean of 500, 250, 100, 75, 50, 36 photons at 255 (at 32 pixels). Takes whole numbers.
    A count is the sum of two draws from a table of 16,384 quantiles of the Poisson distribution of half the
    mean (the sum of two such variables is Poisson-distributed), so it is exact but for the far tails.
    """
    (photons,) = constants_of("shot_noise", min(pixels.shape[2:]), severity)
    quantiles = _half_counts(photons, str(pixels.device))
    draws = keyed.integers(key, ids, tuple(pixels.shape[1:]), 1 << 2 * _QUANTILE_BITS).int().view(-1)
    rows = (pixels.int() << _QUANTILE_BITS).view(-1)
    first = quantiles.index_select(0, rows + (draws >> _QUANTILE_BITS))
    second = quantiles.index_select(0, rows + (draws & ((1 << _QUANTILE_BITS) - 1)))
    return (first + second).view_as(pixels).double() * (255 / photons)


@lru_cache(maxsize=2)
def _half_counts(photons: float, device: str) -> Tensor:
    """Poisson quantiles for half the mean of each of the 256 values, int16 [256 * 16384]."""
    size = 1 << _QUANTILE_BITS
    middles = (torch.arange(size, dtype=torch.float64) + 0.5) / size
    counts = torch.arange(int(photons / 2 + 10 * photons**0.5) + 20)
    means = torch.arange(256, dtype=torch.float64) * (photons / 255 / 2)
    below = torch.from_numpy(stats.poisson.cdf(counts[None].numpy(), means[:, None].numpy()))
    return torch.searchsorted(below, middles.expand(256, size).contiguous()).view(-1).to(device, torch.int16)
