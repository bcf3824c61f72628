"""Selections of samples by regimes, tried out before any trial is started."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hsl.errors import DataError, Problem, SpaceError
from hsl.hardness.apply import matched_ids, training_ids
from hsl.hardness.orders import share_of
from hsl.hardness.schema.regimes import Regime
from hsl.planning.plan import Plan, regime_of
from hsl.planning.scores import Scores, scores_for
from hsl.prepare.parents import Task, missing, scores_task
from hsl.prepare.preflight import combinations
from hsl.space.axes import splits
from hsl.space.schema import SearchSpace
from hsl.store.layout import Library
from hsl.training.configuration import Configuration
from hsl.training.data.arrays import Arrays
from hsl.training.data.classes import unlearnable
from hsl.training.data.datasets import Division, load_divided
from hsl.training.data.score_files import by_id, check_scores
from hsl.training.data.score_tables import read_table


def of_plan(plan: Plan) -> dict[str, Configuration]:
    """One configuration for each regime of a plan, by the name of the regime."""
    return {regime_of(cell, plan.space): combinations(plan.space, cell)[0] for cell in plan.cells}


def try_selections(
    space: SearchSpace, examples: Mapping[str, Configuration], library: Library, seed: int
) -> list[str]:
    """Select the samples of every regime; of those that need scores only where the scores are there.

    Args:
        space: The search space.
        examples: Regime names and configurations that have them; every division of the space is tried.
        library: Store of the scores.
        seed: Of the trials whose selection is tried.

    Returns:
        Warnings: labels without training samples, and selections that leave a class without a sample.

    Raises:
        DataError: If scores that are there are of other samples or other labels.
        SpaceError: With every selection that is not possible.
    """
    problems: list[Problem] = []
    found: list[str] = []
    for split in splits(space):
        arrays, division = load_divided(space.dataset, split)
        parts = _parts(arrays, division)
        found += unlearnable(arrays.labels, division.train, division.test)
        for name, example in examples.items():
            needed = scores_for(example.model_copy(update={"split": split}), space)
            scores = _scores(needed, library, arrays, division)
            try:
                found += [f"regime {name}, {text}" for text in _tried(example.regime, parts, scores, seed)]
            except DataError as error:
                problems.append(Problem(f"regimes.{name}", str(error)))
    if problems:
        raise SpaceError(space.name, list(dict.fromkeys(problems)))
    return list(dict.fromkeys(found))


@dataclass(frozen=True)
class _Part:
    """Ids and labels of a part of the data set, int64 [N] each."""

    ids: Tensor
    labels: Tensor


def _parts(arrays: Arrays, division: Division) -> dict[str, _Part]:
    labels = torch.from_numpy(np.array(arrays.labels))
    ids = {name: torch.from_numpy(getattr(division, name)) for name in ("train", "val", "test")}
    return {name: _Part(chosen, labels[chosen]) for name, chosen in ids.items()}


def _scores(needed: Scores | None, library: Library, arrays: Arrays, division: Division) -> Tensor | None:
    """Scores by id, if a regime needs them and they are there; existing parts are checked."""
    if needed is None:
        return None
    task = scores_task(needed, library)
    every: list[Task] = [*task.parts, task]
    absent = list(missing(every))
    for made in every:
        if made not in absent:
            check_scores(made.target, arrays, division)
    return None if task in absent else by_id(read_table(task.target))


def _tried(regime: Regime, parts: Mapping[str, _Part], scores: Tensor | None, seed: int) -> Sequence[str]:
    """Warnings of the selections of a regime."""
    if regime.keep is None:
        return []
    if regime.needs_scores is not None and scores is None:
        _check_room(regime, parts["train"])
        return []
    found = []
    for name, part in parts.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _select(regime, name, part, scores, seed)
        found += [f"{name} data: {warning.message}" for warning in caught]
    return found


def _select(regime: Regime, name: str, part: _Part, scores: Tensor | None, seed: int) -> Tensor:
    own = None if scores is None else scores[part.ids]
    if name == "train":
        return training_ids(part.labels, part.ids, regime, seed, own)
    return matched_ids(part.labels, part.ids, regime, own, split=name)


def _check_room(regime: Regime, train: _Part) -> None:
    """Refuse a balanced selection with fewer samples than classes, which no scores could make possible."""
    keep = regime.keep
    if keep is None or not keep.class_balanced:
        return
    n, classes = share_of(keep.fraction, len(train.ids)), len(train.labels.unique())
    if n < classes:
        raise DataError(
            f"keep.fraction {keep.fraction} keeps {n} samples of {classes} classes, although class_balanced; "
            f"keep more"
        )
