"""Difficulty of every sample of a data set, from networks trained for a few epochs."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from hsl.hardness.difficulty import mean_over_models
from hsl.hardness.registries import SCORES
from hsl.training import checkpoint
from hsl.training.configuration import Configuration
from hsl.training.data import load_data
from hsl.training.evaluation import all_logits
from hsl.training.trainer import Trainer


def mean_scores(
    score: str, trainers: Iterable[Trainer], configuration: Configuration, device: str
) -> dict[int, float]:
    """Score every sample, validation and test samples too, by networks that saw training samples only.

    Args:
        score: Name of a difficulty score.
        trainers: Trained networks, made one at a time.
        configuration: What they were trained on.
        device: Torch device.

    Returns:
        Difficulty by sample id, higher is harder, the mean over the networks.
    """
    data = load_data(configuration.dataset, configuration.split, device)
    parts = (data.train, data.val, data.test)
    labels = torch.cat([part.labels for part in parts])
    by_model: list[Tensor] = []
    for trainer in trainers:
        logits = torch.cat([all_logits(trainer.model, part) for part in parts])
        by_model.append(SCORES[score](logits, labels))
    ids = torch.cat([part.ids for part in parts])
    return dict(zip(ids.tolist(), mean_over_models(by_model).tolist(), strict=True))


def write_scores(uri: str, values: Mapping[int, float], about: Mapping[str, Any]) -> None:
    """Write scores as Parquet, columns ``id`` and ``score``; the metadata says how they were made."""
    table = pa.table(
        {"id": pa.array(list(values), pa.int64()), "score": pa.array(list(values.values()), pa.float32())},
        metadata={"hsl": json.dumps(about)},
    )
    buffer = io.BytesIO()
    pq.write_table(table.sort_by("id"), buffer)
    checkpoint.place(uri, buffer.getvalue())
