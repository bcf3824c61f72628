"""Multiply-accumulate operations of prunable weights, counted in one forward pass."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hsl.errors import MethodError
from hsl.sparsity.layers import Prunable, prunable_layers
from hsl.sparsity.saliency import undisturbed

LOG = logging.getLogger(__name__)


def layer_macs(model: nn.Module, inputs: Tensor, layers: Prunable | None = None) -> dict[str, int]:
    """Multiply-accumulates of one sample's forward pass by every prunable weight, all of them active.

    Each weight counts once for every position that it is used at, in any operation: by its own module, by a
    function that is given it (torchvision's Swin), in part (the projections of an attention), cast to another type,
    or by several layers that share it. Biases, normalisation, activations and the products of attention, of queries
    with keys and of scores with values, are not counted: sparsity does not change them.

    Args:
        model: Any module that takes one tensor; left as it was.
        inputs: Example batch, shape (samples, ...); of device ``meta`` for a model that is.
        layers: Which to count; all prunable layers of the model by default.

    Returns:
        Layer names and multiply-accumulates per sample; 0, with a warning, for a layer that no product uses.

    Raises:
        MethodError: If no product uses any of the layers.
    """
    layers = prunable_layers(model) if layers is None else layers
    counter = _Counter({name: layer.weight for name, layer in layers.items()})
    training = model.training
    try:
        with undisturbed(model), torch.no_grad(), _slow_attention(), counter:
            model.eval()(inputs)
    finally:
        model.train(training)
    _name_unused([name for name, count in counter.macs.items() if not count], len(layers))
    return {name: round(count / len(inputs)) for name, count in counter.macs.items()}


def _name_unused(names: list[str], layers: int) -> None:
    """Say which layers do no work in a forward pass in eval mode, for example heads that only training uses."""
    message = "no product of a forward pass in eval mode uses the weights of {}"
    if len(names) == layers:
        raise MethodError(
            f"{message.format('any prunable layer')}: the model must use their parameters in its forward pass"
        )
    if names:
        LOG.warning("%s: they count as 0 operations", message.format(", ".join(names)))


def _rows_times_columns(first: int) -> Callable[[tuple[Any, ...], Tensor], int]:
    """Multiply-accumulates of a matrix product whose left factor is argument number `first`."""
    return lambda args, out: out.numel() * int(args[first].shape[-1])


def _convolution(args: tuple[Any, ...], out: Tensor) -> int:
    """Every weight at every position: of the output, or of the input where the convolution is transposed."""
    over = args[0] if args[6] else out
    positions = over.numel() // int(over.shape[1])
    return positions * int(args[1].numel())


ATEN = torch.ops.aten
PRODUCTS: Mapping[Any, Callable[[tuple[Any, ...], Tensor], int]] = {
    ATEN.mm: _rows_times_columns(0),
    ATEN.bmm: _rows_times_columns(0),
    ATEN.mv: _rows_times_columns(0),
    ATEN.addmm: _rows_times_columns(1),
    ATEN.addmv: _rows_times_columns(1),
    ATEN.baddbmm: _rows_times_columns(1),
    ATEN._addmm_activation: _rows_times_columns(1),
    ATEN.convolution: _convolution,
}
"""Operations in which weights are multiplied and summed; all others are made of these, or are none."""


@dataclass(frozen=True)
class _Memory:
    """A piece of memory that is kept alive, and the weights in it: where each begins and ends."""

    storage: Any
    weights: list[tuple[range, str]] = field(default_factory=list)

    def owner(self, tensor: Tensor) -> str | None:
        """The weight in which a tensor begins; None for what is no weight, as a bias in the same memory."""
        return next((name for places, name in self.weights if tensor.storage_offset() in places), None)


class _Counter(TorchDispatchMode):
    """Adds up the products of every operation that is given a weight, a part of one, or a copy of it."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.macs = dict.fromkeys(weights, 0)
        self._memories: dict[int, _Memory] = {}
        for name, weight in weights.items():
            self._follow(weight, name)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        count, keywords = PRODUCTS.get(func.overloadpacket), kwargs or {}
        if count is None and func is not torch.ops.prim.device.default:
            with self:  # which sees the operations that it is made of, if it is
                found = func.decompose(*args, **keywords)
            if found is not NotImplemented:
                return found
        out = func(*args, **keywords)
        for name, weight in self._weights(args):
            if count is None:
                self._follow_copies(out, weight, name)
            else:
                self.macs[name] += count(args, out)
        return out

    def _weights(self, args: tuple[Any, ...]) -> list[tuple[str, Tensor]]:
        """Names and tensors of the weights among the arguments of an operation."""
        tensors = [leaf for leaf in tree_leaves(args) if isinstance(leaf, Tensor)]
        memories = [self._memories.get(_memory(tensor)) for tensor in tensors]
        owners = [(m.owner(tensor), tensor) for m, tensor in zip(memories, tensors, strict=True) if m]
        return [(name, tensor) for name, tensor in owners if name is not None]

    def _follow_copies(self, out: Any, weight: Tensor, name: str) -> None:
        """Another type, another order, scaled or standardised: what an operation makes of a weight is that weight."""
        for leaf in tree_leaves(out):
            is_copy = isinstance(leaf, Tensor) and leaf.numel() == weight.numel()
            if is_copy and _memory(leaf) not in self._memories:
                self._follow(leaf, name)

    def _follow(self, tensor: Tensor, name: str) -> None:
        memory = self._memories.setdefault(_memory(tensor), _Memory(tensor.untyped_storage()))
        start = tensor.storage_offset()
        memory.weights.append((range(start, start + tensor.numel()), name))


def _memory(tensor: Tensor) -> int:
    """Identity of a tensor's memory, the same for all views of it; on device ``meta`` as well."""
    return int(tensor.untyped_storage()._cdata)


@contextmanager
def _slow_attention() -> Iterator[None]:
    """Within this context attention is made of products that can be seen, not one fused operation."""
    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)
