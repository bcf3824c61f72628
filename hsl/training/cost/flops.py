"""Training cost relative to dense training, in multiply-accumulates of prunable layers. Torch-free.

A step costs three times its forward pass: the pass itself, the gradients of the activations, and those of the
weights. A method that reads gradients of pruned weights pays for dense weight gradients (Evci et al. 2020,
arXiv:1911.11134, appendix). The steps of an attack need no gradients of weights. `hsl.sparsity.layer_macs` counts the
operations of a network's layers.

Everywhere `macs` maps layers to the operations of one sample's forward pass with all weights active, `densities` maps
layers to fractions of active weights (a layer that is missing is dense), and hyperparameters that are not given have
the defaults of the method.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hsl.hardness.registries import attack_facts
from hsl.hardness.schema.regimes import Attack
from hsl.sparsity.methods import METHODS, check_hyperparameters


def forward_macs(macs: Mapping[str, int], densities: Mapping[str, float]) -> float:
    """Operations of one sample's forward pass."""
    return sum(count * densities.get(name, 1.0) for name, count in macs.items())


def relative_forward(macs: Mapping[str, int], densities: Mapping[str, float]) -> float:
    """`forward_macs` over those of the dense network, in [0, 1]: the cost of inference."""
    return forward_macs(macs, densities) / sum(macs.values())


@dataclass(frozen=True)
class Passes:
    """What a training step computes for each sample.

    Attributes:
        forward: Forward passes, each with the gradients of its activations: those of an attack as well.
        weights: How many of them compute gradients of weights.
    """

    forward: float = 1.0
    weights: float = 1.0

    @classmethod
    def of(cls, attack: Attack | None) -> "Passes":
        """Those of a step in a regime with this attack, or none."""
        return cls() if attack is None else cls(attack.passes_per_step, attack_facts(attack.name).loss_passes)

    @property
    def dense(self) -> float:
        """Cost of a dense step, in forward passes."""
        return self.macs(1.0, 1.0)

    def macs(self, forward: float, weight_gradients: float) -> float:
        """Operations of a step from those of a forward pass and of the weights' gradients."""
        return 2.0 * self.forward * forward + self.weights * weight_gradients


def dense_gradient_steps(
    method: str, hyperparameters: Mapping[str, float], total_steps: int, first: int, last: int
) -> int:
    """Number of steps from `first` to `last` (exclusive, from 0) that compute gradients of pruned weights as well."""
    values = check_hyperparameters(method, hyperparameters)
    return METHODS[method].moment.dense_gradient_steps(values, total_steps, first, last)


def scoring_samples(method: str, hyperparameters: Mapping[str, float], samples: int) -> float:
    """Cost of the scores that are computed before training, in dense passes of one sample, gradients included.

    SNIP takes one pass over its samples, GraSP two (a gradient of a gradient), SynFlow one sample in each of its
    rounds.

    Args:
        method: Registry name of the method.
        hyperparameters: Of the method.
        samples: Number of samples that weights are scored by.
    """
    return (
        METHODS[method].moment.scoring_passes(check_hyperparameters(method, hyperparameters), samples)
        * samples
    )


@dataclass
class TrainingMeter:
    """Adds up the operations of a training from its layers' densities over time.

    Attributes:
        total_steps: Steps of the whole training.
        steps: Steps added so far.
        extra_steps: Dense steps before the first one, as costly as its own: a parent's, and those of `scoring_samples`.
        passes: What a step computes.
        spent: Operations per sample of the steps added so far.
    """

    macs: Mapping[str, int]
    method: str
    hyperparameters: Mapping[str, float]
    total_steps: int
    extra_steps: float = 0.0
    passes: Passes = Passes()
    steps: int = 0
    spent: float = 0.0

    def add(self, densities: Mapping[str, float], steps: int) -> None:
        """Count steps whose forward passes had these densities: those from one change of a mask to the next."""
        dense, sparse = float(sum(self.macs.values())), forward_macs(self.macs, densities)
        last = self.steps + steps
        updates = dense_gradient_steps(self.method, self.hyperparameters, self.total_steps, self.steps, last)
        self.spent += updates * self.passes.macs(sparse, dense)
        self.spent += (steps - updates) * self.passes.macs(sparse, self._trained(densities))
        self.steps = last

    @property
    def relative(self) -> float:
        """Operations so far, extra ones included, over those of as many dense steps; 0 before the first."""
        if self.steps == 0:
            return 0.0
        dense = sum(self.macs.values()) * self.passes.dense
        return (self.spent + self.extra_steps * dense) / (self.steps * dense)

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint, JSON-able."""
        return {"steps": self.steps, "spent": self.spent}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.steps, self.spent = int(state["steps"]), float(state["spent"])

    def _trained(self, densities: Mapping[str, float]) -> float:
        """Operations of the gradients of the weights that are trained: topkast trains more than it uses."""
        values, moment = check_hyperparameters(self.method, self.hyperparameters), METHODS[self.method].moment
        trained = {name: moment.trained_density(values, density) for name, density in densities.items()}
        return forward_macs(self.macs, trained)
