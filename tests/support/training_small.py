"""Small trainings on handwritten digits: a few milliseconds an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from hsl.hardness.schema.keep import Precision
from hsl.planning.scores import Scores
from hsl.prepare.parents import ModelScoresTask, ParentTask, ScoresTask
from hsl.sparsity.methods import METHODS
from hsl.training import checkpoint
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration
from hsl.training.trainer import Trainer

SMALL: dict[str, Any] = {
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [24]},
    "split": {"limit": 120},
    "training": {"epochs": 4, "batch_size": 32},
}


def small(training: dict[str, Any] | None = None, **changes: Any) -> Configuration:
    """A small configuration; `training` is merged, everything else replaced."""
    return Configuration(**{**SMALL, "training": {**SMALL["training"], **(training or {})}, **changes})


def with_method(method: str, **changes: Any) -> Configuration:
    """A small configuration of a method, at sparsity 0.8 unless it is dense."""
    sparsity = 0.8 if METHODS[method].distributions else 0.0
    return small(method=method, sparsity=sparsity, **changes)


def trained_parent(child: Configuration, folder: Path, seed: int = 0) -> str:
    """URI of the dense parent of `child`, trained as it."""
    parent = child.dense_counterpart(child.training, child.regime)
    target = str(folder / f"{parent.trial_id(seed)}.safetensors")
    ParentTask(parent, seed, None, target).run("cpu")
    return target


def trainer_of(configuration: Configuration, folder: Path, seed: int = 0, **given: Any) -> Trainer:
    """A trainer at epoch 0, with a parent where the method needs one."""
    if METHODS[configuration.method].needs_parent:
        given.setdefault("parent", trained_parent(configuration, folder, seed))
    return build_trainer(configuration, seed, **given)


def score_file(
    folder: Path,
    score: str,
    configuration: Configuration,
    epochs: int,
    models: int = 1,
    name: str = "scores",
    precision: Precision = "double",
) -> str:
    """URI of the scores of the small data set."""
    scores = Scores(score, models, epochs, configuration, precision)
    parts = tuple(
        ModelScoresTask(scores, seed, str(folder / f"{name}-{seed}.parquet")) for seed in range(models)
    )
    task = ScoresTask(scores, str(folder / f"{name}.parquet"), parts)
    task.run("cpu")
    return task.target


def train(trainer: Trainer, epochs: int | None = None) -> Trainer:
    """Train `epochs` more, or to the end."""
    while not trainer.is_done and epochs != 0:
        trainer.train_epoch()
        epochs = None if epochs is None else epochs - 1
    return trainer


def everything(trainer: Trainer) -> dict[str, Any]:
    """All that a training has led to, but for the time it took: tensors as bytes, so that == is bit for bit."""
    state = checkpoint.from_bytes(checkpoint.to_bytes(trainer.state_dict()))
    del state["seconds"]
    rows = [{k: repr(v) for k, v in row.items() if k != "seconds"} for row in state.pop("history")]
    return {"history": rows, **_flat(state)}


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{name}/")
        elif isinstance(value, torch.Tensor):
            flat[prefix + name] = (tuple(value.shape), value.flatten().view(torch.uint8).numpy().tobytes())
        else:
            flat[prefix + name] = value
    return flat
