"""Evaluation of a trained network: by class, by difficulty, under corruption, under attack.

Clean measures are taken on all samples of a part of the data set, never on selected ones; ``matched`` alone is on
samples matched to the training regime.
"""

import time
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from itertools import compress
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor, nn

from hsl.hardness import keyed
from hsl.hardness.apply import EVALUATION, Samples
from hsl.hardness.attacks.robustness import BLOCK, still_right
from hsl.hardness.corruptions.corrupt import corrupt
from hsl.hardness.orders import easiest, tie_order
from hsl.plugin_code import codes_of
from hsl.store.packed import packed
from hsl.training.configuration import digest
from hsl.training.data.corrupted import CorruptedTestSet
from hsl.training.identity import FIRST_OF_EVALUATION, without_first
from hsl.training.measuring.evaluation import Classified, EvaluationSets, classify
from hsl.training.measuring.evaluation_settings import Corruptions, Deciles, Evaluation

Row = dict[str, Any]
Work = Generator[list[Row], None, list[Row]]
"""Work in pieces: yields no rows after each of them, and returns the rows."""

DECILES = 10
DECILES_SECTION = "evaluation.deciles"


@dataclass(frozen=True)
class Item:
    """One measure on one part of the data set.

    Attributes:
        measure: ``clean``, ``matched``, ``class``, ``sample``, ``decile``, ``corruption``, or a measure of robustness.
        split: ``val`` or ``test``.
        parameters: Of the measure, JSON-able; equal parameters give equal results.
    """

    measure: str
    split: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> tuple[str, ...]:
        """Measures of its rows: its own, and the one that summarises it."""
        return tuple(dict.fromkeys((self.measure, self.sign[0])))

    @property
    def key(self) -> str:
        """Identity of the item, as part of the name of a file."""
        return f"{self.split}-{self.measure}-{digest(self.parameters)}"

    @property
    def sign(self) -> tuple[str, str]:
        """Measure and detail of the row that only this item, when it is complete, has."""
        if self.measure in _SUMMARIES:
            return _SUMMARIES[self.measure]
        if "norm" in self.parameters:
            return self.measure, _ball(self.parameters["norm"], self.parameters["eps"])
        return self.measure, ""


_SUMMARIES = {
    "class": ("worst_class", ""),
    "sample": ("sample", "matched"),
    "corruption": ("corruption_mean", ""),
    "decile": ("decile", "0"),
}


def items(evaluation: Evaluation) -> Iterator[Item]:
    """Items of `evaluation`, the cheapest first."""
    for split in evaluation.splits:
        yield Item("clean", split)
        yield Item("matched", split)
        if evaluation.per_class:
            yield Item("class", split)
        if evaluation.per_sample:
            yield Item("sample", split)
        if evaluation.deciles:
            given = without_first(_given(evaluation.deciles), DECILES_SECTION)
            yield Item("decile", split, given | _code(evaluation.deciles.by))
    limit = {} if evaluation.samples is None else {"samples": evaluation.samples}
    for split in evaluation.splits:
        if evaluation.corruptions and (split == "test" or not evaluation.corruptions.published):
            code = _code(*evaluation.corruptions.names)
            yield Item("corruption", split, _given(evaluation.corruptions) | limit | code)
        if attacks := evaluation.attacks:
            for name in attacks.names:
                yield Item(name, split, {"norm": attacks.norm, "eps": attacks.eps, **limit, **_code(name)})


def _code(*names: str) -> dict[str, Any]:
    """Digests of the code of plug-ins, where there are some: evaluations by other code are others."""
    found = codes_of(names)
    return {"code": found} if found else {}


def _given(settings: Deciles | Corruptions) -> dict[str, Any]:
    return settings.model_dump(mode="json", exclude_none=True)


@dataclass(frozen=True)
class Bench:
    """A network, and the samples on which it is evaluated.

    Attributes:
        model: Maps images in [0, 1] to logits.
        sets: Clean and matched samples.
        difficulty: Score of every sample by its id, float64; None where no deciles are requested.
    """

    model: nn.Module
    sets: EvaluationSets
    difficulty: Tensor | None = None
    _classified: dict[str, tuple[Classified, Classified]] = field(default_factory=dict)

    def measure(self, item: Item) -> list[Row]:
        """Rows of the table of evaluations, without what says which network it is."""
        work = self.measuring(item)
        while True:
            try:
                next(work)
            except StopIteration as end:
                rows: list[Row] = end.value
                return rows

    def measuring(self, item: Item, states: Path | None = None) -> Work:
        """`measure` in pieces, so that a waiting caller can report progress.

        Finished pieces of a robustness measure survive an interruption in the folder `states`.
        """
        began = time.perf_counter()
        if item.measure in _AT_ONCE:
            rows = _AT_ONCE[item.measure](self, item)
        elif item.measure == "corruption":
            rows = yield from _corruption_rows(self, item)
        else:
            rows = yield from _robust_rows(self, item, states)
        seconds = time.perf_counter() - began
        return [
            {
                "split": item.split,
                "loss": None,
                "parameters": dict(item.parameters),
                "seconds": seconds,
                **row,
            }
            for row in rows
        ]

    def samples(self, split: str) -> Samples:
        """Clean samples of a part of the data set."""
        clean: Samples = getattr(self.sets, f"{split}_clean")
        return clean

    def classified(self, split: str) -> tuple[Classified, Classified]:
        """Clean and matched samples, classified once."""
        if split not in self._classified:
            self._classified[split] = self.sets.classified(self.model, split)
        return self._classified[split]

    def subset(self, item: Item) -> Samples:
        """The clean samples of costly measures: as many as are requested, the same for every network."""
        samples, wanted = self.samples(item.split), item.parameters.get("samples")
        if wanted is None or wanted >= len(samples):
            return samples
        order = keyed.permutation(keyed.key(EVALUATION, "samples", item.split), len(samples))
        chosen = torch.zeros(len(samples), dtype=torch.bool)
        chosen[order[:wanted]] = True
        return samples.where(chosen.to(samples.ids.device))


def _row(measure: str, detail: str, classified: Classified) -> Row:
    metrics, samples = classified.metrics._asdict(), len(classified.correct)
    return {"measure": measure, "detail": detail, **metrics, "samples": samples}


def _class_rows(bench: Bench, item: Item) -> list[Row]:
    """Rows of each class, and of the one with the lowest accuracy; of equal ones the first.

    One without training samples has a row, and is never the worst.
    """
    classified, labels = bench.classified(item.split)[0], bench.samples(item.split).labels
    there, learned = labels.unique(), bench.sets.classes
    rows = [_row("class", str(label), classified.where(labels == label)) for label in there.tolist()]
    counts = [True] * len(rows) if learned is None else torch.isin(there, learned).tolist()
    worst = min(compress(rows, counts), key=lambda row: row["accuracy"])
    return [*rows, {**worst, "measure": "worst_class", "detail": ""}]


def _sample_rows(bench: Bench, item: Item) -> list[Row]:
    """Rows of the clean and of the matched samples, with those that are classified correctly."""
    rows = []
    for detail, found in zip(("clean", "matched"), bench.classified(item.split), strict=True):
        ids = getattr(bench.sets, f"{item.split}_{detail}").ids
        correct = packed(ids.cpu().numpy(), found.correct.cpu().numpy())
        rows.append({**_row("sample", detail, found), "correct": correct})
    return rows


def _decile_rows(bench: Bench, item: Item) -> list[Row]:
    assert bench.difficulty is not None
    classified, ids = bench.classified(item.split)[0], bench.samples(item.split).ids
    ties = item.parameters.get("ties", FIRST_OF_EVALUATION[f"{DECILES_SECTION}.ties"])
    tenth = deciles(bench.difficulty[ids], ids, ties)
    there = [number for number in range(DECILES) if bool((tenth == number).any())]
    return [_row("decile", str(number), classified.where(tenth == number)) for number in there]


def deciles(scores: Tensor, ids: Tensor, ties: str = "keyed") -> Tensor:
    """Tenth of the difficulty scale that each of N samples belongs to.

    Args:
        scores: Difficulty, floating point [N], higher is harder.
        ids: int64 [N], all different.
        ties: Choice between equally hard samples: ``keyed``, at random, the same in every call; or ``id``, the lower
            id counts as easier, as in version 0.1.0.

    Returns:
        int64 [N], 0 (easiest) to 9; the sizes differ by one sample at most.
    """
    given = tie_order(ids, keyed.key(EVALUATION, "deciles"), ties)
    order = given[easiest(scores[given], ids[given])]
    tenth = torch.empty_like(order)
    tenth[order] = torch.arange(len(order), device=order.device) * DECILES // len(order)
    return tenth


def _corruption_rows(bench: Bench, item: Item) -> Work:
    """Rows of each kind and severity, with draws of matched samples, not those of training; and their mean."""
    samples, rows, damaged = bench.subset(item), [], _damage(bench, item)
    for name in item.parameters["names"]:
        for severity in item.parameters["severities"]:
            classified = classify(bench.model, damaged(samples, name, severity))
            rows.append(_row("corruption", f"{name} {severity}", classified))
            yield []
    mean = {name: fmean(row[name] for row in rows) for name in ("accuracy", "loss")}
    return [*rows, {"measure": "corruption_mean", "detail": "", **mean, "samples": len(rows) * len(samples)}]


def _damage(bench: Bench, item: Item) -> Callable[[Samples, str, int], Samples]:
    """Corruption of this package, or the published images of the same samples."""
    folder = item.parameters.get("published")
    if folder is None:
        return lambda samples, name, severity: _damaged(samples, name, severity, item.split)
    test = bench.sets.test_clean  # in the order of the ids, which is that of the publisher
    copies = CorruptedTestSet(folder, test.labels.cpu().numpy())

    def published(samples: Samples, name: str, severity: int) -> Samples:
        images = torch.from_numpy(copies.images(name.removesuffix("_procedural"), severity))
        place = torch.searchsorted(test.ids, samples.ids)
        return replace(samples, images=images.to(place.device)[place])

    return published


def _damaged(samples: Samples, name: str, severity: int, split: str) -> Samples:
    key = keyed.key(keyed.key(EVALUATION, "corruption", split), name, severity)
    return replace(samples, images=corrupt(samples.images, samples.ids, name, severity, key))


def _robust_rows(bench: Bench, item: Item, states: Path | None) -> Work:
    """Attack block by block; a block that is in `states` is not attacked again."""
    samples, norm, eps = bench.subset(item), item.parameters["norm"], item.parameters["eps"]
    right = 0
    for first in range(0, len(samples), BLOCK):
        part = slice(first, first + BLOCK)
        found = still_right(
            item.measure,
            bench.model,
            samples.images[part],
            samples.labels[part],
            samples.ids[part],
            eps=eps,
            norm=norm,
            state_path=states and states / f"{first}.json",
        )
        right += int(found.sum())
        yield []
    detail, count = _ball(norm, eps), len(samples)
    return [{"measure": item.measure, "detail": detail, "accuracy": right / count, "samples": count}]


def _ball(norm: str, eps: float) -> str:
    """``linf 8/255``, ``l2 0.5``."""
    levels = Fraction(eps * 255).limit_denominator(100)
    shown = f"{levels}/255" if norm == "linf" and levels.denominator == 1 else f"{eps:.6g}"
    return f"{norm} {shown}"


_AT_ONCE: dict[str, Callable[[Bench, Item], list[Row]]] = {
    "clean": lambda bench, item: [_row("clean", "", bench.classified(item.split)[0])],
    "matched": lambda bench, item: [_row("matched", "", bench.classified(item.split)[1])],
    "class": _class_rows,
    "sample": _sample_rows,
    "decile": _decile_rows,
}
