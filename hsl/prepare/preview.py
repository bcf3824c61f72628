"""Preview of regimes and corruptions on images, before anything is trained."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hsl.errors import DataError
from hsl.hardness import keyed
from hsl.hardness.apply import EVALUATION, Samples
from hsl.hardness.corruptions.corrupt import corrupt
from hsl.hardness.registries import CORRUPTIONS
from hsl.planning.plan import make_plan
from hsl.planning.scores import scores_for
from hsl.prepare.parents import missing, scores_task
from hsl.prepare.selections import of_plan
from hsl.prepare.sheets import Tile
from hsl.space.axes import splits
from hsl.space.schema import SearchSpace
from hsl.store.layout import Library
from hsl.training.configuration import Configuration
from hsl.training.data.loaded import Data, load_data
from hsl.training.data.regime_sets import sets_of


@dataclass(frozen=True)
class Preview:
    """A table, one row for each regime or corruption, and a row of images, by its title, for those that have some."""

    rows: list[dict[str, Any]]
    tiles: dict[str, list[Tile]]


def corruptions(space: SearchSpace, severity: int, images: int) -> Preview:
    """Every corruption of the same few training images.

    Args:
        space: The search space, for its data set.
        severity: 1 to 5; 6 for the corruptions that have it.
        images: Number of images, of as many classes as possible.

    Returns:
        Rows with ``corruption``, ``severity``, ``change`` (mean distance from the image, of the range of a
        pixel; null where it is not defined) and ``note`` (why it is not); tiles of the images and of each.
    """
    shown = _of_different_classes(load_data(space.dataset, splits(space)[0], "cpu").train, images)
    rows: list[dict[str, Any]] = []
    tiles = {"as it is": _tiles(shown.images, [str(label) for label in shown.labels.tolist()])}
    key = keyed.key(EVALUATION, "preview")
    for name in CORRUPTIONS:
        change, note = None, None
        try:
            damaged = corrupt(shown.images, shown.ids, name, severity, key)
        except DataError as error:
            note = str(error)
        else:
            change = _distance(damaged, shown.images)
            tiles[f"{name} {severity}"] = _tiles(damaged, [""] * len(damaged))
        rows.append({"corruption": name, "severity": severity, "change": change, "note": note})
    return Preview(rows, tiles)


def regimes(space: SearchSpace, library: Library, images: int) -> Preview:
    """The first training samples of every regime, as a trial with the seed of the space has them.

    Args:
        space: The search space.
        library: Store of the difficulty scores.
        images: Number of images, of as many classes as possible.

    Returns:
        Rows with ``regime``, ``samples`` (training), ``val`` and ``test`` (matched), ``wrong_labels`` (share of
        the training samples), ``change`` (mean distance from the undamaged image, of the range of a pixel) and
        ``note``; tiles with the label, and after an arrow a wrong one.
    """
    rows: list[dict[str, Any]] = []
    tiles: dict[str, list[Tile]] = {}
    for name, example in of_plan(make_plan(space)).items():
        scores, note = _scores(space, example, library)
        row: dict[str, Any] = {"regime": name}
        if note is None:
            data = load_data(space.dataset, example.split, "cpu")
            train, sets = sets_of(example, space.seed, scores, "cpu")
            samples = train.at(1)
            before = _same(data, samples)
            row |= {
                "samples": len(samples),
                "val": len(sets.val_matched),
                "test": len(sets.test_matched),
                "wrong_labels": (samples.labels != before.labels).float().mean().item(),
                "change": _distance(samples.images, before.images),
            }
            few = _of_different_classes(samples, images)
            tiles[name] = _tiles(few.images, _captions(few, _same(data, few)))
        if note is None and example.regime.attack is not None:
            note = f"{example.regime.attack.name} is not shown: it needs a network"
        rows.append(row | {"note": note})
    return Preview(rows, tiles)


def _scores(space: SearchSpace, example: Configuration, library: Library) -> tuple[str | None, str | None]:
    """Address of the scores of a regime, if it needs any, and a note if they are missing."""
    needed = scores_for(example, space)
    if needed is None:
        return None, None
    task = scores_task(needed, library)
    if list(missing([task])):
        made_by = f"hsl score --by {needed.score} --models {needed.models} --precision {needed.precision}"
        return None, f"needs scores, which are not there yet: {made_by}"
    return task.target, None


def _same(data: Data, samples: Samples) -> Samples:
    """The clean training samples of the same ids; both are in the order of the data set."""
    return data.train.where(torch.isin(data.train.ids, samples.ids))


def _of_different_classes(samples: Samples, count: int) -> Samples:
    """The first samples of each class in turn, in the order of the data set."""
    turns = torch.zeros_like(samples.labels)
    for label in samples.labels.unique():
        mine = samples.labels == label
        turns[mine] = torch.arange(int(mine.sum()))
    chosen = torch.argsort(turns * (int(samples.labels.max()) + 1) + samples.labels, stable=True)[:count]
    mask = torch.zeros_like(samples.labels, dtype=torch.bool)
    mask[chosen] = True
    return samples.where(mask)


def _captions(samples: Samples, before: Samples) -> list[str]:
    pairs = zip(before.labels.tolist(), samples.labels.tolist(), strict=True)
    return [str(right) if right == given else f"{right} -> {given}" for right, given in pairs]


def _tiles(images: Tensor, captions: list[str]) -> list[Tile]:
    return [Tile(image.numpy(), caption) for image, caption in zip(images, captions, strict=True)]


def _distance(changed: Tensor, images: Tensor) -> float:
    return (changed.float() - images.float()).abs().mean().item() / 255
