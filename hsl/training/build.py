"""configuration + seed -> Trainer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parameter import is_lazy

from hsl.errors import DamagedError, HslError
from hsl.hardness import keyed
from hsl.hardness.schema.fields import has_switch, is_numeric
from hsl.plugin_code import check_code
from hsl.sparsity import Layers, Parent, Ratios, Sparsifier, layer_macs
from hsl.sparsity.init import READ_LOSS
from hsl.sparsity.methods import METHODS, check_hyperparameters, scored_source
from hsl.training import checkpoint
from hsl.training.available import model_builder
from hsl.training.compiled import check_compiled, compiled
from hsl.training.configuration import Configuration, ModelSpec, Training
from hsl.training.cost.flops import Passes, TrainingMeter, scoring_samples
from hsl.training.data.augmentation import is_augmented
from hsl.training.data.batching import TrainingSet, batches
from hsl.training.data.loaded import Data
from hsl.training.data.score_files import read_scores
from hsl.training.measuring.evaluation import to_float
from hsl.training.measuring.measures import Bench
from hsl.training.models import INNER, Normalized, Shape
from hsl.training.optimizers import make_optimizer
from hsl.training.task import Task
from hsl.training.trainer import SparseNetwork, Trainer

SCORING_BATCH = 128
"""Samples on which SNIP scores weights, as in the paper's CIFAR experiments (arXiv 1810.02340)."""


def default_device() -> str:
    """``cuda`` where torch sees a GPU, else ``cpu``."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def usable_device(name: str | None) -> str:
    """A torch device that tensors can be on here; by default `default_device`.

    Raises:
        HslError: If there is none of this name.
    """
    if name is None:
        return default_device()
    try:
        torch.zeros(1, device=name).cpu()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise HslError(
            f"--device {name}: no such device here ({reason}); leave it out for {default_device()}"
        ) from error
    return name


def build_trainer(
    configuration: Configuration,
    seed: int,
    *,
    parent: str | None = None,
    scores: str | None = None,
    device: str = "cpu",
    objective: str = "val_matched_accuracy",
    keep_best: bool = False,
) -> Trainer:
    """A trainer at epoch 0.

    Args:
        configuration: What to train.
        seed: Seed of initial weights, batch order and everything else that is random.
        parent: URI of the trained parent, for methods that need one.
        scores: URI of the difficulty scores, for regimes that need them.
        device: Torch device.
        objective: Name of the validation metric that says which epoch is the best.
        keep_best: Whether the network of that epoch is kept, besides the final one.

    Raises:
        HslError: If something that the configuration needs is missing here, or the code of its plug-ins is another.
    """
    check_code(configuration.code)
    check_compiled(configuration.training, device)
    task = Task.of(configuration, seed, scores, device)
    network = _network(configuration, task, seed, parent, scores, device)
    training = _with_augmentation(configuration.training, task.data.shape)
    return Trainer(network, task, training, seed, objective, keep_best)


def _network(
    configuration: Configuration, task: Task, seed: int, parent: str | None, scores: str | None, device: str
) -> SparseNetwork:
    """A network before its first step; arguments as of `build_trainer`."""
    training = configuration.training
    model = _model(configuration, task.data, seed, device)
    optimizer = make_optimizer(training, model.parameters())
    steps = training.epochs * task.train.steps_per_epoch(training.batch_size)
    begun = _parent(configuration, seed, parent, scores, device)
    sparsifier = Sparsifier(
        model,
        optimizer,
        method=configuration.method,
        sparsity=configuration.sparsity,
        distribution=configuration.distribution,
        total_steps=steps,
        seed=keyed.key(seed, "sparsity") >> 1,
        init=configuration.init,
        parent=begun.parent if begun else None,
        loss=_scoring_loss(task.train, seed, _samples_per_class(_hyperparameters(configuration))),
        hyperparameters=configuration.hyperparameters,
        layers=_layers(configuration),
        ratios=Ratios(
            _scoring_loss(task.train, seed, _samples_per_class(configuration.all_ratios)),
            configuration.ratios,
        ),
    )
    meter = _meter(configuration, model, task, steps, begun.cost if begun else 0)
    return SparseNetwork(model, compiled(model, training), optimizer, sparsifier, meter)


def build_bench(
    configuration: Configuration,
    seed: int,
    state: Mapping[str, Tensor],
    *,
    scores: str | None = None,
    difficulty: str | None = None,
    device: str = "cpu",
) -> Bench:
    """A trained network, and what it is evaluated on.

    Args:
        configuration: What was trained.
        seed: Its seed.
        state: State of the model, masks included: a pruned weight is zero.
        scores: URI of the difficulty scores, for regimes that need them.
        difficulty: URI of the scores that make the deciles; None where none are asked for.
        device: Torch device.
    """
    check_code(configuration.code)
    task = Task.of(configuration, seed, scores, device)
    model = _model(configuration, task.data, seed, device)
    model.load_state_dict({name: state[name] for name in model.state_dict()})
    return Bench(model, task.sets, read_scores(difficulty, task.data) if difficulty else None)


def _layers(configuration: Configuration) -> Layers:
    """Globs of the network's layers become those of `Normalized`, which holds it."""
    asked = configuration.layers.model_dump()
    for globs in ("include", "exclude", "keep_dense"):
        asked[globs] = [glob if glob == "*" else f"{INNER}{glob}" for glob in asked[globs]]
    return Layers(**asked)


def _with_augmentation(training: Training, shape: Shape) -> Training:
    """Whether to augment is decided by the size of the images, where nothing else has."""
    return training.model_copy(update={"augment": is_augmented(training.augment, shape)})


def _meter(
    configuration: Configuration, model: nn.Module, task: Task, steps: int, parent_cost: float
) -> TrainingMeter:
    """Counts from the cost of the parent and of the scores that the method computes before training."""
    example = torch.zeros(1, *task.data.shape, device=next(model.parameters()).device)
    method, given = configuration.method, configuration.hyperparameters
    passes = Passes.of(configuration.regime.attack)
    scored = _scored_samples(configuration, task) * Passes().dense
    extra = (parent_cost + scored + _init_cost(configuration, task)) / _step_cost(configuration, task.train)
    return TrainingMeter(layer_macs(model, example), method, given, steps, extra, passes)


def _scored_samples(configuration: Configuration, task: Task) -> float:
    """Cost of the scores before training, in dense passes of one sample, gradients included."""

    def scored(method: str, values: Mapping[str, float]) -> float:
        return scoring_samples(method, values, _scoring_count(values, task))

    own = scored(configuration.method, _hyperparameters(configuration))
    source = scored_source(configuration.distribution)
    return own + (scored(source, configuration.all_ratios) if source else 0.0)


def _init_cost(configuration: Configuration, task: Task) -> float:
    """Cost of an initialisation that looks at samples, dense and sparse, in forward passes of one sample."""
    reads = configuration.init in READ_LOSS and METHODS[configuration.method].starts_sparse
    return (
        _scoring_count(_hyperparameters(configuration), task) * (2 - configuration.sparsity) if reads else 0
    )


def _scoring_count(hyperparameters: Mapping[str, float], task: Task) -> int:
    """Number of samples that weights are scored on before training."""
    per_class = _samples_per_class(hyperparameters)
    return min(per_class * task.data.classes or SCORING_BATCH, len(task.train))


def _step_cost(configuration: Configuration, train: TrainingSet) -> float:
    """Mean cost of a dense step, in forward passes of one sample."""
    samples = len(train) / train.steps_per_cycle(configuration.training.batch_size)
    return samples * Passes.of(configuration.regime.attack).dense


def _model(configuration: Configuration, data: Data, seed: int, device: str) -> nn.Module:
    torch.manual_seed(keyed.key(seed, "initial weights") >> 1)
    network = make_network(configuration.model, data.shape, data.classes)
    model = Normalized(network, data.mean, data.std).to(device)
    if configuration.training.channels_last:
        model = model.to(memory_format=torch.channels_last)
    return model


def make_network(spec: ModelSpec, shape: Shape, classes: int) -> nn.Module:
    """The network that `spec` names.

    Raises:
        HslError: If its builder does not take the options or fails, or a parameter has no elements.
    """
    builder = model_builder(spec.name)
    _check_numbers(spec, builder)
    asked = f"model {spec.name!r}" + (f" with {spec.options}" if spec.options else "")
    try:
        network = builder(shape=shape, classes=classes, **spec.options)
    except (HslError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a builder can be code from outside
        raise HslError(f"{asked}: {error}") from error
    shapes = {name: list(p.shape) for name, p in network.named_parameters() if not is_lazy(p)}
    if empty := [f"{name} {shape}" for name, shape in shapes.items() if 0 in shape]:
        raise HslError(f"{asked} has parameters without elements: {', '.join(empty)}; make its layers wider")
    return network


def _check_numbers(spec: ModelSpec, builder: Callable[..., nn.Module]) -> None:
    """Refuse true and false for options that the builder declares as numbers: PyTorch takes them for 1 and 0."""
    try:
        types = get_type_hints(builder)
    except (NameError, TypeError):  # of a builder from outside whose annotations are no types
        return
    for name, value in spec.options.items():
        if has_switch(value) and is_numeric(types.get(name)):
            raise HslError(
                f"model {spec.name!r} with {name}: {value}; true and false are no numbers, write the number"
            )


@dataclass(frozen=True)
class _Begun:
    """A parent, and what it cost in forward passes of one sample through the dense network."""

    parent: Parent
    cost: float


def _parent(
    configuration: Configuration, seed: int, uri: str | None, scores: str | None, device: str
) -> _Begun | None:
    """The trained parent, and its weights at the rewinding point, to which the same steps are taken again."""
    if uri is None or not METHODS[configuration.method].needs_parent:
        return None
    state = _stored_parent(uri)
    trained = {
        name: tensor.to(device) for name, tensor in state["model"].items() if not name.endswith("_mask")
    }
    fraction = check_hyperparameters(configuration.method, configuration.hyperparameters).get("rewind", 0)
    before = Configuration.from_stored(state["configuration"])
    before = before.located(configuration.dataset, configuration.content)
    dense = before.dense_counterpart(before.training, before.regime)
    rewound = build_trainer(dense, seed, scores=scores, device=device)
    rewound.train_steps(round(float(fraction) * rewound.total_steps))
    cost = state["dense_steps"] * _step_cost(before, rewound.train_samples)
    return _Begun(Parent(trained=trained, rewind=rewound.model.state_dict()), cost)


def _stored_parent(uri: str) -> dict[str, Any]:
    found: object = "gone"
    try:
        if state := checkpoint.read(uri):
            return state
    except DamagedError as error:
        found = error
    raise HslError(
        f"the parent {uri} cannot be used: {found}; the same command makes it again, with --retry-failed also "
        f"trials that failed for it"
    )


def _hyperparameters(configuration: Configuration) -> dict[str, float]:
    return check_hyperparameters(configuration.method, configuration.hyperparameters)


def _samples_per_class(hyperparameters: Mapping[str, float]) -> int:
    return int(hyperparameters.get("samples_per_class", 0))


def _scoring_loss(train: TrainingSet, seed: int, samples_per_class: int = 0) -> Any:
    """Loss by which SNIP and its like score weights: of the regime's training samples, not attacked.

    As in the code of the hard-sample paper. The gradients by which methods grow weights during training are
    those of the training loss, so of attacked images where the regime attacks.

    Args:
        train: What the network is trained on.
        seed: Of the choice of samples.
        samples_per_class: How many of each class; 0 for `SCORING_BATCH` of all, at random.
    """

    def loss(model: nn.Module) -> Tensor:
        samples = train.at(1)
        order = keyed.permutation(keyed.key(seed, "scoring batch"), len(train)).to(samples.labels.device)
        batch = batches(order, SCORING_BATCH)[0]
        if samples_per_class:
            batch = first_of_each_class(order, samples.labels, samples_per_class)
        return functional.cross_entropy(model(to_float(samples.images[batch])), samples.labels[batch])

    return loss


def first_of_each_class(order: Tensor, labels: Tensor, count: int) -> Tensor:
    """The first samples of each class in an order, in that order.

    Args:
        order: Sample numbers, int64 [N].
        labels: Classes by sample number, int64 [N].
        count: Most samples of a class, at least 1.

    Returns:
        Sample numbers, int64.
    """
    ordered = labels[order]
    number = torch.zeros_like(ordered)
    for label in ordered.unique():
        number[ordered == label] = torch.arange(int((ordered == label).sum()), device=number.device)
    return order[number < count]
