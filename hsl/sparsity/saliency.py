"""Scores of an untrained network, and the masks and layer densities that they give."""

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parallel import DistributedDataParallel

from hsl.errors import MethodError
from hsl.registry import imported
from hsl.sparsity.criteria import Signals
from hsl.sparsity.distributions.budget import Budget, check_none_empty
from hsl.sparsity.distributions.ranked import FROM, GLOBAL
from hsl.sparsity.layers import Layer
from hsl.sparsity.methods import METHODS, check_hyperparameters
from hsl.sparsity.methods.moments import Once, OnceAfterParent
from hsl.sparsity.methods.weight_scores import CRITERIA
from hsl.sparsity.network import (
    Loss,
    Network,
    Parent,
    all_finite,
    complete,
    keep_top,
    load_parent_,
    warn_of_ties,
)
from hsl.sparsity.schedules import round_progress

Hyperparameters = Mapping[str, float]
Gradients = Callable[[Network, Loss, Hyperparameters], dict[str, Tensor]]
Score = Callable[[Signals], Tensor]


def first_masks(
    network: Network, criterion: str, loss: Loss | None, hyperparameters: Hyperparameters
) -> dict[str, Tensor]:
    """Masks of the weights that score highest before the first step.

    Args:
        network: What is scored.
        criterion: Name of a criterion.
        loss: Loss of one batch, for criteria that read gradients; those in rounds read the shape of its input
            only.
        hyperparameters: ``temperature`` of grasp, ``rounds`` of criteria in rounds.

    Returns:
        Layer names and masks that fit the budget.

    Raises:
        MethodError: If the loss is missing, does not depend on a layer, or has gradients that are not finite, or if
            scores are no order of the weights (`check_scores`).
    """
    facts, score = CRITERIA.facts(criterion), CRITERIA[criterion]
    if facts.in_rounds:
        return _masks_in_rounds(network, criterion, _given(loss, criterion), int(hyperparameters["rounds"]))
    gradients: dict[str, Tensor] = {}
    if facts.gradients:
        compute: Gradients = imported(facts.gradients, "gradients of criterion")
        gradients = compute(network, _given(loss, criterion), hyperparameters)
        if not all_finite(gradients):
            raise MethodError("the loss that weights are scored by has gradients that are not finite")
    scores = {name: score(network.signals(name, gradients.get(name))) for name in network.layers}
    check_scores(scores, network.budget, criterion)
    masks = keep_top(scores, network.budget)
    warn_of_ties(scores, masks, network.budget, criterion)
    return masks


def check_scores(scores: Mapping[str, Tensor], budget: Budget, criterion: str) -> None:
    """Refuse scores that cannot say which weights to keep: they would be kept in the order of their indices.

    Args:
        scores: Layer names and scores of all weights.
        budget: What may be kept; scores of layers that stay dense do not matter.
        criterion: Name of the criterion that they are of.

    Raises:
        MethodError: If scores are not finite, zero throughout a layer, or equal throughout layers that are ranked
            together and not all kept.
    """
    ranked = {name: layer for name, layer in scores.items() if name not in budget.keep_dense}
    broken = [name for name, layer in ranked.items() if not bool(torch.isfinite(layer).all())]
    if broken:
        raise MethodError(
            f"scores of {criterion} are not finite in layers {', '.join(broken)}: check their weights"
        )
    silent = [name for name, layer in ranked.items() if not bool(layer.any())]
    silent += [name for name in _without_order(ranked, budget) if name not in silent]
    if silent:
        raise MethodError(
            f"scores of {criterion} are zero, or all the same, in layers {', '.join(silent)}, so they cannot say "
            "which weights to keep. Does a head or a residual branch start at zero, is an activation saturated (as "
            "ReLU6 in the flow of synflow), is the input of a normalisation constant, or do all weights start equal? "
            "Start them from other values, exclude these layers or keep them dense, or use another method"
        )


def _without_order(scores: Mapping[str, Tensor], budget: Budget) -> list[str]:
    """Layers that are ranked together, some kept and some not, though all their scores are equal."""
    found: list[str] = []
    counts = budget.group_counts()
    for group, members in budget.groups.items():
        names = [name for name in members if name in scores]
        is_cut = counts[group] < sum(math.prod(budget.shapes[name]) for name in members)
        together = torch.cat([scores[name].flatten() for name in names]) if names else torch.empty(0)
        if is_cut and len(together) > 1 and bool((together == together[0]).all()):
            found += names
    return found


def ratio_budget(
    network: Network,
    distribution: str,
    loss: Loss | None,
    parent: Parent | None,
    hyperparameters: Hyperparameters | None = None,
) -> Budget:
    """The budget whose layer densities are those that another method's scores give.

    Args:
        network: Before anything is pruned.
        distribution: ``from:METHOD``.
        loss: As of `first_masks`.
        parent: The trained dense network, for ``from:omp`` and ``from:imp``.
        hyperparameters: Of the other method, where it scores without a parent; the rest keep their defaults.

    Returns:
        The network's budget with densities in place of the name.

    Raises:
        MethodError: If loss or parent are missing, or as `first_masks`.
        InfeasibleError: If a layer would keep no weight.
    """
    source = METHODS[distribution.removeprefix(FROM)]
    assert isinstance(source.moment, Once | OnceAfterParent)
    criterion = source.moment.criterion
    whole = replace(network, budget=replace(network.budget, distribution=GLOBAL))
    if not source.moment.needs_parent:
        masks = first_masks(whole, criterion, loss, check_hyperparameters(source.name, hyperparameters or {}))
        return _with_densities(network.budget, masks)
    if parent is None:
        raise MethodError(
            f"distribution {distribution!r} reads a trained dense network: give parent=Parent(...)"
        )
    with _weights_of(network.model, parent):
        masks = first_masks(whole, criterion, None, {})
    return _with_densities(network.budget, masks)


def _with_densities(budget: Budget, masks: Mapping[str, Tensor]) -> Budget:
    """The budget whose layers are as dense as masks are."""
    densities = layer_densities(masks)
    if budget.at_least is None:
        check_none_empty([name for name, density in densities.items() if density == 0])
    return replace(budget, distribution=densities)


def loss_gradients(network: Network, loss: Loss, _: Hyperparameters | None = None) -> dict[str, Tensor]:
    """Gradients of a loss, per layer, averaged over all processes of a distributed training.

    Gradients, buffers and random state of the model stay as they are.

    Raises:
        MethodError: If the loss does not depend on a layer.
    """
    weights = [layer.weight for layer in network.layers.values()]
    with undisturbed(network.model) as model:
        gradients = torch.autograd.grad(loss(model), weights, allow_unused=True)
    return _averaged(complete(dict(zip(network.layers, gradients, strict=True))))


def hessian_gradients(network: Network, loss: Loss, hyperparameters: Hyperparameters) -> dict[str, Tensor]:
    """H g, the gradient of half the squared norm of the gradient, per layer (Wang et al. 2020).

    What the model returns is divided by ``temperature`` on the way to the loss.

    Raises:
        MethodError: If the loss does not depend on a layer.
    """
    weights = [layer.weight for layer in network.layers.values()]
    # Other attention kernels have no second derivative.
    math = sdpa_kernel(SDPBackend.MATH)
    with undisturbed(network.model) as model, _cooled(model, hyperparameters["temperature"]), math:
        found = torch.autograd.grad(loss(model), weights, allow_unused=True, create_graph=True)
        gradients = complete(dict(zip(network.layers, found, strict=True)))
        product = torch.stack([(g.detach() * g).sum() for g in gradients.values()]).sum()
        products = torch.autograd.grad(product, weights, materialize_grads=True)
    return _averaged(dict(zip(network.layers, products, strict=True)))


def _masks_in_rounds(network: Network, criterion: str, loss: Loss, rounds: int) -> dict[str, Tensor]:
    """Masks of iterative SynFlow: after round k of n the density is d^(k / n)."""
    score: Score = CRITERIA[criterion]
    shape = _input_shape(network.model, loss)
    linear, weights = _linear_copy(network)
    ones = torch.ones(1, *shape[1:], dtype=torch.float64, device=next(iter(weights.values())).device)
    dense = {name: weight.detach().clone() for name, weight in weights.items()}
    masks = {name: torch.ones_like(weight, dtype=torch.bool) for name, weight in dense.items()}
    sparsity = network.budget.sparsity
    for k in range(1, rounds + 1):
        with torch.no_grad():
            for name, weight in weights.items():
                weight.copy_(dense[name] * masks[name])
        scores = _flow_scores(score, linear, weights, ones, network.generator)
        progress = round_progress(sparsity, k, rounds)
        if k == 1:
            check_scores(scores, network.budget, criterion)
        ceilings = {name: int(mask.sum()) for name, mask in masks.items()}
        scores = {name: score.masked_fill(~masks[name], -torch.inf) for name, score in scores.items()}
        masks = keep_top(scores, network.budget, progress, ceilings)
    return masks


def _flow_scores(
    score: Score, linear: nn.Module, weights: Mapping[str, Tensor], ones: Tensor, generator: torch.Generator
) -> dict[str, Tensor]:
    with torch.enable_grad():
        flow = linear(ones).sum()
        gradients = torch.autograd.grad(flow, list(weights.values()), materialize_grads=True)
    if not all_finite(dict(zip(weights, gradients, strict=True))):
        raise MethodError("the flow of synflow exceeds double precision: the network is too deep for it")
    return {
        name: score(Signals(weight, gradient, generator))
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }


def _linear_copy(network: Network) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """A copy in double precision and eval mode, weights absolute, biases zero; and its prunable weights."""
    memo: dict[int, Any] = {}
    linear = copy.deepcopy(unwrapped(network.model), memo).double().eval()
    with torch.no_grad():
        for name, parameter in linear.named_parameters():
            parameter.zero_() if name.endswith("bias") else parameter.abs_()
    return linear, {
        name: Layer(memo[id(layer.module)], layer.parameter).weight for name, layer in network.layers.items()
    }


def _input_shape(model: nn.Module, loss: Loss) -> torch.Size:
    """Shape of what the loss gives to the model first; refused if it is integer, as tokens are."""
    shapes: list[torch.Size] = []

    def note(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        given = [value for value in inputs[:1] if isinstance(value, Tensor)]
        if any(not value.is_floating_point() for value in given):
            raise MethodError(
                f"synflow sends ones in place of the input through the network, and this one takes {given[0].dtype}, "
                "for which there is none (tokens, indices); take another method, or prune the part after the embedding"
            )
        shapes.extend(value.shape for value in given)

    with undisturbed(model) as inner:
        handle = inner.register_forward_pre_hook(note)
        try:
            loss(inner)
        finally:
            handle.remove()
    if not shapes:
        raise MethodError(
            "synflow needs a model whose first argument is a tensor, and a loss that calls the model"
        )
    return shapes[0]


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside DistributedDataParallel, which autograd.grad cannot pass; else the model itself."""
    return model.module if isinstance(model, DistributedDataParallel) else model


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[nn.Module]:
    """Within this context, buffers and random state of the model stay as they are."""
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    devices = [parameter.device for parameter in model.parameters() if parameter.is_cuda][:1]
    try:
        with torch.random.fork_rng(devices=devices), torch.enable_grad():
            yield unwrapped(model)
    finally:
        for name, buffer in model.named_buffers():
            buffer.copy_(buffers[name])


@contextmanager
def _cooled(model: nn.Module, temperature: float) -> Iterator[None]:
    """Within this context, what the model returns is divided by a temperature."""

    def divide(_: nn.Module, __: object, output: object) -> Tensor:
        if not isinstance(output, Tensor):
            raise MethodError("grasp needs a model that returns one tensor of logits")
        return output / temperature

    handle = model.register_forward_hook(divide)
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _weights_of(model: nn.Module, parent: Parent) -> Iterator[None]:
    """Within this context, the model has the parent's trained weights."""
    own = {name: value.clone() for name, value in model.state_dict().items()}
    try:
        load_parent_(model, parent.trained, "trained")
        yield
    finally:
        model.load_state_dict(own)


def _averaged(gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """The mean over all processes, so that each of them makes the same mask."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return gradients
    for gradient in gradients.values():
        distributed.all_reduce(gradient)
        gradient.div_(distributed.get_world_size())
    return gradients


def _given(loss: Loss | None, criterion: str) -> Loss:
    if loss is None:
        raise MethodError(
            f"{criterion} scores the weights before the first step: give loss=, a function of the model that "
            "returns the loss of one batch"
        )
    return loss


def layer_densities(masks: Mapping[str, Tensor]) -> dict[str, float]:
    """Fraction of active weights per layer: what another network may take as its distribution."""
    return {name: int(mask.sum()) / mask.numel() for name, mask in masks.items()}
