"""What a user asks of a Sparsifier, checked and made into a budget; and what it reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import distributed
from torch.optim import LBFGS, Optimizer, Rprop, SparseAdam

from hsl.errors import InfeasibleError, MethodError
from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.distributions.formulas import Shape
from hsl.sparsity.init import INITS, READ_LOSS
from hsl.sparsity.layers import ALL, TRANSPOSED, Layers, Prunable, layer_shapes
from hsl.sparsity.methods import METHODS
from hsl.sparsity.methods.weight_scores import Init
from hsl.sparsity.network import Loss, Parent
from hsl.sparsity.ties import TIES


@dataclass(frozen=True)
class Ratios:
    """How weights are scored for a distribution ``from:METHOD``.

    Attributes:
        loss: Function of the model that returns the loss of one batch; None for that of the Sparsifier.
        hyperparameters: Of that method, by name; the rest keep their defaults.
    """

    loss: Loss | None = None
    hyperparameters: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class LayerReport:
    """How sparse one layer is.

    Attributes:
        name: Module name.
        shape: Shape of its weight.
        weights: Number of weights.
        non_zeros: Number of active weights.
    """

    name: str
    shape: tuple[int, ...]
    weights: int
    non_zeros: int

    @property
    def density(self) -> float:
        """Fraction of active weights."""
        return self.non_zeros / self.weights


def check_request(method: str, total_steps: int | None, init: str | None, parent: Parent | None) -> None:
    """Refuse what is wrong for any model.

    Raises:
        MethodError: If it is.
    """
    if total_steps is None and METHODS[method].has_schedule:
        raise MethodError(
            f"method {method!r} changes its masks on a schedule: give total_steps=, the number of optimizer "
            "steps of the whole training"
        )
    if total_steps is not None and (type(total_steps) is not int or total_steps < 1):
        raise MethodError(f"total_steps is {total_steps!r}, it must be a whole number of steps, at least 1")
    if init is not None and init not in INITS:
        raise MethodError(f"init is {init!r}, it must be one of {', '.join(map(repr, INITS))}")
    if parent is not None and not METHODS[method].needs_parent:
        raise MethodError(
            f"method {method!r} does not start from a parent, but one was given; leave parent out"
        )


def chosen_init(method: str, init: Init | None, loss: Loss | None) -> Init:
    """The scaling of initial weights that is asked for, or the method's default, without a loss "dense".

    Raises:
        MethodError: If it reads a loss, and none is given.
    """
    chosen = init or METHODS[method].init
    if chosen not in READ_LOSS or loss is not None or not METHODS[method].starts_sparse:
        return chosen
    if init is None:
        return "dense"
    raise MethodError(
        f"init {init!r} looks at the outputs of layers: give loss=, a function of the model that returns the loss of "
        "one batch"
    )


def check_optimizer(optimizer: Optimizer, layers: Prunable) -> None:
    """Refuse an optimizer that does not train the layers, or whose state cannot be that of single weights.

    Raises:
        MethodError: If it is such a one.
    """
    if not isinstance(optimizer, Optimizer) or not hasattr(optimizer, "_optimizer_step_pre_hooks"):
        raise MethodError(
            f"{type(optimizer).__name__} has no hooks around its step as optimizers of torch.optim have; give the "
            "Sparsifier the optimizer that is inside it"
        )
    if isinstance(optimizer, LBFGS | SparseAdam):
        raise MethodError(
            f"{type(optimizer).__name__} keeps no state per weight, so it cannot train masked weights; use SGD or Adam"
        )
    if isinstance(optimizer, Rprop) or optimizer.defaults.get("initial_accumulator_value"):
        raise MethodError(
            f"state of {type(optimizer).__name__} does not start at zero, so weights could not start again when they "
            "are grown; use SGD or Adam, or an initial_accumulator_value of 0"
        )
    owned = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    strangers = [name for name, layer in layers.items() if id(layer.weight) not in owned]
    if strangers:
        raise MethodError(
            f"the optimizer does not train the weights of {', '.join(strangers)}: "
            "build it from model.parameters(), or exclude these layers"
        )
    frozen = [name for name, layer in layers.items() if not layer.weight.requires_grad]
    if frozen:
        raise MethodError(
            f"layers {', '.join(frozen)} are frozen (requires_grad is False): they would be pruned and never trained; "
            f"leave them out with layers=Layers(exclude={frozen}), or let them train"
        )


def check_same_seed(seed: int, layers: Prunable) -> None:
    """Refuse processes of one training that would draw different masks.

    Raises:
        MethodError: If their seeds differ.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return
    device = next(iter(layers.values())).weight.device
    seeds = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(seeds, torch.full((1,), seed, dtype=torch.int64, device=device))
    found = sorted({int(each) for each in seeds})
    if len(found) > 1:
        raise MethodError(
            f"the processes of this training have seeds {', '.join(map(str, found))}, so each would make masks of its "
            "own: give every Sparsifier the same seed (that of the data order may differ)"
        )


def make_budget(
    prunable: Prunable,
    sparsity: float,
    distribution: str | Mapping[str, float],
    layers: Layers = ALL,
    generator: torch.Generator | None = None,
) -> Budget:
    """The budget that is asked for; ties are broken by draws of `generator`.

    Raises:
        InfeasibleError: If it cannot be reached.
        MethodError: If a glob matches no layer, the structure is none, at_least is not a number of weights, or ties
            can not be broken as asked.
    """
    if layers.ties not in TIES:
        raise MethodError(f"ties is {layers.ties!r}, it must be one of {', '.join(TIES)}")
    shapes = layer_shapes(prunable)
    pinned = layers.dense(list(shapes))
    if layers.structure is None:
        budget = Budget(shapes, sparsity, distribution, pinned, at_least=_at_least(layers))
    else:
        budget = _structured(prunable, shapes, sparsity, pinned, parse_structure(layers.structure))
    budget.check()
    return replace(budget, ties=TIES[layers.ties](generator or torch.Generator()))


def _at_least(layers: Layers) -> int | None:
    """Fewest weights of a layer, checked."""
    least = layers.at_least
    if least is not None and (type(least) is not int or least < 0):
        raise MethodError(f"at_least is {least!r}, it must be a whole number of weights, 0 or more, or None")
    return least


def parse_structure(structure: str) -> tuple[int, int]:
    """N and M of a structure ``"N:M"``.

    Raises:
        MethodError: If it is not of that form, with 0 < N < M.
    """
    kept, _, of = structure.partition(":")
    if not (kept.isdigit() and of.isdigit() and 0 < int(kept) < int(of)):
        raise MethodError(f'structure is {structure!r}, it must be like "2:4": 2 of every 4 weights are kept')
    return int(kept), int(of)


def chosen_distribution(
    method: str, distribution: str | Mapping[str, float] | None, structure: str | None
) -> str | dict[str, float] | None:
    """The distribution that is asked for, or the method's default; None for dense.

    Raises:
        MethodError: If a structure is asked for, and method or distribution cannot keep N of every M weights.
    """
    if structure is not None:
        _check_structure(method, distribution)
        return "uniform"
    if isinstance(distribution, Mapping):
        return dict(distribution)
    return distribution or next(iter(METHODS[method].distributions), None)


def _check_structure(method: str, distribution: object) -> None:
    if not METHODS[method].takes_structure:
        able = [name for name in METHODS if METHODS[name].takes_structure]
        raise MethodError(f"method {method!r} takes no structure; those that do are {', '.join(able)}")
    if distribution not in (None, "uniform"):
        raise MethodError(
            f"a structure gives every layer the same density; leave distribution {distribution} out"
        )


def _structured(
    layers: Prunable,
    shapes: Mapping[str, Shape],
    sparsity: float,
    pinned: frozenset[str],
    structure: tuple[int, int],
) -> Budget:
    kept, of = structure
    pruned = [name for name in shapes if name not in pinned]
    unfit = [name for name in pruned if shapes[name][1] % of or isinstance(layers[name].module, TRANSPOSED)]
    if unfit:
        raise InfeasibleError(
            f"structure {kept}:{of} needs a number of inputs that {of} divides, which {', '.join(unfit)} "
            "do not have; exclude these layers or keep them dense"
        )
    return Budget(shapes, sparsity, dict.fromkeys(pruned, kept / of), pinned, structure)
