"""Labels with gaps, labels that only the test set has, and a single class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hsl.errors import DataError
from hsl.hardness import Regime
from hsl.hardness.apply import Samples, training_samples
from hsl.planning.plan import make_plan
from hsl.prepare.selections import of_plan, try_selections
from hsl.registry import Entry
from hsl.space.load import make_space
from hsl.store.layout import Library
from hsl.training.available import DatasetFacts
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration, Split
from hsl.training.data import datasets
from hsl.training.data.arrays import Arrays
from hsl.training.data.classes import check_classes, misnumbered, unevaluated, unlearnable
from hsl.training.data.datasets import divide
from hsl.training.data.loaded import load_data
from hsl.training.data.regime_sets import regime_sets
from hsl.training.data.score_files import NOISE_SEED, labels_as_trained
from hsl.training.measuring.evaluation import EvaluationSets
from hsl.training.measuring.measures import Bench, Item

GAPPED = [0, 2, 5]


@pytest.fixture
def gapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Grey images whose labels are 0, 2 and 5; the test set has a label 9 besides, which no other sample has."""
    labels = np.array(GAPPED * 40 + [*GAPPED * 4, 9, 9, 9])
    images = np.random.default_rng(0).integers(0, 256, (len(labels), 1, 8, 8), dtype=np.uint8)
    images[..., 0, 0] = labels[:, None] * 20
    arrays = Arrays(images, labels, np.arange(len(labels)) >= 120)
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    load_data.cache_clear()
    regime_sets.cache_clear()
    monkeypatch.setitem(datasets.DATASETS._entries, "digits", Entry(lambda _: arrays, DatasetFacts()))
    yield "digits"
    load_data.cache_clear()
    regime_sets.cache_clear()


@pytest.mark.parametrize("kind", ["symmetric", "pair", "permutation"])
def test_training_and_scoring_models_get_the_same_wrong_labels_of_the_same_classes(
    kind: str, gapped: str
) -> None:
    data = load_data(gapped, Split(), "cpu")
    assert data.classes == 10
    regime = Regime.model_validate({"label_noise": {"kind": kind, "rate": 0.5}})
    trained = training_samples(data.train, regime, NOISE_SEED)
    scored, is_wrong = labels_as_trained(data, regime.label_noise)
    assert torch.equal(trained.labels, scored.train.labels)
    assert set(trained.labels.tolist()) == set(GAPPED)
    assert torch.equal(is_wrong[: len(trained)], trained.labels != data.train.labels)


class Constant(nn.Module):
    """Says the same class of every image."""

    def __init__(self, label: int) -> None:
        super().__init__()
        self.logits = nn.functional.one_hot(torch.tensor(label), 10).float()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.logits.expand(len(images), 10)


def test_a_class_without_training_samples_is_never_the_worst(gapped: str) -> None:
    _, sets = regime_sets(gapped, Split(), "cpu", Regime(), 0, None)
    labels = torch.where(sets.test_clean.labels == 9, 9, 0)
    samples = Samples(sets.test_clean.images, labels, sets.test_clean.ids)
    only = EvaluationSets(samples, samples, samples, samples, classes=sets.classes)
    measured = only.measure(Constant(0))
    assert measured["test_worst_class_accuracy"] == 1.0
    assert measured["test_clean_accuracy"] == pytest.approx(12 / 15), "where they count as wrong"
    rows = Bench(Constant(0), only).measure(Item("class", "test"))
    found = {row["detail"] or "worst": row["accuracy"] for row in rows}
    assert found == {"0": 1.0, "9": 0.0, "worst": 1.0}


def test_training_on_such_data_says_what_it_does(gapped: str, tmp_path: Path) -> None:
    regimes = {"noisy": {"label_noise": {"rate": 0.2}}}
    parts: dict[str, Any] = {
        "name": "t",
        "dataset": gapped,
        "model": {"name": "mlp", "widths": [4]},
        "method": "dense",
    }
    space = make_space({**parts, "training": {"epochs": 1}, "regimes": regimes})
    warnings = try_selections(space, of_plan(make_plan(space)), Library(str(tmp_path)), 0)
    assert warnings == [
        "7 of the labels 0-9 have no training sample (1, 3, 4, 6, 7, ...): the network has outputs for them, and "
        "label noise gives no sample such a label",
        "3 of 15 test samples have a label that no training sample has (9): they count as wrong in the accuracies, "
        "and not in the worst class",
    ]
    trained = Configuration(
        dataset=gapped, model=parts["model"], training={"epochs": 1}, regime=regimes["noisy"]
    )
    assert build_trainer(trained, 0).train_epoch()["epoch"] == 1


def test_data_sets_without_gaps_are_not_spoken_of() -> None:
    labels = np.arange(60) % 3
    assert list(unlearnable(labels, np.arange(50), np.arange(50, 60))) == []


def test_one_class_is_nothing_to_learn() -> None:
    labels = np.array([3] * 30 + [1, 2])
    arrays = Arrays(np.zeros((32, 1, 1, 1), np.uint8), labels, np.arange(32) >= 30)
    with pytest.raises(
        DataError, match=r"all 30 samples to train on have the label 3; .* two classes or more"
    ):
        divide(arrays, Split())


def test_a_test_set_of_other_classes_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"no test sample has a label to train on: they have 2, 3, the training"
    ):
        check_classes(np.array([0, 1, 0]), np.array([3, 2, 2]))
    check_classes(np.array([0, 1, 0]), np.array([1, 2, 2]))


def test_classes_that_no_sample_is_left_of_to_evaluate_are_named() -> None:
    labels = np.array([0] * 30 + [1] * 30 + [4] * 3)
    arrays = Arrays(np.zeros((63, 1, 1, 1), np.uint8), labels, np.zeros(63, bool))
    found = divide(arrays, Split())
    parts = [np.unique(labels[ids]).tolist() for ids in (found.train, found.val, found.test)]
    assert parts == [[0, 1, 4], [0, 1], [0, 1, 4]], "so say the samples that scikit-learn draws"
    assert list(unevaluated(labels, found.train, found.val, found.test)) == [
        "1 of the 3 classes have no validation sample (4, with 2 training samples and more): the validation accuracies "
        "and the worst class say nothing of them"
    ]
    even = np.arange(60) % 3
    assert not list(unevaluated(even, np.arange(30), np.arange(30, 45), np.arange(45, 60)))


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (sorted(map(str, range(12))), "10 has the label 2, 11 has the label 3, 2 has the label 4, 3 has"),
        (("1", "2"), "1 has the label 0, 2 has the label 1"),
        (("00", "01", "02"), None),
        (("cat", "dog", "²"), None),
        ((), None),
    ],
)
def test_classes_named_by_other_numbers_than_their_labels_are_warned_of(
    names: list[str], said: str | None
) -> None:
    found = list(misnumbered(names))
    assert len(found) == (said is not None)
    assert all(str(said) in text for text in found)
