"""Initialisation of networks that are sparse from the start: how weights are scaled for the first mask.

Accuracy on digits at 90 and 98 % sparsity, of an MLP and of a network of convolutions without batch normalisation, by
`init` (``tests/benchmarks/inits.py``; means of five seeds)::

    network  mask       sparse     energy     signal      dense
    mlp      random     97  65     96  59      -   -     94  11
    mlp      snip       97  95     97  95     97  95     97  92
    mlp      grasp      91  94     95  94     97  92     97  91
    mlp      synflow    98  97     97  96     98  96     97  96
    convnet  random     88  10     87  11      -   -      8   8
    convnet  snip       47   9     89  63     95  81     94  18
    convnet  grasp       9   8      8   9     68  43     11  44
    convnet  synflow    88  37     97  92     96  93     96  30

Hence the default of each kind of mask (`CriterionFacts.init`). With the MLP ``signal`` is within 1 point of the best,
or 2 for grasp at 98 %; without normalisation it alone lets all masks begin near the dense network's loss.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from hsl.sparsity.layers import TRANSPOSED, Layer
from hsl.sparsity.network import Network, set_masks_
from hsl.sparsity.signal import output_sizes, restore_output_sizes_

Masks = Mapping[str, Tensor]
Factors = Callable[[Tensor, Tensor], Tensor]


def live_fan_in(weight: Tensor, mask: Tensor) -> Tensor:
    """Factors sqrt(fan_in / live) of units with `live` of `fan_in` inputs (Evci et al. 2022, arXiv:2010.03533).

    With a mask that does not depend on the weights every unit's variance is that of the dense network.

    Args:
        weight: Freshly initialised, shape (out, in, *kernel), any floating dtype.
        mask: Boolean, same shape, True where active.

    Returns:
        Factors of at least 1, of the weight's dtype, shape (out, 1, ...).
    """
    live = mask.sum(dim=_inputs(weight), keepdim=True).clamp(min=1)
    return (mask[0].numel() / live).sqrt().to(weight.dtype)


def energy(weight: Tensor, mask: Tensor) -> Tensor:
    """Factors sqrt(sum of w^2 over all inputs / sum of w^2 over the live ones), so that each unit keeps its norm.

    Masks that are made by scores keep weights of another size than the rest. No factor is larger than
    sqrt(fan_in), the largest of `live_fan_in`: a unit that keeps next to nothing is not blown up. Arguments and
    result as of `live_fan_in`.
    """
    squares = weight.double().square()
    kept = (squares * mask).sum(dim=_inputs(weight), keepdim=True)
    largest = float(mask[0].numel())
    ratio = squares.sum(dim=_inputs(weight), keepdim=True) / kept
    return ratio.nan_to_num(nan=1.0, posinf=largest).clamp(1.0, largest).sqrt().to(weight.dtype)


@torch.no_grad()
def scale_layer_(layer: Layer, mask: Tensor, factors: Factors) -> None:
    """Scale freshly initialised weights before their first mask is set, whichever way round they are laid out.

    Args:
        layer: Its weights are changed in place.
        mask: Its first mask: boolean, shape of the weight.
        factors: `live_fan_in` or `energy`.
    """
    weight = layer.weight.detach()
    parts = [(weight, mask)]
    if isinstance(layer.module, TRANSPOSED):
        parts = list(zip(_by_group(layer.module, weight), _by_group(layer.module, mask), strict=True))
    for part, part_mask in parts:
        part.mul_(factors(part, part_mask))


def _inputs(weight: Tensor) -> list[int]:
    """Dimensions that are not the units'."""
    return list(range(1, weight.dim()))


def _by_group(module: nn.Module, tensor: Tensor) -> list[Tensor]:
    """Views (out / groups, in / groups, *kernel) of a transposed convolution's weight."""
    return [part.transpose(0, 1) for part in tensor.chunk(int(module.groups))]  # type: ignore[arg-type]


def _by_unit(factors: Factors) -> Callable[[Network, Masks], None]:
    def begin(network: Network, masks: Masks) -> None:
        for name, layer in network.layers.items():
            scale_layer_(layer, masks[name], factors)
        set_masks_(network.layers, masks)

    return begin


def _by_signal(network: Network, masks: Masks) -> None:
    assert network.loss is not None, "checked where it is asked for"
    wanted = output_sizes(network, network.loss)
    set_masks_(network.layers, masks)
    restore_output_sizes_(network, network.loss, wanted)


def _as_it_is(network: Network, masks: Masks) -> None:
    set_masks_(network.layers, masks)


INITS: Mapping[str, Callable[[Network, Masks], None]] = {
    "sparse": _by_unit(live_fan_in),
    "energy": _by_unit(energy),
    "signal": _by_signal,
    "dense": _as_it_is,
}
"""Value of the option `init` -> how a network gets its first masks."""

READ_LOSS = frozenset({"signal"})
"""Those that read the loss of a batch."""


def set_first_masks_(network: Network, masks: Masks) -> None:
    """Give an untrained network its first masks, and scale its initial weights for them as was asked."""
    INITS[network.init](network, masks)
