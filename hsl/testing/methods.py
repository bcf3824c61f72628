"""What holds for every method of sparse training with every distribution that it takes, at every step."""

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hsl.sparsity import DISTRIBUTIONS, METHODS, Layers, Parent, Sparsifier, allocate, check_hyperparameters
from hsl.sparsity.distributions.ranked import is_ratios
from hsl.sparsity.layers import Layer, prunable_layers

STEPS, SPARSITY, BATCH = 12, 0.9, 32
SHAPES = {
    "conv": (8, 3, 3, 3),
    "wide": (16, 8, 3, 3),
    "narrow": (16, 16, 1, 1),
    "hidden": (64, 256),
    "head": (10, 64),
}


def network() -> nn.Module:
    """A small convolutional network for images of 8 x 8, always the same."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Unflatten(1, (1, 8, 8)),
            nn.Conv2d(1, 8, 3, padding=1),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 16, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(256, 24),
            nn.ReLU(),
            nn.Linear(24, 10),
        )


def samples() -> tuple[Tensor, Tensor]:
    """Images [N, 64] and classes [N] that can be learned, always the same."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.rand(10, 64, generator=generator)
    classes = torch.arange(BATCH * STEPS) % 10
    return centres[classes] + 0.2 * torch.randn(len(classes), 64, generator=generator), classes


def parent_of(model: nn.Module) -> Parent:
    """A parent of a model: its own weights to rewind to, and others as if they were trained."""
    state = {name: value.clone() for name, value in model.state_dict().items()}
    generator = torch.Generator().manual_seed(5)
    trained = {
        name: value + 0.1 * torch.randn(value.shape, generator=generator)
        if value.is_floating_point()
        else value
        for name, value in state.items()
    }
    return Parent(trained=trained, rewind=state)


@dataclass
class Training:
    """A network that is trained sparsely.

    Attributes:
        model: The network.
        optimizer: Its optimizer.
        sparsifier: What keeps it sparse.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    sparsifier: Sparsifier

    @classmethod
    def of(cls, method: str, distribution: str | None = None, **options: Any) -> "Training":
        """A training of `STEPS` steps, not begun; `options` are further arguments of the `Sparsifier`."""
        return cls.on(network(), method, distribution, **options)

    @classmethod
    def on(cls, model: nn.Module, method: str, distribution: str | None = None, **options: Any) -> "Training":
        """The same of another network for such images."""
        asked = METHODS[method]
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-2)
        images, classes = samples()
        if asked.needs_loss or is_ratios(distribution):
            options["loss"] = lambda net: nn.functional.cross_entropy(net(images[:64]), classes[:64])
        given = {
            "total_steps": STEPS,
            "sparsity": SPARSITY if asked.moment.is_masked else 0.0,
            "parent": parent_of(model) if asked.needs_parent else None,
            "distribution": distribution,
        }
        return cls(model, optimizer, Sparsifier(model, optimizer, method=method, **given | options))

    def train(self, steps: range) -> Iterator[int]:
        """Train; yields the number of each step when it is done."""
        images, classes = samples()
        for step in steps:
            batch = slice(BATCH * step, BATCH * (step + 1))
            self.optimizer.zero_grad()
            nn.functional.cross_entropy(self.model(images[batch]), classes[batch]).backward()
            self.optimizer.step()
            yield step

    def parts(self) -> tuple[Any, Any, Any]:
        """What a checkpoint is made of."""
        return self.model, self.optimizer, self.sparsifier


def check_method(name: str, distributions: Sequence[str] | None = None) -> None:
    """A method keeps its promises.

    At every step pruned weights and their optimizer state are zero, the optimizer finds no gradients but those of
    trained weights, counts are whole numbers that the budget allows, and the target is met exactly once it is reached;
    the global random state is left alone; the same seed gives the same masks; a fresh object continues from a
    checkpoint, and a copy from where it was made, to the last bit.

    Args:
        name: Registry name or reference.
        distributions: Those to check it with; all of the registry that it takes by default.
    """
    method = METHODS[name]
    check_hyperparameters(name, {})
    for distribution in distributions or method.distributions or (None,):
        _check_every_step(name, distribution)
    chosen = next(iter(distributions or method.distributions), None)
    _check_same_again(name, chosen)
    _check_continues(name, chosen)
    if METHODS[name].moment.is_masked:
        check_kept_dense(name, chosen)
        check_smallest_budgets(name, chosen)
        check_memory_format(name, chosen)


def _check_every_step(name: str, distribution: str | None) -> None:
    random_state = torch.get_rng_state()
    training = Training.of(name, distribution)
    assert torch.equal(torch.get_rng_state(), random_state), f"{name} draws from torch's global generator"
    sparsifier = training.sparsifier
    if not METHODS[name].moment.is_masked:
        assert not [key for key in training.model.state_dict() if key.endswith("_mask")]
        return
    weights = sum(row.weights for row in sparsifier.report())
    goal = round((1 - SPARSITY) * weights)
    # Registered after those of the Sparsifier, so it finds what the optimizer will find.
    training.optimizer.register_step_pre_hook(lambda *_: _check_gradients(training, name))
    for step in training.train(range(STEPS)):
        active = sum(row.non_zeros for row in sparsifier.report())
        where = f"{name} with {distribution}, step {step}"
        assert sparsifier.step_count == step + 1, where
        assert active == goal if sparsifier.target_reached else active >= goal, f"{where}: {active} of {goal}"
        _check_zeros(training, name, where)
    assert sparsifier.target_reached, f"{name} does not reach its target within {STEPS} steps"


def _most_trained(training: Training, name: str, layer: Layer) -> int:
    """How many weights of a layer may be trained."""
    density = float(layer.weight_mask.float().mean())
    trained = METHODS[name].moment.trained_density(training.sparsifier.hyperparameters, density)
    return math.ceil(trained * layer.weight.numel() + 1e-6)


def _check_gradients(training: Training, name: str) -> None:
    """No more gradients than trained weights reach the optimizer: others must not count in any mean or norm."""
    for key, layer in prunable_layers(training.model).items():
        if layer.weight.grad is not None:
            found, most = int(layer.weight.grad.count_nonzero()), _most_trained(training, name, layer)
            assert found <= most, f"{name}: the optimizer sees {found} gradients of layer {key}, not {most}"


def _check_zeros(training: Training, name: str, where: str) -> None:
    """Pruned weights are zero, and no more optimizer state is not than there are trained weights."""
    for layer in prunable_layers(training.model).values():
        pruned = ~layer.weight_mask
        assert layer.weight[pruned].count_nonzero() == 0, f"{where}: pruned weights are not zero"
        most = _most_trained(training, name, layer)
        for value in training.optimizer.state[layer.weight].values():
            if isinstance(value, Tensor) and value.shape == pruned.shape:
                assert value.count_nonzero() <= most, f"{where}: optimizer state of weights not trained"
                more = most > int(layer.weight_mask.sum()) + 1
                assert more or value[pruned].count_nonzero() == 0, f"{where}: stale state"


def _masks(training: Training) -> dict[str, Tensor]:
    return {key: value for key, value in training.model.state_dict().items() if key.endswith("_mask")}


def _check_same_again(name: str, distribution: str | None) -> None:
    one, other = (Training.of(name, distribution, seed=3) for _ in range(2))
    for training in (one, other):
        list(training.train(range(STEPS)))
    assert _equal(one.model.state_dict(), other.model.state_dict()), f"{name}: the same seed, other weights"


def _check_continues(name: str, distribution: str | None) -> None:
    one = Training.of(name, distribution)
    list(one.train(range(STEPS // 2)))
    saved = [copy.deepcopy(part.state_dict()) for part in one.parts()]
    other = Training.of(name, distribution, seed=17)
    for part, state in zip(other.parts(), saved, strict=True):
        part.load_state_dict(state)
    copied = Training(*copy.deepcopy(one.parts()))
    for training in (one, other, copied):
        list(training.train(range(STEPS // 2, STEPS)))
    for found, what in ((other, "checkpoint"), (copied, "copy")):
        same = _equal(one.model.state_dict(), found.model.state_dict())
        assert same, f"{name}: a {what} continues otherwise"


def check_kept_dense(name: str, distribution: str | None = None) -> None:
    """A layer that is to stay dense does, and the others make up for it."""
    training = Training.of(name, distribution, layers=Layers(keep_dense=["1"]))
    list(training.train(range(STEPS)))
    density = training.sparsifier.layer_densities()["1"]
    assert density == 1, f"{name} with {distribution}: a layer that is kept dense has density {density}"
    _check_total(training, f"{name} with {distribution} and a layer that is kept dense")


def check_smallest_budgets(name: str, distribution: str | None = None) -> None:
    """Trainings of one, two and three steps reach their target."""
    for steps in (1, 2, 3):
        training = Training.of(name, distribution, total_steps=steps)
        list(training.train(range(steps)))
        where = f"{name} with {distribution} in {steps} steps"
        assert training.sparsifier.target_reached, f"{where} does not reach its target"
        _check_total(training, where)


def check_memory_format(name: str, distribution: str | None = None) -> None:
    """Masks do not depend on the memory format of the weights."""
    masks = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        model = network().to(memory_format=memory_format)
        training = Training.on(model, name, distribution)
        list(training.train(range(3)))
        masks.append(_masks(training))
    assert _equal(*masks), f"{name} with {distribution}: other masks in channels_last; do not rely on strides"


def _check_total(training: Training, where: str) -> None:
    rows = training.sparsifier.report()
    active, goal = (
        sum(row.non_zeros for row in rows),
        round((1 - SPARSITY) * sum(row.weights for row in rows)),
    )
    assert active == goal, f"{where}: {active} weights of {goal}"


def _equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def check_distribution(name: str) -> None:
    """A distribution gives densities in [0, 1] that leave the sparsity, whichever layers stay dense.

    Args:
        name: Registry name or reference.
    """
    total = sum(math.prod(shape) for shape in SHAPES.values())
    for sparsity in (0.0, 0.5, 0.8, 0.9):
        for keep_dense in ((), ("head",)):
            densities = DISTRIBUTIONS[name](SHAPES, sparsity, keep_dense=frozenset(keep_dense))
            where = f"{name} at {sparsity} with {keep_dense or 'nothing'} kept dense"
            assert list(densities) == list(SHAPES), f"{where}: layers {list(densities)}"
            assert all(0 <= density <= 1 for density in densities.values()), f"{where}: {densities}"
            assert all(densities[layer] == 1 for layer in keep_dense), f"{where}: {densities}"
            kept = sum(allocate(densities, SHAPES, sparsity).values())
            assert kept == round((1 - sparsity) * total), f"{where}: {kept} weights"
    takers = [method for method in METHODS if METHODS[method].takes(name)]
    assert takers, f"no method takes a distribution of the family {DISTRIBUTIONS.facts(name).family}"
    check_method(takers[0], [name])
