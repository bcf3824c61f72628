"""Parents and difficulty scores: content-addressed files of a store, made once, shared by all trials.

The work itself is ordinary functions; `make_all` runs them on Ray workers, `make_here` in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from hsl.hardness.schema.regimes import Regime
from hsl.planning.scores import Scores
from hsl.provenance import provenance
from hsl.store.checkpoints import json_of
from hsl.store.layout import Library, intact
from hsl.training.configuration import Configuration
from hsl.training.data.score_tables import read_table

if TYPE_CHECKING:
    from hsl.training.trainer import Trainer


@dataclass(frozen=True)
class ParentTask:
    """One network to be trained as a parent.

    Attributes:
        configuration: What is trained.
        seed: Its seed, which is that of its children.
        scores: URI of the scores that its regime needs, or None.
        target: URI of the result.
        parent: URI of its own parent, where it has one.
    """

    configuration: Configuration
    seed: int
    scores: str | None
    target: str
    parent: str | None = None

    @property
    def inputs(self) -> tuple[str | None, ...]:
        """What must be there first."""
        return self.scores, self.parent

    read = staticmethod(json_of)

    def run(self, device: str) -> None:
        """Train the network and put its checkpoint in place."""
        from hsl.training import checkpoint  # noqa: PLC0415  torch only where something is trained

        trainer = _trained(self.configuration, self.seed, device, scores=self.scores, parent=self.parent)
        state = {
            "model": trainer.model.state_dict(),
            "configuration": self.configuration.stored(),
            "seed": self.seed,
            "dense_steps": trainer.meter.relative * trainer.total_steps,
        }
        checkpoint.write(self.target, state)


@dataclass(frozen=True)
class ModelScoresTask:
    """Difficulty as one scoring model finds it.

    Attributes:
        scores: What it is a part of.
        seed: Seed of the model.
        target: URI of the result.
    """

    scores: Scores
    seed: int
    target: str
    inputs: tuple[str, ...] = ()

    read = staticmethod(read_table)

    def run(self, device: str) -> None:
        """Train the model, score every sample, put the table in place."""
        from hsl.training.build import build_trainer  # noqa: PLC0415
        from hsl.training.data.batching import TrainingSet  # noqa: PLC0415  torch only where something is trained
        from hsl.training.data.loaded import load_data  # noqa: PLC0415
        from hsl.training.data.score_files import all_samples, labels_as_trained, write_scores  # noqa: PLC0415
        from hsl.training.scoring import score_samples  # noqa: PLC0415

        made_of = self.scores.configuration
        right = load_data(made_of.dataset, made_of.split, device)
        data, is_wrong = labels_as_trained(right, made_of.regime.label_noise)
        trainer = build_trainer(made_of.dense_twin(made_of.training, Regime()), self.seed, device=device)
        trainer.train_samples = TrainingSet(data.train)
        values = score_samples(self.scores.score, trainer, all_samples(data), self.scores.epochs)
        write_scores(self.target, right, values, {**about(self.scores), "seed": self.seed}, is_wrong)


@dataclass(frozen=True)
class ScoresTask:
    """Difficulty scores to be computed, the mean over several models.

    Attributes:
        scores: What is asked for.
        target: URI of the result.
        parts: What each model finds.
    """

    scores: Scores
    target: str
    parts: tuple[ModelScoresTask, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """What must be there first."""
        return tuple(part.target for part in self.parts)

    read = staticmethod(read_table)

    def run(self, device: str) -> None:
        """Make the parts that are missing, put their mean in place."""
        from hsl.training.data.score_files import write_mean  # noqa: PLC0415  imports torch

        make_here(missing(self.parts), device)
        targets = [part.target for part in self.parts]
        write_mean(self.target, targets, {**about(self.scores), "models": self.scores.models})


Task = ParentTask | ModelScoresTask | ScoresTask


T = TypeVar("T", bound=Task)


def scores_task(scores: Scores, library: Library) -> ScoresTask:
    """The task that makes `scores`, and those that it is made of."""
    seeds = range(scores.models)
    parts = tuple(
        ModelScoresTask(scores, seed, library.model_scores(scores.model_id, seed)) for seed in seeds
    )
    return ScoresTask(scores, library.scores(scores.id), parts)


def with_parts(tasks: Iterable[Task]) -> list[Task]:
    """`tasks` and what their scores are still to be made of, each once."""
    listed = list(tasks)
    parts = [part for task in listed if isinstance(task, ScoresTask) for part in task.parts]
    return [*missing(parts), *listed]


def about(scores: Scores) -> dict[str, Any]:
    """How scores are made, for the file that holds them."""
    return {
        "score": scores.score,
        "order": "higher is harder",
        "epochs": scores.epochs,
        "configuration": scores.configuration.stored(),
        "provenance": provenance(),
    }


def _trained(
    configuration: Configuration, seed: int, device: str, *, scores: str | None, parent: str | None
) -> Trainer:
    from hsl.training.build import build_trainer  # noqa: PLC0415  torch only where something is trained

    trainer = build_trainer(configuration, seed, parent=parent, scores=scores, device=device)
    trainer.train_steps(trainer.total_steps)
    return trainer


def make_here(tasks: Iterable[Task], device: str) -> None:
    """Run tasks in this process, one after the other."""
    for task in tasks:
        task.run(device)


def describe(task: Task) -> str:
    """What a task makes, in words."""
    if isinstance(task, ParentTask):
        return f"the {task.configuration.method} parent of seed {task.seed}"
    if isinstance(task, ModelScoresTask):
        return f"the {task.scores.score} scores of model {task.seed + 1} of {task.scores.models}"
    return f"the {task.scores.score} scores"


def missing(tasks: Iterable[T]) -> Iterator[T]:
    """The tasks whose result is not there, or is damaged, each once."""
    seen: set[str] = set()
    for task in tasks:
        if task.target not in seen and intact(task.target, task.read) is None:
            yield task
        seen.add(task.target)
