"""Multiply-accumulate operations of prunable layers, counted in one forward pass."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from hsl.sparsity.layers import TRANSPOSED, Layer, Prunable, prunable_layers
from hsl.sparsity.saliency import undisturbed


def layer_macs(model: nn.Module, inputs: Tensor, layers: Prunable | None = None) -> dict[str, int]:
    """Multiply-accumulates of one sample's forward pass in every prunable layer, all weights active.

    Each weight counts once for every position that it is used at. Biases, normalisation, activations and the
    products of attention scores are not counted: sparsity does not change them.

    Args:
        model: Any module that takes one tensor; left as it was.
        inputs: Example batch, shape (samples, ...).
        layers: Which to count; all prunable layers of the model by default.

    Returns:
        Layer names and multiply-accumulates per sample; 0 for a layer that is not used.
    """
    layers = prunable_layers(model) if layers is None else layers
    uses = {(id(layer.module), layer.parameter): 0.0 for layer in layers.values()}
    modules = {id(module): module for module in model.modules()}
    handles = [module.register_forward_hook(_counter(uses), with_kwargs=True) for module in modules.values()]
    training = model.training
    try:
        with undisturbed(model):
            model.eval()(inputs)
    finally:
        model.train(training)
        for handle in handles:
            handle.remove()
    return {name: _per_sample(layer, uses, len(inputs)) for name, layer in layers.items()}


def _per_sample(layer: Layer, uses: Mapping[tuple[int, str], float], samples: int) -> int:
    positions = uses[id(layer.module), layer.parameter]
    return round(positions * layer.weight.numel() / samples)


def _counter(uses: dict[tuple[int, str], float]) -> Callable[..., None]:
    """A hook that adds up at how many positions of a batch a module's weights are used."""

    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        for key, positions in _positions(module, args, kwargs, output).items():
            if key in uses:
                uses[key] += positions

    return count


def _positions(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
) -> dict[tuple[int, str], float]:
    here = id(module)
    if isinstance(module, nn.MultiheadAttention):
        return _attention_positions(module, args, kwargs)
    if isinstance(module, nn.Linear):
        return {(here, "weight"): math.prod(output.shape[:-1])}
    if isinstance(module, TRANSPOSED):
        return {(here, "weight"): args[0].numel() // module.in_channels}
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return {(here, "weight"): output.numel() // module.out_channels}
    return {}


def _attention_positions(
    module: nn.MultiheadAttention, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> dict[tuple[int, str], float]:
    """Tokens of query, key and value; the packed projection does a third of its work for each of them."""
    given = {**dict(zip(("query", "key", "value"), args, strict=False)), **kwargs}
    tokens = {name: given[name].numel() // given[name].shape[-1] for name in ("query", "key", "value")}
    return {
        (id(module), "in_proj_weight"): sum(tokens.values()) / 3,
        (id(module), "q_proj_weight"): tokens["query"],
        (id(module), "k_proj_weight"): tokens["key"],
        (id(module), "v_proj_weight"): tokens["value"],
        (id(module.out_proj), "weight"): tokens["query"],
    }
