"""Difficulty scores as Parquet files: one row per sample of a data set, with metadata of their making."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from hsl.errors import DamagedError, DataError
from hsl.hardness.apply import Samples, mislabelled
from hsl.hardness.schema.regimes import LabelNoise
from hsl.hardness.scores.logits import mean_over_models
from hsl.store.tables import write_table
from hsl.training.data.score_tables import read_table

if TYPE_CHECKING:
    from hsl.training.data.arrays import Arrays
    from hsl.training.data.datasets import Division
    from hsl.training.data.loaded import Data

SPLITS = ("train", "val", "test")

NOISE_SEED = 0
"""Seed of the wrong labels that scoring models are trained with."""


def all_samples(data: Data) -> Samples:
    """Training, validation and test samples, in this order."""
    parts = [getattr(data, split) for split in SPLITS]
    return Samples(*(torch.cat([getattr(p, name) for p in parts]) for name in ("images", "labels", "ids")))


def labels_as_trained(data: Data, noise: LabelNoise | None) -> tuple[Data, Tensor]:
    """A data set with the wrong labels with which scoring models are trained: the same for all of them.

    Args:
        data: The data set, divided.
        noise: Label noise of the training part, by the draws of seed 0; none if None.

    Returns:
        The data set with those labels, and bool [N] for `all_samples`: which of them are wrong.
    """
    is_wrong = torch.zeros(len(data.train) + len(data.val) + len(data.test), dtype=torch.bool)
    if noise is None:
        return data, is_wrong
    labels, wrong = mislabelled(data.train, noise, data.train.labels.unique(), NOISE_SEED)
    is_wrong[: len(wrong)] = wrong.cpu()
    return replace(data, train=replace(data.train, labels=labels)), is_wrong


def write_scores(
    uri: str, data: Data, scores: Tensor, about: Mapping[str, Any], is_wrong: Tensor | None = None
) -> None:
    """Write the scores of a data set.

    Args:
        uri: Path or URI of the file.
        data: The data set, divided.
        scores: float64 or float32 [N], aligned with `all_samples`; stored as they are.
        about: Metadata ``hsl`` of the file, JSON-able: how they were made.
        is_wrong: bool [N], which labels the scoring models were given wrong; a column where any is.
    """
    identity = _identity(data)
    if is_wrong is not None and bool(is_wrong.any()):
        identity["is_wrong"] = pa.array(is_wrong.numpy(), pa.bool_())
    table = pa.table({**identity, "score": pa.array(scores.cpu().numpy())})
    write_table(uri, table.sort_by("id").replace_schema_metadata({"hsl": json.dumps(about)}))


def read_scores(uri: str, data: Data) -> Tensor:
    """The scores of a data set by sample id, as of `by_id`, on the device of `data`.

    Raises:
        DataError: If they are missing, damaged, or of other samples, another division or other labels.
    """
    try:
        table = read_table(uri).sort_by("id")
    except (FileNotFoundError, DamagedError) as error:
        raise DataError(
            f"the scores {uri} cannot be used: {error}; the same command makes them again, with --retry-failed also "
            f"trials that failed for them"
        ) from error
    _check_same(uri, table, pa.table(_identity(data)).sort_by("id"))
    return by_id(table).to(data.train.labels.device)


def by_id(table: pa.Table) -> Tensor:
    """The scores of a table of `read_table`, float64 [highest id + 1]; NaN for ids that it does not have."""
    ids = torch.from_numpy(table.column("id").to_numpy().copy())
    scores = torch.full((int(ids.max()) + 1,), torch.nan, dtype=torch.float64)
    scores[ids] = torch.from_numpy(table.column("score").to_numpy().astype(np.float64))
    return scores


def check_scores(uri: str, arrays: Arrays, division: Division) -> None:
    """Raise DataError if scores are of other samples, another division or other labels; reads no image."""
    ids = {split: np.asarray(getattr(division, split)) for split in SPLITS}
    wanted = _identified({split: (chosen, arrays.labels[chosen]) for split, chosen in ids.items()})
    _check_same(uri, read_table(uri).sort_by("id"), pa.table(wanted).sort_by("id"))


def write_mean(uri: str, parts: Sequence[str], about: Mapping[str, Any]) -> None:
    """Write the mean of several files of scores, each of one model; DataError if they are not of the same samples."""
    tables = [read_table(part) for part in parts]
    for part, table in zip(parts, tables, strict=True):
        _check_same(part, table, tables[0])
    mean = mean_over_models([torch.from_numpy(t.column("score").to_numpy().copy()) for t in tables])
    made = tables[0].drop_columns("score").append_column("score", pa.array(mean.numpy()))
    write_table(uri, made.replace_schema_metadata({"hsl": json.dumps(about)}))


def _identity(data: Data) -> dict[str, pa.Array]:
    """Columns that say which samples there are."""
    parts = {split: getattr(data, split) for split in SPLITS}
    return _identified(
        {split: (part.ids.cpu().numpy(), part.labels.cpu().numpy()) for split, part in parts.items()}
    )


def _identified(parts: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, pa.Array]:
    """The same columns, of ids and labels of each part."""
    ids, labels = (np.concatenate([part[i] for part in parts.values()]) for i in (0, 1))
    names = np.repeat(list(parts), [len(part[0]) for part in parts.values()])
    return {
        "id": pa.array(ids, pa.int64()),
        "split": pa.array(names, pa.string()),
        "label": pa.array(labels, pa.int64()),
    }


WHAT = {"id": "other samples", "split": "another division of the data set", "label": "other labels"}
"""Column that differs from that of the data set -> what the scores are of."""


def _check_same(uri: str, scored: pa.Table, wanted: pa.Table) -> None:
    """Refuse scores of other samples; files of an earlier version have ids alone."""
    for column, what in WHAT.items():
        if column in scored.column_names and not scored.column(column).equals(wanted.column(column)):
            raise DataError(
                f"the scores in {uri} are of {what}: their column {column!r} is not that of the data set; "
                f"delete the folder {uri.partition('?')[0].rpartition('/')[0]}, and the same command computes them "
                f"again"
            )
