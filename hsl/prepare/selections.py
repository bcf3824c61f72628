"""Selections of samples and label noise by regimes, tried out before any trial is started."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hsl.errors import DataError, Problem, SpaceError
from hsl.hardness.apply import Samples, matched_ids, mislabelled, training_ids
from hsl.hardness.orders import share_of
from hsl.hardness.registries import attack_facts
from hsl.hardness.schema.regimes import Attack, Regime
from hsl.planning.plan import Plan, regime_of
from hsl.planning.scores import Scores, scores_for
from hsl.prepare.parents import Task, missing, scores_task
from hsl.prepare.preflight import combinations
from hsl.space.axes import splits
from hsl.space.schema import SearchSpace
from hsl.store.layout import Library
from hsl.training.configuration import Configuration, Split
from hsl.training.data.arrays import Arrays
from hsl.training.data.augmentation import misleading
from hsl.training.data.channels import check_perturbed, constant_channels, dim, perturbs
from hsl.training.data.classes import misnumbered, unevaluated, unlearnable
from hsl.training.data.contents.content import Content
from hsl.training.data.contents.repeats import repeated
from hsl.training.data.datasets import Division, has_own_test, load_content, load_divided
from hsl.training.data.files.omitted import listed
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
        Warnings: a part of the split that is not read; classes named by other numbers than their labels; labels without
        training, validation or test samples; validation and test samples that are training samples as well; selections
        that leave a class without a sample; label noise that wins or changes nothing; attacks that reach nothing.

    Raises:
        DataError: If scores that are there are of other samples or other labels.
        SpaceError: With every selection that is not possible, and every regime and evaluation that would perturb a
            channel without any spread.
    """
    problems: list[Problem] = []
    found: list[str] = []
    content = load_content(space.dataset)
    for split in splits(space):
        arrays, division = load_divided(space.dataset, split)
        parts = _parts(arrays, division)
        constant = constant_channels(arrays.images, division.train)
        problems += _of_evaluation(space, constant)
        found += [*_of_split(space.split, content), *_of_data(arrays, content, division)]
        for name, example in examples.items():
            found += misleading(space.dataset, example.training.augment, arrays.shape)
            needed = scores_for(example.model_copy(update={"split": split}), space)
            scores = _scores(needed, library, arrays, division)
            try:
                check_perturbed(constant, perturbs(example.regime))
                found += [f"regime {name}, {text}" for text in _tried(example.regime, parts, scores, seed)]
            except DataError as error:
                problems.append(Problem(f"regimes.{name}", str(error)))
    if problems:
        raise SpaceError(space.name, list(dict.fromkeys(problems)))
    return list(dict.fromkeys(found))


def _of_evaluation(space: SearchSpace, constant: list[int]) -> list[Problem]:
    asked = space.evaluation.corruptions is not None or space.evaluation.attacks is not None
    try:
        check_perturbed(constant, asked)
    except DataError as error:
        return [Problem("evaluation", str(error))]
    return []


def _of_split(split: Split, content: Content) -> list[str]:
    """A warning if a test part is asked for of a data set that has one."""
    if "test" not in split.model_fields_set or not has_own_test(content.is_test):
        return []
    count = int(content.is_test.sum())
    return [
        f"split.test {split.test:g} is not read: the data set has {count} test samples of its own; leave it out"
    ]


def _of_data(arrays: Arrays, content: Content, division: Division) -> list[str]:
    """Warnings of the data set as it is divided."""
    ids = (division.train, division.val, division.test)
    return [
        *misnumbered(content.names),
        *unlearnable(content.labels, division.train, division.test),
        *unevaluated(content.labels, *ids),
        *repeated(content, *ids),
        *dim(arrays.images, division.train),
    ]


@dataclass(frozen=True)
class _Part:
    """Ids and labels of a part of the data set, int64 [N] each."""

    ids: Tensor
    labels: Tensor

    def of(self, ids: Tensor) -> _Part:
        """The samples of it with these ids."""
        kept = torch.isin(self.ids, ids)
        return _Part(self.ids[kept], self.labels[kept])


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
    """Warnings of the selections and of the label noise of a regime."""
    if regime.needs_scores is not None and scores is None:
        _check_room(regime, parts["train"])
        return []
    found = list(_of_attack(regime.attack))
    for name, part in parts.items():
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kept = part.of(_select(regime, name, part, scores, seed))
        found += [f"{name} data: {warning.message}" for warning in caught]
        if name == "train":
            _check_several(kept)
            found += _of_ties(regime, part, kept, scores, seed)
            found += _of_noise(regime, kept, part.labels.unique(), seed)
    return found


def _of_attack(attack: Attack | None) -> Iterator[str]:
    """Warnings of an attack that perturbs nothing, or whose steps do not lead from an image to the bound."""
    if attack is None:
        return
    if attack.eps == 0:
        yield "attack.eps is 0, so its attack changes no image; give another eps, or leave attack out"
        return
    steps = {"steps": attack.steps, "eval_steps": attack.eval_steps}
    for name, count in steps.items() if attack_facts(attack.name).is_attacked else ():
        if count * attack.step < attack.eps * (1 - 1e-6):
            yield (
                f"attack.{name} {count} of {attack.step:.4g} reach {count * attack.step:.4g} from where they begin, "
                f"and eps is {attack.eps:.4g}; take more or longer steps"
            )


def _check_several(kept: _Part) -> None:
    """Refuse a selection of a single class: every network is right about it."""
    if len(classes := kept.labels.unique()) < 2:
        raise DataError(
            f"all {len(kept.ids)} training samples that are kept have the label {classes.tolist()[0]}, and every "
            f"network is right about them; keep more, or set class_balanced"
        )


def _of_ties(regime: Regime, train: _Part, kept: _Part, scores: Tensor | None, seed: int) -> Iterator[str]:
    """A warning if many samples are kept only because they were drawn among others that are exactly as hard."""
    if scores is None or regime.keep is None:
        return
    otherwise = regime.keep.model_copy(update={"ties": "keyed" if regime.keep.ties == "id" else "id"})
    drawn_otherwise = _select(regime.model_copy(update={"keep": otherwise}), "train", train, scores, seed)
    if torch.equal(drawn_otherwise, kept.ids.sort().values):
        return  # scores and other draws decide, not ties
    left_out = train.ids[~torch.isin(train.ids, kept.ids)]
    tied = int(torch.isin(scores[kept.ids], scores[left_out]).sum())
    if tied > TIED * len(kept.ids):
        yield (
            f"{tied} of {len(kept.ids)} samples that are kept are exactly as hard by {regime.keep.by} as some that are "
            "left out, and are drawn among them; choose a score with more values, or average more models"
        )


TIED = 0.1
"""Share of the kept samples that ties may have decided without a word."""


def _of_noise(regime: Regime, kept: _Part, classes: Tensor, seed: int) -> Iterator[str]:
    """Warnings of label noise that changes no label, or by which another label is more frequent than the right one."""
    if regime.label_noise is None:
        return
    labels, is_wrong = mislabelled(_unseen(kept.labels, kept.ids), regime.label_noise, classes, seed)
    if not is_wrong.any():
        yield f"label noise makes none of the {len(labels)} labels of training data wrong"
    many = kept.labels.repeat(1 + ENOUGH // len(kept.labels))  # what the rate does, not what chance has done
    labels, _ = mislabelled(_unseen(many, torch.arange(len(many))), regime.label_noise, classes, seed)
    if lost := [label for label in classes.tolist() if _is_outnumbered(labels[many == label], label)]:
        yield (
            f"label noise gives most training samples of class {listed(lost)} one wrong label rather than the right "
            f"one, so a network that learns well is wrong about them; lower the rate"
        )


def _unseen(labels: Tensor, ids: Tensor) -> Samples:
    """Samples with these labels and ids, int64 [N] each, whose images are of no account."""
    return Samples(torch.zeros((len(ids), 1, 1, 1), dtype=torch.uint8), labels, ids)


ENOUGH = 100_000
"""Samples on which label noise is tried, so that a rate differs from the next one."""

SURELY = 3.0
"""Standard deviations of a difference of counts that is no chance."""


def _is_outnumbered(labels: Tensor, right: int) -> bool:
    """Whether, beyond chance, one wrong label is more frequent among labels int64 [N] than the right one."""
    counts = labels.bincount(minlength=right + 1)
    is_right, wrong = int(counts[right]), int(counts.index_fill(0, torch.tensor(right), 0).max())
    return wrong - is_right > SURELY * math.sqrt(wrong + is_right)


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
