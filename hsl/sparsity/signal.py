"""How large the outputs of a network's layers are, and weights that keep them as large when masks are set."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, distributed, nn

from hsl.sparsity.layers import Layer
from hsl.sparsity.network import Loss, Network
from hsl.sparsity.saliency import undisturbed

Seen = Callable[[str, Layer, Any, Tensor], Tensor | None]


def output_sizes(network: Network, loss: Loss) -> dict[str, float]:
    """Root mean square of each layer's output on the batch of a loss, the mean over all processes.

    Of a layer that is called several times the first call counts. Layers that the pass does not call as modules,
    as the projections of an attention, are left out.
    """
    found: dict[str, float] = {}

    def note(name: str, _: Layer, __: Any, output: Tensor) -> None:
        found[name] = _size(output)

    _at_first_calls(network, loss, note)
    return found


def restore_output_sizes_(network: Network, loss: Loss, wanted: Mapping[str, float]) -> None:
    """Scale the weights of each layer, in the order of their calls, until its outputs are as large as they were.

    So neither what masks took away nor what they have lined up (weights kept by a score often add up) is carried on
    from layer to layer, as in the layer-sequential initialisation of Mishkin and Matas 2016 (arXiv:1511.06422). No
    factor is larger than sqrt(fan_in), the largest that a single live input would call for.

    Args:
        network: With masks; its weights are changed in place.
        loss: Loss of one batch.
        wanted: Result of `output_sizes` before masks were set.
    """

    def scale(name: str, layer: Layer, inputs: Any, output: Tensor) -> Tensor | None:
        size = _size(output)
        if size == 0 or name not in wanted:
            return None
        largest = (layer.weight[0].numel()) ** 0.5
        layer.weight.mul_(min(wanted[name] / size, largest))
        torch.clear_autocast_cache()  # it may hold the weight as it was
        again: Tensor = layer.module.forward(*inputs[0], **inputs[1])
        return again

    _at_first_calls(network, loss, scale)


@torch.no_grad()
def _at_first_calls(network: Network, loss: Loss, seen: Seen) -> None:
    """Compute the loss; what `seen` returns at the first call of each layer takes the place of its output."""
    met: set[str] = set()

    def hook(name: str, layer: Layer, _: nn.Module, args: Any, kwargs: Any, output: Any) -> Tensor | None:
        if name in met or not isinstance(output, Tensor):
            return None
        met.add(name)
        return seen(name, layer, (args, kwargs), output)

    handles = [
        layer.module.register_forward_hook(partial(hook, name, layer), with_kwargs=True)
        for name, layer in network.layers.items()
    ]
    try:
        with undisturbed(network.model) as model, torch.no_grad():
            loss(model)
    finally:
        for handle in handles:
            handle.remove()


def _size(output: Tensor) -> float:
    square = output.double().square().mean()
    if distributed.is_available() and distributed.is_initialized():
        distributed.all_reduce(square)
        square /= distributed.get_world_size()
    return float(square.sqrt())
