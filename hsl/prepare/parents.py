"""Parents and difficulty scores: content-addressed files of a store, made once, shared by all trials.

A task makes one of them: `run` puts the result at the URI `target`, once there is a file at each of its `inputs`, and
`read` raises for a damaged one. `make_all` runs tasks on Ray workers, `make_here` in this process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from hsl.hardness.schema.regimes import Regime
from hsl.planning.scores import Scores
from hsl.provenance import provenance
from hsl.store.checkpoints import json_of
from hsl.store.layout import Library, intact
from hsl.training.configuration import Configuration
from hsl.training.data.score_tables import read_table


@dataclass(frozen=True)
class ParentTask:
    """One network to be trained as a parent.

    Attributes:
        configuration: Of the parent.
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
        """URIs of its scores and its parent, if it needs them."""
        return self.scores, self.parent

    read = staticmethod(json_of)

    def run(self, device: str) -> None:
        """Train the network and put its checkpoint in place."""
        from hsl.training import checkpoint  # noqa: PLC0415  torch only where something is trained
        from hsl.training.build import build_trainer  # noqa: PLC0415

        trainer = build_trainer(
            self.configuration, self.seed, parent=self.parent, scores=self.scores, device=device
        )
        trainer.train_steps(trainer.total_steps)
        state = {
            "model": trainer.model.state_dict(),
            "configuration": self.configuration.stored(),
            "seed": self.seed,
            "dense_steps": trainer.meter.relative * trainer.total_steps,
        }
        checkpoint.write(self.target, state)


@dataclass(frozen=True)
class ModelScoresTask:
    """Difficulty scores of one scoring model, which is trained with `seed`: a part of `scores`."""

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
        right = load_data(made_of.dataset, made_of.split, device, made_of.content)
        data, is_wrong = labels_as_trained(right, made_of.regime.label_noise)
        trainer = build_trainer(
            made_of.dense_counterpart(made_of.training, Regime()), self.seed, device=device
        )
        trainer.train_samples = TrainingSet(data.train)
        asked, samples = self.scores, all_samples(data)
        values = score_samples(asked.score, trainer, samples, asked.epochs, asked.precision)
        write_scores(self.target, right, values, {**about(self.scores), "seed": self.seed}, is_wrong)


@dataclass(frozen=True)
class ScoresTask:
    """Difficulty scores, the mean over several models, whose own scores are the `parts`."""

    scores: Scores
    target: str
    parts: tuple[ModelScoresTask, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        """URIs of the parts."""
        return tuple(part.target for part in self.parts)

    read = staticmethod(read_table)

    def run(self, device: str) -> None:
        """Make the parts that are missing, put their mean in place."""
        from hsl.training.data.score_files import write_mean  # noqa: PLC0415  imports torch

        make_here(missing(self.parts), device)
        write_mean(self.target, self.inputs, {**about(self.scores), "models": self.scores.models})


Task = ParentTask | ModelScoresTask | ScoresTask

T = TypeVar("T", bound=Task)


def scores_task(scores: Scores, library: Library) -> ScoresTask:
    """The task that makes `scores`, with a part for each model."""
    targets = [library.model_scores(scores.model_id, seed) for seed in range(scores.models)]
    parts = tuple(ModelScoresTask(scores, seed, target) for seed, target in enumerate(targets))
    return ScoresTask(scores, library.scores(scores.id), parts)


def with_parts(tasks: Iterable[Task]) -> list[Task]:
    """`tasks`, after the missing parts of their scores, each once."""
    listed = list(tasks)
    parts = [part for task in listed if isinstance(task, ScoresTask) for part in task.parts]
    return [*missing(parts), *listed]


def about(scores: Scores) -> dict[str, Any]:
    """Metadata of the file of scores: how they are made."""
    return {
        "score": scores.score,
        "order": "higher is harder",
        "epochs": scores.epochs,
        "precision": scores.precision,
        "configuration": scores.configuration.stored(),
        "provenance": provenance(),
    }


def make_here(tasks: Iterable[Task], device: str) -> None:
    """Run tasks in this process, one after the other."""
    for task in tasks:
        task.run(device)


def describe(task: Task) -> str:
    """The result of a task, in words."""
    if isinstance(task, ParentTask):
        return f"the {task.configuration.method} parent of seed {task.seed}"
    if isinstance(task, ModelScoresTask):
        return f"the {task.scores.score} scores of model {task.seed + 1} of {task.scores.models}"
    return f"the {task.scores.score} scores"


def missing(tasks: Iterable[T]) -> Iterator[T]:
    """The tasks whose result is missing or damaged, each once."""
    seen: set[str] = set()
    for task in tasks:
        if task.target not in seen and intact(task.target, task.read) is None:
            yield task
        seen.add(task.target)
