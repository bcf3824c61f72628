"""Initialisation of networks that are sparse from the start."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def scale_for_live_fan_in_(weight: Tensor, mask: Tensor) -> None:
    """Scale freshly initialised weights so that every output unit's variance is that of the dense network.

    A unit with `live` of `fan_in` inputs gets the factor sqrt(fan_in / live); a unit without any stays zero
    (Evci et al. 2022, arXiv:2010.03533).

    Args:
        weight: Shape (out, in, *kernel), any floating dtype; changed in place.
        mask: Boolean, same shape, True where active.
    """
    per_unit = mask.flatten(1)
    live = per_unit.sum(dim=1).clamp(min=1)
    scale = (per_unit.shape[1] / live).sqrt().to(weight.dtype)
    weight.mul_(scale.view(-1, *[1] * (weight.dim() - 1)))
