"""Costs against counts by hand and against what a training really does."""

from __future__ import annotations

from typing import Any

import pytest

from hsl.planning.cost import (
    Cost,
    Item,
    _cost,
    estimate,
    measuring_passes,
    nominal_speed,
    part_sizes,
    split_sizes,
    training_passes,
)
from hsl.planning.plan import make_plan
from hsl.space.load import make_space
from hsl.training.available import MODELS
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration
from hsl.training.cost.passes import count_passes
from hsl.training.measuring.evaluation_settings import Evaluation

BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp", "training": {"epochs": 10}}


def configuration(**content: Any) -> Configuration:
    return Configuration(**{"dataset": "digits", "model": {"name": "mlp"}, **content})


REGIMES: dict[str, Any] = {
    "clean": {},
    "few": {"keep": {"fraction": 0.25}},
    "noisy": {"corruption": {"name": "gaussian_noise", "severity": 2}},
    "mislabelled": {"label_noise": {"rate": 0.2}},
    "attacked": {"attack": {"eps": "8/255", "step": "2/255", "steps": 3, "eval_steps": 4}},
}


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("limit", [None, 300])
def test_the_sizes_that_a_plan_assumes_are_those_of_the_data(regime: str, limit: int | None) -> None:
    made = configuration(regime=REGIMES[regime], split={"limit": limit})
    trainer = build_trainer(made, 0)
    kept = len(trainer.train_samples)
    exact = count_passes(made, made.training.epochs, kept, *trainer.sets.sizes)
    assert training_passes(made) == pytest.approx(exact, rel=0.01)


def test_cifar_is_divided_as_published() -> None:
    assert part_sizes(configuration(dataset="cifar10")) == (42_500, 17_500)


def test_a_data_set_of_unknown_size_has_no_estimate() -> None:
    assert training_passes(configuration(dataset="parquet:somewhere")) is None


@pytest.mark.parametrize(
    ("regime", "training", "matched"),
    [
        ("clean", 1, 0),
        ("few", 1, 0),
        ("mislabelled", 1, 0),
        ("noisy", 1, 1 / 3),
        ("attacked", 4, 4 + 1 / 3),
    ],
)
def test_passes_are_counted(regime: str, training: float, matched: float) -> None:
    """One per training sample, as many more as the attack has steps; a third per evaluated sample."""
    made = configuration(regime=REGIMES[regime], training={"epochs": 10, "evaluate_every": 3})
    evaluations = 4  # after epochs 3, 6, 9 and 10
    by_hand = 10 * 100 * training + evaluations * (60 / 3 + 50 * matched)
    assert count_passes(made, 10, exposure=100, clean=60, matched=50) == pytest.approx(by_hand)


def test_stages_are_summed_by_hand() -> None:
    space = make_space(
        {
            **BASE,
            "regimes": {
                "clean": {},
                "hard": {"keep": {"fraction": 0.5, "by": "el2n", "models": 4, "epoch": 0.2}},
            },
            "factors": {"regime": ["clean", "hard"], "sparsity": [0.5, 0.9]},
            "method": "omp",
            "search": {"training.lr": {"loguniform": [0.01, 0.1]}},
            "budget": {"configurations_per_cell": 6},
            "confirm": {"top": 2, "seeds": 3},
        }
    )
    parents, search, confirm = estimate(make_plan(space), passes_per_second=1000.0)
    assert [cost.stage for cost in (parents, search, confirm)] == ["parents", "search", "confirm"]
    cells = 2 * (1 + 2)
    assert (parents.trials, parents.epochs) == (2 + 4, 2 * 10 + 4 * 2)
    assert (search.trials, search.epochs) == (cells * 6, cells * 6 * 10)
    assert (confirm.trials, confirm.epochs) == (cells * 2 * 3, cells * 2 * 3 * 10)
    train, evaluated = 1222, 216 + 359
    clean = 10 * (train + evaluated / 3)
    hard = 10 * (train / 2 + evaluated / 3 + evaluated / 2 / 3)
    scoring = 4 * (2 * train + (train + evaluated) / 3)
    unevaluated = 10 * (train + train / 2)
    assert parents.passes == pytest.approx(unevaluated + scoring, rel=0.01)
    assert search.passes == pytest.approx(3 * 6 * (clean + hard), rel=0.01)
    measuring = (
        cells * 6 * 2 * 359 * 2 / 3
    )  # the final and the best network, on clean and matched test samples
    assert confirm.passes == pytest.approx(search.passes + measuring, rel=0.01)
    assert search.core_seconds == pytest.approx(search.passes / 1000)


def test_without_a_record_the_speed_is_nominal() -> None:
    _, search, _ = estimate(make_plan(make_space(BASE)))
    assert search.passes is not None
    assert search.core_seconds == pytest.approx(search.passes / MODELS.facts("mlp").on_core)


def test_what_is_not_known_is_none() -> None:
    _, search, _ = estimate(make_plan(make_space({**BASE, "dataset": "parquet:x"})), 1000.0)
    assert (search.passes, search.core_seconds) == (None, None)
    assert search.epochs == 10


@pytest.mark.parametrize(
    ("by", "epochs", "looks"), [("loss", 1, 1 / 3), ("forgetting", 10, 10 / 3), ("grand", 1, 1.0)]
)
def test_scores_cost_their_training_and_their_looks(by: str, epochs: int, looks: float) -> None:
    hard = {"hard": {"keep": {"fraction": 0.5, "by": by, "models": 3}}}
    plan = make_plan(make_space({**BASE, "regimes": hard}))
    parents, *_ = estimate(plan, passes_per_second=1000.0)
    assert (parents.trials, parents.epochs) == (3, 3 * epochs)
    assert parents.passes == pytest.approx(3 * (epochs * 1222 + looks * 1797), rel=0.01)


def test_what_is_measured_in_the_end_is_counted_by_hand() -> None:
    asked = {
        "splits": ["test", "val"],
        "checkpoints": ["best"],
        "corruptions": {"names": ["contrast", "pixelate"], "severities": [1, 3, 5]},
        "attacks": ["pgd20", "fgsm"],
        "samples": 100,
    }
    evaluation = Evaluation.model_validate(asked)
    clean, attacked = configuration(), configuration(regime=REGIMES["attacked"])
    costly = 2 * 100 * (6 / 3 + 20 + 1)
    by_hand = (359 + 216) * 2 / 3 + costly
    assert measuring_passes(clean, evaluation, "confirm") == pytest.approx(by_hand, rel=0.001)
    assert measuring_passes(attacked, evaluation, "confirm") == pytest.approx(
        by_hand + (359 + 216) * 4, rel=0.001
    )
    assert measuring_passes(clean, evaluation, "search") == 0
    assert measuring_passes(configuration(dataset="parquet:x"), evaluation, "confirm") is None


@pytest.mark.parametrize(
    ("items", "speed", "passes", "seconds"),
    [
        ([], 5.0, 0.0, 0.0),
        ([(2, 3, 10.0)], 5.0, 20.0, 4.0),
        ([(2, 3, 10.0), (4, 1, 1.5)], 2.0, 26.0, 13.0),
        ([(2, 3, None), (4, 1, 1.5)], 2.0, None, None),
        ([(4, 1, 1.5), (2, 3, None)], 2.0, None, None),
        ([(4, 1, 1.5)], None, 6.0, None),
        ([(4, 1, 0.0)], 2.0, 0.0, 0.0),
    ],
)
def test_the_items_of_a_stage_are_summed(
    items: list[Item], speed: float | None, passes: float | None, seconds: float | None
) -> None:
    trials, epochs = sum(item[0] for item in items), sum(item[0] * item[1] for item in items)
    assert _cost("search", items, speed) == Cost("search", trials, epochs, passes, seconds)


@pytest.mark.parametrize(
    ("model", "gpu", "speed"),
    [
        ("mlp", 0, 120_000.0),
        ("lenet", 0, 12_000.0),
        ("resnet8", 0, 900.0),
        ("resnet20", 0, 350.0),
        ("resnet18", 0, 25.0),
        ("resnet18", 1, 1200.0),
        ("resnet18", 0.25, 300.0),
        ("resnet18", 2, 1200.0),
        ("resnet34", 1, 600.0),
        ("resnet50", 1, 500.0),
        ("vgg16", 1, 2100.0),
        ("vgg19", 0.5, 850.0),
        ("mlp", 1, 120_000.0),
        ("vgg16", 0, None),
        ("own.package:model", 0, None),
        ("own.package:model", 1, None),
    ],
)
def test_nominal_speeds(model: str, gpu: float, speed: float | None) -> None:
    assert nominal_speed(model, gpu) == speed


@pytest.mark.parametrize(
    ("dataset", "split", "sizes"),
    [
        ("cifar10", {}, (42_500, 7_500, 10_000)),
        ("cifar10", {"validation": 0.1, "limit": 1000}, (1000, 5000, 10_000)),
        ("cifar10", {"validation": 0.1, "limit": 10**6}, (45_000, 5000, 10_000)),
        ("digits", {"test": 0.5, "validation": 0.5}, (449, 449, 898)),
    ],
)
def test_parts_of_a_data_set(dataset: str, split: dict[str, Any], sizes: tuple[int, ...]) -> None:
    """60,000 images of which 10,000 are given as test set; 1797 digits; halves are rounded to even numbers."""
    found = split_sizes(configuration(dataset=dataset, split=split))
    assert found is not None
    assert tuple(found.values()) == pytest.approx(sizes, abs=1)
    assert list(found) == ["train", "val", "test"]


@pytest.mark.parametrize(
    ("keep", "exposure"),
    [
        ({"fraction": 0.25}, 305.5),
        ({"fraction": 0.25, "budget": "steps"}, 1222),
        ({"count": 100}, 100),
    ],
)
def test_what_is_kept_is_trained_on(keep: dict[str, Any], exposure: float) -> None:
    """Epochs of fewer samples, or as many steps as all of them have; 1222 digits are trained on."""
    made = configuration(regime={"keep": keep}, training={"epochs": 10})
    assert training_passes(made, is_evaluated=False) == pytest.approx(10 * exposure, rel=0.003)
