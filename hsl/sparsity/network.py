"""The network that drivers work on: its masks, its gradients, and the parent that it may start from."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from hsl.errors import MethodError
from hsl.sparsity.criteria import Signals
from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.layers import Prunable, set_mask_
from hsl.sparsity.masks import top_k, top_n_of_m
from hsl.sparsity.ties import Ties

LOG = logging.getLogger(__name__)

Loss = Callable[[nn.Module], Tensor]


@dataclass(frozen=True)
class Parent:
    """A trained dense network, as state dicts of the very model that is to be pruned.

    Attributes:
        trained: State dict at the end of its training.
        rewind: State dict at the step to rewind to; None where the method does not rewind.
    """

    trained: Mapping[str, Tensor]
    rewind: Mapping[str, Tensor] | None = None


@dataclass
class Network:
    """What a driver works on.

    Attributes:
        model: The whole model.
        layers: Its prunable layers, each with a mask.
        budget: What they may keep.
        generator: CPU generator for everything random.
        init: How initial weights are scaled for the first masks: a key of `hsl.sparsity.init.INITS`.
        loss: Loss of one batch, where `init` reads it, until masks are set.
        explored: Union of all masks so far, by layer; empty for methods that never move their non-zeros.
    """

    model: nn.Module
    layers: Prunable
    budget: Budget
    generator: torch.Generator
    init: str = "dense"
    loss: Loss | None = None
    explored: dict[str, Tensor] = field(default_factory=dict)

    def signals(self, name: str, gradient: Tensor | None = None) -> Signals:
        """What is known of one layer."""
        layer = self.layers[name]
        mask = layer.weight_mask if layer.has_mask else None
        return Signals(layer.weight, gradient, self.generator, mask, self.budget.ties)

    def explore_(self) -> None:
        """Add the masks of now to the union of all masks so far."""
        for name, layer in self.layers.items():
            if name in self.explored:
                self.explored[name] |= layer.weight_mask
            else:
                self.explored[name] = layer.weight_mask.clone()


@dataclass(frozen=True)
class Start:
    """What a moment makes its driver from.

    Attributes:
        network: What the driver works on.
        method: Name of the method.
        needs_gradient: Whether a criterion of the method reads gradients of all prunable weights.
        values: All hyperparameters of the method, checked.
        total_steps: Steps of the whole training, at least 1.
        parent: The trained dense network, for a method that needs one.
        loss: Loss of one batch, for scores before the first step.
    """

    network: Network
    method: str
    needs_gradient: bool
    values: Mapping[str, float]
    total_steps: int
    parent: Parent | None = None
    loss: Loss | None = None


def keep_top(
    scores: Mapping[str, Tensor],
    budget: Budget,
    progress: float = 1.0,
    ceilings: Mapping[str, int] | None = None,
) -> dict[str, Tensor]:
    """Masks of the highest scores: per layer, or in one ranking over all layers if the budget is global.

    Args:
        scores: Layer names, in the order of the budget, and scores of the shapes of the weights.
        budget: What may be kept.
        progress: Fraction of the target sparsity that is due, in [0, 1].
        ceilings: Most active weights per layer; None for no limit.

    Returns:
        Layer names and boolean masks with exactly the budget's number of True.
    """
    if budget.structure is not None:
        return _top_of_runs(scores, budget, budget.structure, progress)
    counts = budget.group_counts(progress, ceilings)
    found: dict[str, Tensor] = {}
    for group, names in budget.groups.items():
        found |= _top_of_group({name: scores[name] for name in names}, counts[group], budget)
    if progress == 1.0 and budget.at_least is None:
        _warn_of_empty([name for name in scores if not found[name].any()])
    return {name: found[name] for name in scores}


def _warn_of_empty(layers: list[str]) -> None:
    if layers:
        LOG.warning(
            "no weight of %s is kept, which cuts the network there; give at_least=1 (in a space layers.at_least) to "
            "keep one in every layer",
            ", ".join(layers),
        )


def warn_of_ties(
    scores: Mapping[str, Tensor], masks: Mapping[str, Tensor], budget: Budget, criterion: str
) -> None:
    """Say where a hundredth of the kept weights or more have the score of others that are not kept."""
    for members in budget.groups.values() if budget.structure is None else ():
        names = [name for name in members if name not in budget.keep_dense]
        kept = [scores[name][masks[name]] for name in names]
        if not sum(part.numel() for part in kept):
            continue
        lowest = torch.cat(kept).min()
        taken = sum(int((part == lowest).sum()) for part in kept)
        left = sum(int((scores[name][~masks[name]] == lowest).sum()) for name in names)
        if left and 100 * taken >= sum(part.numel() for part in kept):
            LOG.warning(
                "%d of the weights that %s keeps in %s have the same score as %d that it does not: %s of them are kept",
                *(taken, criterion, ", ".join(names), left, "some" if budget.ties else "the first"),
            )


def _top_of_group(scores: Mapping[str, Tensor], count: int, budget: Budget) -> dict[str, Tensor]:
    """Masks of the highest scores of several layers, in one ranking."""
    least = budget.floors()
    flat = [
        torch.full_like(layer_scores, torch.inf).flatten()
        if name in budget.keep_dense
        else _with_safe(layer_scores.flatten(), least[name], budget.ties)
        for name, layer_scores in scores.items()
    ]
    chosen = torch.split(top_k(torch.cat(flat), count, budget.ties), [part.numel() for part in flat])
    return {
        name: part.view(layer_scores.shape)
        for part, (name, layer_scores) in zip(chosen, scores.items(), strict=True)
    }


def _with_safe(scores: Tensor, count: int, ties: Ties | None) -> Tensor:
    """Scores whose highest `count` are kept for sure, but for those that are gone already."""
    safe = top_k(scores, count, ties) & (scores > -torch.inf)
    return scores.masked_fill(safe, torch.inf) if count else scores


def _top_of_runs(
    scores: Mapping[str, Tensor], budget: Budget, structure: tuple[int, int], progress: float
) -> dict[str, Tensor]:
    """Masks that keep N of every M; when less is due, as many more of every M as may still stay."""
    kept, of = structure
    due = of - int((of - kept) * progress)
    return {
        name: torch.ones_like(layer_scores, dtype=torch.bool)
        if name in budget.keep_dense
        else top_n_of_m(layer_scores, due, of, budget.ties)
        for name, layer_scores in scores.items()
    }


def set_masks_(layers: Prunable, masks: Mapping[str, Tensor]) -> None:
    """Give every layer its new mask, in place."""
    for name, layer in layers.items():
        set_mask_(layer, masks[name])


def step_gradients(layers: Prunable) -> dict[str, Tensor]:
    """Gradients that the last backward pass left, per layer.

    Raises:
        MethodError: If a layer has none.
    """
    return complete({name: layer.weight.grad for name, layer in layers.items()})


def load_parent_(model: nn.Module, state: Mapping[str, Tensor], which: str) -> None:
    """Copy a parent's state dict into the model, in place; masks are the model's own.

    Raises:
        MethodError: If names or shapes do not match.
    """
    masks = {name for name in model.state_dict() if name.endswith("weight_mask")}
    try:
        missing, unexpected = model.load_state_dict(dict(state), strict=False)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise MethodError(f"the parent's {which} weights do not fit the model: {reason}") from error
    lost = [name for name in missing if name not in masks]
    if lost or unexpected:
        raise MethodError(
            f"the parent's {which} weights do not fit the model: missing {lost or 'nothing'}, "
            f"unknown {list(unexpected) or 'nothing'}; give state dicts of the same architecture, dense"
        )


def all_finite(gradients: Mapping[str, Tensor]) -> bool:
    """Whether no gradient holds NaN or infinity."""
    return all(bool(torch.isfinite(gradient).all()) for gradient in gradients.values())


def complete(gradients: Mapping[str, Tensor | None]) -> dict[str, Tensor]:
    """Gradients of all layers.

    Raises:
        MethodError: If a layer has none.
    """
    missing = [name for name, gradient in gradients.items() if gradient is None]
    if missing:
        raise MethodError(
            f"layers {', '.join(missing)} have no gradient, and the method scores weights by it: "
            "call backward() before optimizer.step(), or exclude these layers"
        )
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}
