"""Iterative magnitude pruning: train, prune, rewind, and again, to an exact final sparsity."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hsl.errors import MethodError
from hsl.sparsity.distributions.ranked import is_ratios
from hsl.sparsity.drivers.gradual import prune_
from hsl.sparsity.guard import Watch, check_zeros
from hsl.sparsity.layers import ALL, Layers, attach_masks, detach_masks, prunable_layers
from hsl.sparsity.mask_buffers import zero_pruned_
from hsl.sparsity.methods.weight_scores import CRITERIA
from hsl.sparsity.network import Network
from hsl.sparsity.request import check_optimizer, make_budget
from hsl.sparsity.schedules import round_progress
from hsl.sparsity.zeroing import Factors, zero_gradients_, zero_weights_and_state_

Train = Callable[[nn.Module, Callable[[Optimizer], None]], None]


def iterative_magnitude_pruning(
    model: nn.Module,
    train: Train,
    *,
    sparsity: float,
    rounds: int,
    distribution: str | Mapping[str, float] = "global",
    layers: Layers = ALL,
) -> dict[str, Tensor]:
    """Find a lottery ticket: in every round train, remove the smallest weights, and rewind the others.

    After round k of n the density is d^(k / n), so the last round reaches d exactly; keeping 80 % in each of
    n rounds is sparsity 1 - 0.8^n. A removed weight never comes back. The point that is rewound to, with all
    buffers, is the state of the model as it is given: initial weights, or those after some steps
    (Frankle and Carbin 2019, arXiv:1803.03635; Frankle et al. 2020, arXiv:1912.05671).

    Args:
        model: Changed in place; at the end the ticket, trained.
        train: Called rounds + 1 times as ``train(model, keep_sparse)``. It makes an optimizer, calls
            ``keep_sparse(optimizer)``, and trains the model to the end.
        sparsity: Final fraction of zeros over all prunable weights, in (0, 1).
        rounds: Number of prunings, at least 1.
        distribution: As of `Sparsifier`, except ``from:METHOD``; "global" as in the papers.
        layers: Which layers are pruned; without a structure.

    Returns:
        Layer names and masks: boolean, shape of the weight, True where active. `layer_densities` of them is a
        distribution for other methods.

    Raises:
        MethodError: If rounds is not a whole number, at least 1, the sparsity is 0, or a structure is given.
        InfeasibleError: If the sparsity cannot be reached.
    """
    if type(rounds) is not int or rounds < 1:
        raise MethodError(f"rounds is {rounds!r}, it must be a whole number, at least 1")
    if sparsity == 0:
        raise MethodError("iterative pruning to sparsity 0 is dense training; ask for a larger sparsity")
    if is_ratios(distribution):
        raise MethodError(f"iterative pruning takes no {distribution}: it makes ratios of its own")
    pruned = prunable_layers(model, layers)
    if layers.structure is not None:
        raise MethodError(f"iterative pruning takes no structure; {layers.structure} was given")
    generator = torch.Generator()
    budget = make_budget(pruned, sparsity, distribution, layers, generator)
    network = Network(model, pruned, budget, generator)
    start = {name: value.clone() for name, value in model.state_dict().items()}
    attach_masks(pruned)
    try:
        for k in range(1, rounds + 1):
            _train_sparse(network, train)
            prune_(network, CRITERIA["magnitude"], round_progress(sparsity, k, rounds))
            _rewind(network, start)
        _train_sparse(network, train)
        return {name: layer.weight_mask.clone() for name, layer in pruned.items()}
    finally:
        detach_masks(pruned)


def _train_sparse(network: Network, train: Train) -> None:
    kept: list[_Kept] = []

    def keep_sparse(optimizer: Optimizer) -> None:
        check_optimizer(optimizer, network.layers)
        for former in kept:
            former.stop()
        kept.append(_Kept(network, optimizer))

    try:
        train(network.model, keep_sparse)
    finally:
        for each in kept:
            each.stop()
    if not kept:
        raise MethodError("train must call keep_sparse(optimizer), or pruned weights would come back")
    check_zeros(network.layers)


class _Kept:
    """Keeps the network of one training sparse, around the steps of one optimizer."""

    def __init__(self, network: Network, optimizer: Optimizer) -> None:
        self._layers, self._factors = network.layers, Factors()
        self._watch = Watch(optimizer, {name: layer.weight for name, layer in network.layers.items()})
        self._handles = [
            optimizer.register_step_pre_hook(self._before_step),
            optimizer.register_step_post_hook(self._after_step),
        ]

    def stop(self) -> None:
        """Let go of the optimizer."""
        self._watch.stop()
        for handle in self._handles:
            handle.remove()

    def _before_step(self, *_: object) -> None:
        zero_gradients_(self._layers, self._factors)
        self._watch.is_inside = True

    def _after_step(self, *_: object) -> None:
        self._watch.leave()
        for optimizer in self._watch.optimizers():
            zero_weights_and_state_(self._layers, optimizer, self._factors)


def _rewind(network: Network, start: Mapping[str, Tensor]) -> None:
    network.model.load_state_dict(dict(start), strict=False)
    zero_pruned_(network.model)
