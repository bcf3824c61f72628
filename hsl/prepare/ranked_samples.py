"""Difficulty of every sample, outside a sweep: computed in this process, listed, and drawn."""

from collections.abc import Callable

import pyarrow as pa
import torch
from pyarrow import compute

from hsl.filesystems import absolute
from hsl.hardness import keyed
from hsl.hardness.apply import EVALUATION
from hsl.hardness.label_noise import detection_auroc
from hsl.hardness.orders import tie_order
from hsl.planning.scores import Scores
from hsl.prepare.parents import describe, make_here, missing, scores_task
from hsl.prepare.sheets import Tile, draw
from hsl.store.layout import Library
from hsl.training.data.arrays import cache_folder
from hsl.training.data.datasets import load
from hsl.training.data.loaded import load_data
from hsl.training.data.score_files import read_scores
from hsl.training.data.score_tables import read_table

ENDS = {"hardest": "descending", "easiest": "ascending"}
"""The two ends of the scale of difficulty, and the order that begins with each."""


def make_scores(scores: Scores, store: str | None, device: str, say: Callable[[str], None]) -> pa.Table:
    """Make the scores that are not there yet.

    Args:
        scores: The scores.
        store: Path or URI of the store that keeps them; the cache if None.
        device: Torch device.
        say: Receives a line for every scoring model.

    Returns:
        Columns ``id``, ``split``, ``label``, ``score``, and ``is_wrong`` where the scoring models were given
        wrong labels; the metadata says how they were made.

    Raises:
        DataError: If a scoring model has diverged, or scores that are there belong to other data.
    """
    task = scores_task(scores, Library(scores_root(store)))
    wanted = list(missing([task]))
    for part in missing(part for one in wanted for part in one.parts):
        say(describe(part).removeprefix("the "))
        part.run(device)
    make_here(wanted, device)
    read_scores(task.target, load_data(scores.configuration.dataset, scores.configuration.split, device))
    say(f"scores of all samples: {task.target}")
    return read_table(task.target)


def scores_root(store: str | None) -> str:
    """Root of the scores: a store, or the cache if None."""
    return str(cache_folder() / "prerequisites") if store is None else absolute(store)


def extremes(scores: pa.Table, split: str, top: int) -> pa.Table:
    """The hardest and the easiest samples of one part of a data set.

    Args:
        scores: As `make_scores` returns them.
        split: ``train``, ``val`` or ``test``: scores of samples that were trained on are lower than others.
        top: Number of samples of each end; equal scores are in random order, the same in every call.

    Returns:
        Columns ``end`` (hardest or easiest), ``rank`` (from 1), ``id``, ``label``, ``score`` and, where
        there is one, ``is_wrong``.
    """
    part = scores.filter(compute.equal(scores.column("split"), split)).drop_columns("split")
    given = tie_order(torch.from_numpy(part.column("id").to_numpy().copy()), keyed.key(EVALUATION, "listed"))
    part = part.append_column("tie", pa.array(given.argsort().numpy()))
    ends = []
    for end, order in ENDS.items():
        first = part.sort_by([("score", order), ("tie", "ascending")]).slice(0, top).drop_columns("tie")
        place = {"end": pa.array([end] * len(first)), "rank": pa.array(range(1, len(first) + 1), pa.int64())}
        ends.append(pa.table({**place, **{name: first.column(name) for name in first.column_names}}))
    return pa.concat_tables(ends)


def found_wrong(scores: pa.Table) -> str | None:
    """AUROC of the scores as detector of wrong training labels, in words; None where all labels are right."""
    if "is_wrong" not in scores.column_names:
        return None
    part = scores.filter(compute.equal(scores.column("split"), "train"))
    is_wrong = torch.from_numpy(part.column("is_wrong").to_numpy(zero_copy_only=False))
    auroc = detection_auroc(torch.from_numpy(part.column("score").to_numpy().copy()), is_wrong)
    return f"AUROC of {int(is_wrong.sum())} wrong labels among {len(is_wrong)} training samples: {auroc:.4f}"


def draw_sheet(path: str, scores: Scores, shown: pa.Table) -> None:
    """Draw the samples of `extremes`, a row of images for each end, as PNG.

    Raises:
        HslError: If the file cannot be written.
    """
    images = load(scores.configuration.dataset).images
    rows: dict[str, list[Tile]] = {f"{end} by {scores.score}": [] for end in ENDS}
    for row in shown.to_pylist():
        caption = f"{row['label']}  ({row['score']:.3g})"
        rows[f"{row['end']} by {scores.score}"].append(Tile(images[row["id"]], caption))
    draw(path, rows)
