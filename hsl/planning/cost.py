"""Upper bounds of the cost of a plan: epochs, passes over samples, time. Pure; no torch, no ray."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from hsl.hardness.registries import SCORES
from hsl.planning.plan import Cell, Plan
from hsl.planning.scores import Scores
from hsl.training.available import MODELS, model_kind
from hsl.training.configuration import Configuration
from hsl.training.cost.passes import FORWARD, count_passes, evaluation_passes
from hsl.training.data.sizes import known_size
from hsl.training.measuring.evaluation_settings import Evaluation


@dataclass(frozen=True)
class Cost:
    """Upper bound of the cost of one stage: early stopping only lowers it.

    Attributes:
        stage: ``parents``, ``search`` or ``confirm``.
        trials: Number of trainings.
        epochs: Sum of their epochs.
        passes: Sum of their passes; None if the size of the data set is not known yet.
        core_seconds: Estimated time in seconds on the resources of one trial; None if unknown.
    """

    stage: str
    trials: int
    epochs: int
    passes: float | None
    core_seconds: float | None


def training_passes(trained: Configuration, is_evaluated: bool = True) -> float | None:
    """Passes of one training, or None if the size of the data set is unknown.

    Args:
        trained: Configuration of the training.
        is_evaluated: Whether the network is evaluated after each epoch, as in trials but not for parents.
    """
    sizes = part_sizes(trained)
    if sizes is None:
        return None
    train, evaluated = sizes[0], sizes[1] if is_evaluated else 0
    regime = trained.regime
    exposure = train
    if regime.keep and regime.keep.budget == "epochs":
        exposure = min(round(train * regime.keep.fraction), regime.keep.count or train)
    matched = round(evaluated * regime.keep.fraction) if regime.keep and regime.needs_scores else evaluated
    return count_passes(trained, trained.training.epochs, exposure, evaluated, matched)


def measuring_passes(trained: Configuration, evaluation: Evaluation, stage: str) -> float | None:
    """Passes of the final evaluation of a trial, or None if the size of the data set is unknown."""
    if stage not in evaluation.stages:
        return 0.0
    sizes = split_sizes(trained)
    return None if sizes is None else evaluation_passes(evaluation, trained.regime, sizes)


def part_sizes(trained: Configuration) -> tuple[int, int] | None:
    """Number of training samples, and of validation and test samples together; None if unknown."""
    sizes = split_sizes(trained)
    return None if sizes is None else (sizes["train"], sizes["val"] + sizes["test"])


def split_sizes(trained: Configuration) -> dict[str, int] | None:
    """Number of samples of each part of the data set; None if unknown."""
    known = known_size(trained.dataset)
    if known is None:
        return None
    split = trained.split
    test = known.given_test or round(known.samples * split.test)
    val = round((known.samples - test) * split.validation)
    train = known.samples - test - val
    return {"train": min(train, split.limit or train), "val": val, "test": test}


def estimate(plan: Plan, passes_per_second: float | None = None) -> list[Cost]:
    """Cost of each stage.

    Args:
        plan: The plan.
        passes_per_second: Measured throughput on the resources of one trial; by default a nominal one.
    """
    speed = passes_per_second or nominal_speed(plan.space.model.name, plan.space.resources.gpu)
    search = [_cell_item(plan, cell, cell.configurations, "search") for cell in plan.cells]
    trials = plan.space.confirm.trials
    confirm = [_cell_item(plan, cell, trials(cell.configurations), "confirm") for cell in plan.cells]
    stages = {"parents": list(_prerequisites(plan)), "search": search, "confirm": confirm}
    return [_cost(stage, items, speed) for stage, items in stages.items()]


def nominal_speed(model: str, gpu: float) -> float | None:
    """Order of magnitude of the passes per second of a trial with `gpu` GPUs; None for an unknown model."""
    facts = MODELS.facts(model_kind(model)[0])
    if gpu and facts.on_gpu is not None:
        return facts.on_gpu * min(1.0, gpu)  # a trial uses at most one
    return facts.on_core


Item = tuple[int, int, float | None]
"""Number of trainings, epochs of each, passes of each."""


def _prerequisites(plan: Plan) -> Iterator[Item]:
    for parent in plan.parents:
        yield 1, parent.training.epochs, training_passes(parent, is_evaluated=False)
    for scores in plan.scores:
        yield _scores_item(scores)


def _scores_item(scores: Scores) -> Item:
    """A scoring model is not evaluated during its training; scoring passes over every sample."""
    sizes = part_sizes(scores.configuration)
    if sizes is None:
        return scores.models, scores.epochs, None
    recorded = SCORES.facts(scores.score).recorded
    looks = scores.epochs if recorded == "trajectory" else 1
    look = 1.0 if recorded == "gradients" else FORWARD
    return scores.models, scores.epochs, scores.epochs * sizes[0] + looks * look * sum(sizes)


def _cell_item(plan: Plan, cell: Cell, count: int, stage: str) -> Item:
    passes = training_passes(cell.example)
    measuring = measuring_passes(cell.example, plan.space.evaluation, stage)
    return count, cell.example.training.epochs, known_sum([passes, measuring])


def known_sum(values: Iterable[float | None]) -> float | None:
    """The sum of `values`; None if any of them is unknown."""
    total = 0.0
    for value in values:
        if value is None:
            return None
        total += value
    return total


def _cost(stage: str, items: list[Item], speed: float | None) -> Cost:
    passes = known_sum(None if each is None else count * each for count, _, each in items)
    return Cost(
        stage=stage,
        trials=sum(count for count, _, _ in items),
        epochs=sum(count * epochs for count, epochs, _ in items),
        passes=passes,
        core_seconds=passes / speed if passes is not None and speed else None,
    )
