"""The engine: hooks a sparse-training method into any model and optimizer."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from hsl.errors import MethodError
from hsl.sparsity.distributions.ranked import is_ratios
from hsl.sparsity.formats import Format, check_format, store_
from hsl.sparsity.guard import masks_digest
from hsl.sparsity.layers import (
    ALL,
    Layers,
    active_counts,
    attach_masks,
    detach_masks,
    prunable_layers,
    warn_of_dense_rest,
)
from hsl.sparsity.mask_buffers import zero_pruned_
from hsl.sparsity.methods import METHODS, check_hyperparameters, feasible
from hsl.sparsity.methods.weight_scores import Init
from hsl.sparsity.network import Loss, Network, Parent, Start
from hsl.sparsity.request import (
    LayerReport,
    Ratios,
    check_optimizer,
    check_request,
    check_same_seed,
    chosen_distribution,
    chosen_init,
    make_budget,
)
from hsl.sparsity.saliency import ratio_budget
from hsl.sparsity.steps import Steps

LATER_SETTINGS = frozenset({"keep_dense", "at_least"})
"""Settings that checkpoints of version 0.1 do not have."""

LOG = logging.getLogger(__name__)
AS_GIVEN = Ratios()


class Sparsifier:
    """Keeps a model sparse while an optimizer trains it; nothing else is to be called.

    From here on, after every step: pruned weights are exactly zero, and so is all optimizer state that
    belongs to them; the number of active weights is the exact integer that the method asks for, per layer and
    over the network; weights that are grown start at zero with zero optimizer state (rigl, and those like it, let
    one go on that they drop and grow in the same update). Where a dynamic method
    moves its non-zeros, that replaces the optimizer step of the prunable weights (Evci et al. 2020,
    arXiv:1911.11134, algorithm 1), so that weights and gradients of one point decide. Method topkast is the
    exception that its paper asks for: it trains more weights than it uses and keeps the others' values aside.

    Build it after the model is on its device and before the first step. Masks are buffers of the model and
    live in its state dict; random draws come from a generator of its own. A method that scores by gradients
    before training (snip) scores the batch of `loss`; without one it prunes at the first ``optimizer.step()``
    by the gradients found there, and that step leaves the prunable weights where they are. Methods grasp and
    synflow, and distributions ``from:METHOD``, need `loss`. In distributed training the gradients of `loss`
    are averaged over all processes, so that each has the same masks.

    Gradients of pruned weights are computed, and methods read them; the optimizer never does: they are zero when
    its step begins. So optimizers that mix the gradients of a matrix (Adafactor, Muon) do not learn from them
    either. A gradient norm for clipping, or SAM's ``first_step``, counts them in unless `mask_gradients` is called
    before.

    Every step over the weights must be one of `optimizer`, or be taken inside one of its own: a step of another
    optimizer is refused. Where weights were written from outside, `sparsity`, `report`, `state_dict` and `finalize`
    refuse to speak of a network that is not as sparse as its masks, until `apply_masks` is called; a state dict
    that is loaded into the model, dense or not, is masked at once. Copy or pickle model, optimizer and Sparsifier
    together: a step of an optimizer over a copy of the model alone, which nothing keeps sparse, is refused.

    Args:
        model: Any module with Linear, Conv1d/2d/3d, ConvTranspose1d/2d/3d or MultiheadAttention layers.
        optimizer: The optimizer of its weights; any whose state is kept per weight and starts at zero, so neither
            LBFGS nor Rprop. A closure given to its step is called once by most, and as often as it asks by SAM.
        method: Name of a method (`METHODS`).
        sparsity: Fraction of zeros over all prunable weights, in (0, 1); 0 for method dense.
        total_steps: Optimizer steps of the whole training, at least 1; schedules are fractions of it. Methods
            that make one mask before the training do not need it.
        distribution: Name of a distribution the method takes, or ``package.module:attr``, or densities in
            [0, 1] by layer name or glob (layers that are not named share the rest); None: its default.
        seed: Of everything random here, and of nothing else; the same in all processes of a training.
        init: How initial weights of methods that are sparse from the start, and have no parent, are scaled for the
            first mask, by output unit: "sparse" by sqrt(fan-in / live fan-in), "energy" so that a unit's weights keep
            their norm, "dense" not at all; or by layer: "signal" keeps outputs on the batch of `loss` as large as those
            of the dense network. None: as is best for masks of that kind (`METHODS[method].init`).
        parent: The trained dense network, for methods that need one and only for them.
        loss: Function of the model that returns the loss of one batch; used by methods that score gradients
            before training.
        hyperparameters: Of the method, by name; the rest keep their defaults.
        layers: Which layers are pruned, and how; all that can be by default.
        ratios: How weights are scored for a distribution ``from:METHOD``; by default with `loss`.

    Raises:
        MethodError: If the method is used without something it needs, or with something it does not take.
        InfeasibleError: If the sparsity cannot be reached.
        UnknownNameError: If there is no such method or distribution.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        *,
        method: str,
        sparsity: float,
        total_steps: int | None = None,
        distribution: str | Mapping[str, float] | None = None,
        seed: int = 0,
        init: Init | None = None,
        parent: Parent | None = None,
        loss: Loss | None = None,
        hyperparameters: Mapping[str, float] | None = None,
        layers: Layers = ALL,
        ratios: Ratios = AS_GIVEN,
    ) -> None:
        if reason := feasible(method, distribution, sparsity):
            raise MethodError(reason)
        check_request(method, total_steps, init, parent)
        self.method = METHODS[method]
        self.hyperparameters = check_hyperparameters(method, hyperparameters or {})
        self._layers = prunable_layers(model, layers)
        self.structure = layers.structure
        self.distribution = chosen_distribution(method, distribution, layers.structure)
        self.target_sparsity = sparsity
        self.total_steps = total_steps
        self._masked = self.method.moment.is_masked
        self._generator = torch.Generator().manual_seed(seed)
        if self._masked:
            check_optimizer(optimizer, self._layers)
            check_same_seed(seed, self._layers)
            warn_of_dense_rest(model, self._layers)
        budget = make_budget(self._layers, sparsity, self.distribution or "uniform", layers, self._generator)
        self.init = chosen_init(method, init, loss)
        self._network = Network(model, self._layers, budget, self._generator, self.init, loss)
        if is_ratios(self.distribution):
            scored_by = (ratios.loss or loss, parent, ratios.hyperparameters)
            self._network.budget = ratio_budget(self._network, str(self.distribution), *scored_by)
        needs_gradient, values = self.method.needs_gradient, self.hyperparameters
        start = Start(self._network, method, needs_gradient, values, total_steps or 1, parent, loss)
        self._driver = self.method.moment.build(start)
        if self._masked:
            self._start()
        self._network.loss = None  # a function is often one that cannot be pickled
        self._steps = Steps(self._network, self._driver, optimizer, self._masked)

    @property
    def step_count(self) -> int:
        """Steps of the optimizer so far; those that a GradScaler skips do not count."""
        return self._steps.count

    @property
    def target_reached(self) -> bool:
        """Whether the network is at its final sparsity, by the schedule and by its masks."""
        is_due = not self._driver.pending and self.step_count >= self._driver.reached_at
        return is_due and self.excess <= 0

    @property
    def excess(self) -> int:
        """Active weights beyond those of the target sparsity; negative where there are fewer."""
        return sum(active_counts(self._layers).values()) - self._network.budget.total()

    def sparsity(self) -> float:
        """Fraction of pruned weights over all prunable weights now, exact.

        Raises:
            MethodError: If a pruned weight is not zero.
        """
        rows = self.report()
        return 1.0 - sum(row.non_zeros for row in rows) / sum(row.weights for row in rows)

    @property
    def mask_versions(self) -> tuple[int, ...]:
        """One number per layer with a mask, which changes whenever the mask may have; cheap to compare."""
        return tuple(layer.weight_mask._version for layer in self._layers.values() if layer.has_mask)

    def layer_densities(self) -> dict[str, float]:
        """Fraction of active weights now, by module name; raises as `sparsity`."""
        return {row.name: row.density for row in self.report()}

    def explored(self) -> float:
        """Fraction of the prunable weights that were active in any mask so far, in (0, 1].

        The in-time over-parametrisation rate R_s (Liu et al. 2021, arXiv:2102.02887): the density where a mask
        is made once, 1 where the training begins dense. Masks count from when they are made.
        """
        union = self._network.explored.values()
        if not union:
            return 1.0 if self.method.has_schedule else 1.0 - self.sparsity()
        return sum(int(mask.sum()) for mask in union) / sum(mask.numel() for mask in union)

    def report(self) -> list[LayerReport]:
        """One row per prunable layer, in the order of the model; raises as `sparsity`."""
        self._steps.check()
        active = active_counts(self._layers)
        return [
            LayerReport(name, tuple(layer.weight.shape), layer.weight.numel(), active[name])
            for name, layer in self._layers.items()
        ]

    def mask_gradients(self) -> None:
        """Zero the gradients of pruned weights, so that a norm for clipping counts active weights only.

        Call it before clipping. Where the coming step reads the gradients of pruned weights, they stay.
        """
        self._steps.mask_gradients()

    def apply_masks(self) -> None:
        """Zero the pruned weights, after weights were written from outside: averaged, exchanged, updated by hand."""
        zero_pruned_(self._network.model)

    def follow(self, optimizer: Optimizer) -> None:
        """Go on with another optimizer of the same weights, in place of the one before.

        Raises:
            MethodError: If it does not train the weights, or is one that the constructor refuses.
        """
        if self._masked:
            check_optimizer(optimizer, self._layers)
        self._steps.follow(optimizer)

    def remove(self) -> None:
        """Let go of model and optimizer: no hooks, no masks. Weights stay as they are."""
        self._steps.remove()
        detach_masks(self._layers)

    @torch.no_grad()
    def finalize(self, format: Format = "dense") -> nn.Module:
        """Let go of the model as `remove` does, and return it for use: pruned weights are zeros in it.

        A warning says so where it is not at its final sparsity yet.

        Args:
            format: "csr" turns the weights of Linear layers into sparse matrices in compressed rows, "2:4" those
                that keep at most two of every four inputs into the format of NVIDIA's sparse tensor cores (on
                such a GPU, in float16 or bfloat16). Such a model is for inference only; other layers stay dense.

        Returns:
            The model itself, without masks.

        Raises:
            MethodError: If the format is unknown or impossible here, or a pruned weight is not zero; the model is
                left as it was.
        """
        self._steps.check()
        check_format(format, self._layers)
        self._warn_of_missing_steps()
        self.remove()
        store_(self._network.model, self._layers, format)
        return self._network.model

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs besides the model's and the optimizer's state dicts.

        Returns:
            JSON-able settings and counters, the union of all masks so far of a method that moves its
            non-zeros, a digest of the masks, and the generator state as a uint8 tensor.

        Raises:
            MethodError: If a pruned weight is not zero.
        """
        self._steps.check()
        return {
            **self._settings(),
            "step_count": self.step_count,
            "driver": self._driver.state_dict(),
            "densities": self._network.budget.densities() if is_ratios(self.distribution) else None,
            "explored": dict(self._network.explored),
            "masks": masks_digest(self._layers) if self._masked else None,
            "generator": self._generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a checkpoint. The model's state dict, masks included, must be loaded as well, before or after.

        The next step is refused where the masks are others than those of the checkpoint.

        Args:
            state: What `state_dict` returned.

        Raises:
            MethodError: If it is the state of another method, sparsity, distribution or schedule, or of other layers.
        """
        for name, here in self._settings().items():
            if state.get(name, here if name in LATER_SETTINGS else None) != here:
                raise MethodError(
                    f"the checkpoint was written with {name} {state.get(name)!r}, this one has {here!r}; "
                    "build the Sparsifier with the settings of the checkpoint, or start again"
                )
        self._steps.count = int(state["step_count"])
        self._steps.expected_masks = state.get("masks")  # which version 0.1 did not write
        self._driver.load_state_dict(state["driver"])
        if state["densities"] is not None:
            self._network.budget = replace(self._network.budget, distribution=dict(state["densities"]))
        for name, union in self._network.explored.items():
            union.copy_(state["explored"][name])
        self._generator.set_state(state["generator"].cpu())

    def _warn_of_missing_steps(self) -> None:
        if not self.target_reached:
            LOG.warning(
                "the network is %.4g %% sparse, not %.4g %%: %s is there after %d steps of the optimizer, and %d were "
                "taken (total_steps counts steps, not batches: of gradients that accumulate over 4, a quarter; with an "
                "earlier state of the model belongs that of its Sparsifier)",
                100 * self.sparsity(),
                100 * self.target_sparsity,
                self.method.name,
                max(1, self._driver.reached_at),
                self.step_count,
            )

    def _settings(self) -> dict[str, Any]:
        return {
            "method": self.method.name,
            "sparsity": self.target_sparsity,
            "distribution": self.distribution,
            "total_steps": self.total_steps,
            "hyperparameters": dict(self.hyperparameters),
            "structure": self.structure,
            "keep_dense": sorted(self._network.budget.keep_dense),
            "at_least": self._network.budget.at_least,
        }

    def _start(self) -> None:
        attach_masks(self._layers)
        try:
            self._driver.start()
        except Exception:
            detach_masks(self._layers)
            raise
