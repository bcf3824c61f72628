"""Initialisation of networks that are sparse from the start."""

import torch
from torch import Tensor, nn

from hsl.sparsity.layers import TRANSPOSED, Layer


@torch.no_grad()
def scale_for_live_fan_in_(weight: Tensor, mask: Tensor) -> None:
    """Scale freshly initialised weights so that every output unit's variance is that of the dense network.

    A unit with `live` of `fan_in` inputs gets the factor sqrt(fan_in / live); a unit without any stays zero
    (Evci et al. 2022, arXiv:2010.03533).

    Args:
        weight: Shape (out, in, *kernel), any floating dtype; changed in place.
        mask: Boolean, same shape, True where active.
    """
    inputs = list(range(1, weight.dim()))
    live = mask.sum(dim=inputs, keepdim=True).clamp(min=1)
    weight.mul_((mask[0].numel() / live).sqrt().to(weight.dtype))


@torch.no_grad()
def scale_layer_(layer: Layer) -> None:
    """`scale_for_live_fan_in_` of a layer with a mask, whichever way round its weight is laid out."""
    weight, mask = layer.weight.detach(), layer.weight_mask
    if not isinstance(layer.module, TRANSPOSED):
        scale_for_live_fan_in_(weight, mask)
        return
    for part, part_mask in zip(*(_by_group(layer.module, tensor) for tensor in (weight, mask)), strict=True):
        scale_for_live_fan_in_(part, part_mask)


def _by_group(module: nn.Module, tensor: Tensor) -> list[Tensor]:
    """Views (out / groups, in / groups, *kernel) of a transposed convolution's weight."""
    return [part.transpose(0, 1) for part in tensor.chunk(int(module.groups))]  # type: ignore[arg-type]
