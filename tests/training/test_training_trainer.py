"""The training loop: what it reports, what is random in it, and what it refuses."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional
from training_small import everything, small, train, trainer_of, with_method

from hsl.errors import DivergedError
from hsl.hardness import keyed
from hsl.sparsity.methods import METHODS
from hsl.training.build import build_trainer
from hsl.training.data.batching import batches, steps_per_epoch
from hsl.training.optimizers import learning_rate

METRICS = {
    f"{split}_{kind}_{metric}"
    for split in ("val", "test")
    for kind in ("clean", "matched")
    for metric in ("accuracy", "loss")
} | {"val_worst_class_accuracy", "test_worst_class_accuracy"}
HARD: dict[str, Any] = {
    "redrawn": {"corruption": {"name": "gaussian_noise", "severity": 3, "redraw": True}},
    "attacked": {"attack": {"eps": "8/255", "step": "4/255", "steps": 2, "eval_steps": 2}},
    "mislabelled": {"label_noise": {"rate": 0.3}},
    "few": {"keep": {"fraction": 0.5}},
}


@given(st.integers(1, 400), st.integers(1, 90))
def test_the_number_of_steps_is_the_number_of_batches(samples: int, batch_size: int) -> None:
    parts = batches(torch.arange(samples), batch_size)
    assert len(parts) == steps_per_epoch(samples, batch_size)
    assert torch.equal(torch.cat(parts), torch.arange(samples))
    assert samples == 1 or batch_size == 1 or min(len(part) for part in parts) > 1


@pytest.mark.parametrize("method", METHODS)
def test_the_same_seed_gives_the_same_numbers_bit_for_bit(method: str, tmp_path: Path) -> None:
    configuration = with_method(method)
    first, again = (train(trainer_of(configuration, tmp_path)) for _ in range(2))
    assert everything(first) == everything(again)


@pytest.mark.parametrize("regime", HARD)
def test_the_same_seed_gives_the_same_numbers_in_hard_regimes(regime: str, tmp_path: Path) -> None:
    configuration = small(regime=HARD[regime])
    first, again = (train(trainer_of(configuration, tmp_path)) for _ in range(2))
    assert everything(first) == everything(again)


def test_another_seed_differs_in_weights_masks_and_order(tmp_path: Path) -> None:
    first, other = (trainer_of(with_method("static"), tmp_path, seed) for seed in (0, 1))
    start, other_start = first.model.state_dict(), other.model.state_dict()
    masks = [name for name in start if name.endswith("mask")]
    assert masks
    assert all(not torch.equal(start[name], other_start[name]) for name in masks)
    weights = [name for name in start if name.endswith("weight")]
    assert all(not torch.equal(start[name], other_start[name]) for name in weights)
    assert train(first).history[0]["train_loss"] != train(other).history[0]["train_loss"]


def test_the_global_generator_decides_nothing(tmp_path: Path) -> None:
    quiet = train(trainer_of(with_method("set"), tmp_path))
    torch.manual_seed(12345)
    disturbed = trainer_of(with_method("set"), tmp_path)
    while not disturbed.is_done:
        torch.rand(7)
        disturbed.train_epoch()
    ignored = "generator"
    first, other = everything(quiet), everything(disturbed)
    assert {k: v for k, v in first.items() if k != ignored} == {
        k: v for k, v in other.items() if k != ignored
    }


@pytest.mark.parametrize("regime", HARD)
def test_training_draws_from_no_global_generator(regime: str, tmp_path: Path) -> None:
    trainer = trainer_of(with_method("set", regime=HARD[regime]), tmp_path)
    random.seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    train(trainer)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before[1:]


def test_a_row_of_every_epoch_has_all_that_the_table_holds(tmp_path: Path) -> None:
    trainer = train(trainer_of(with_method("static"), tmp_path))
    columns = {"epoch", "epochs_at_target", "lr", "train_loss", "train_accuracy", "sparsity", "seconds"}
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3, 4]
    assert all(set(row) == columns | METRICS for row in trainer.history)
    assert trainer.is_done
    assert trainer.seconds == sum(row["seconds"] for row in trainer.history)


def test_the_reported_rate_is_that_of_the_first_step(tmp_path: Path) -> None:
    trainer = train(trainer_of(small(), tmp_path))
    steps = trainer.total_steps // 4
    expected = [learning_rate(trainer.training, epoch * steps, trainer.total_steps) for epoch in range(4)]
    assert [row["lr"] for row in trainer.history] == expected


@pytest.mark.parametrize(
    ("every", "evaluated"), [(1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (3, [3, 5]), (9, [5])]
)
def test_the_last_epoch_is_always_evaluated(every: int, evaluated: list[int], tmp_path: Path) -> None:
    trainer = train(trainer_of(small({"epochs": 5, "evaluate_every": every}), tmp_path))
    assert [row["epoch"] for row in trainer.history if set(row) >= METRICS] == evaluated
    assert [row["epoch"] for row in trainer.history if METRICS & set(row)] == evaluated


def test_how_often_is_evaluated_changes_no_training(tmp_path: Path) -> None:
    often, rarely = (
        train(trainer_of(small({"evaluate_every": every}), tmp_path)).model.state_dict() for every in (1, 4)
    )
    assert all(torch.equal(often[name], rarely[name]) for name in often)


def test_clean_and_matched_are_equal_where_nothing_is_hard(tmp_path: Path) -> None:
    row = train(trainer_of(small(), tmp_path)).history[-1]
    assert row["val_clean_loss"] == row["val_matched_loss"]
    assert row["test_clean_accuracy"] == row["test_matched_accuracy"]


def test_attacked_samples_are_harder_than_clean_ones(tmp_path: Path) -> None:
    row = train(trainer_of(small({"epochs": 8, "lr": 0.2}, regime=HARD["attacked"]), tmp_path)).history[-1]
    assert row["val_matched_loss"] > row["val_clean_loss"]
    assert row["test_matched_loss"] > row["test_clean_loss"]


def test_matched_samples_are_the_clean_ones_damaged(tmp_path: Path) -> None:
    sets = trainer_of(small(regime=HARD["redrawn"]), tmp_path).sets
    for clean, matched in ((sets.val_clean, sets.val_matched), (sets.test_clean, sets.test_matched)):
        assert torch.equal(clean.ids, matched.ids)
        assert torch.equal(clean.labels, matched.labels)
        assert (clean.images != matched.images).float().mean() > 0.3


@pytest.mark.parametrize("regime", ["redrawn", "attacked"])
def test_all_seeds_are_judged_on_the_same_images(regime: str, tmp_path: Path) -> None:
    first, other = (trainer_of(small(regime=HARD[regime]), tmp_path, seed) for seed in (0, 1))
    assert torch.equal(first.sets.val_matched.images, other.sets.val_matched.images)
    other.model.load_state_dict(first.model.state_dict())
    assert first.sets.measure(first.model) == other.sets.measure(other.model)


def test_a_redrawn_corruption_differs_between_epochs(tmp_path: Path) -> None:
    samples = trainer_of(small(regime=HARD["redrawn"]), tmp_path).train_samples
    assert not torch.equal(samples.at(1).images, samples.at(2).images)
    assert torch.equal(samples.at(2).images, samples.at(2).images)
    assert torch.equal(samples.at(1).labels, samples.at(2).labels)


def test_one_epoch_is_plain_stochastic_gradient_descent(tmp_path: Path) -> None:
    """The loop against a literal one: hashed order, cross-entropy, momentum, weight decay."""
    trainer = build_trainer(small({"schedule": "constant", "lr": 0.05}), 3)
    plain = build_trainer(small(), 3).model
    samples = trainer.train_samples.at(1)
    optimizer = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, foreach=False)
    trainer.train_epoch()
    order = keyed.permutation(keyed.key(3, "order", 1), len(samples))
    for batch in order.split(32):
        optimizer.zero_grad()
        functional.cross_entropy(plain(samples.images[batch] / 255), samples.labels[batch]).backward()
        optimizer.step()
    for name, weight in plain.state_dict().items():
        assert torch.allclose(weight, trainer.model.state_dict()[name], atol=1e-5), name


@pytest.mark.parametrize("method", ["dense", "rigl"])
def test_a_loss_that_is_no_number_ends_the_training(method: str, tmp_path: Path) -> None:
    trainer = trainer_of(with_method(method, training={"lr": 1e12, "schedule": "constant"}), tmp_path)
    with pytest.raises(
        DivergedError, match=r"training loss is (nan|inf) in epoch \d; try a smaller training\.lr"
    ):
        train(trainer)


@pytest.mark.parametrize("switch", ["amp", "channels_last"])
@pytest.mark.parametrize("model", ["mlp", "lenet"])
def test_precision_and_layout_change_little(switch: str, model: str, tmp_path: Path) -> None:
    configuration = small({"epochs": 2}, model={"name": model})
    plain = train(trainer_of(configuration, tmp_path)).history[-1]
    changed = small({"epochs": 2, switch: True}, model={"name": model})
    assert train(trainer_of(changed, tmp_path)).history[-1]["train_loss"] == pytest.approx(
        plain["train_loss"], abs=0.05
    )


def test_weights_stay_in_single_precision_under_amp(tmp_path: Path) -> None:
    trainer = train(trainer_of(small({"amp": True}, model={"name": "lenet"}), tmp_path), 1)
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}


def test_channels_last_reaches_the_weights(tmp_path: Path) -> None:
    trainer = trainer_of(small({"channels_last": True}, model={"name": "lenet"}), tmp_path)
    kernels = [weight for weight in trainer.model.parameters() if weight.ndim == 4]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last) for kernel in kernels)


@pytest.mark.parametrize("method", ["dense", "static", "snip", "set", "rigl", "omp", "lth"])
def test_what_is_sparse_from_the_start_is_at_target_from_the_start(method: str, tmp_path: Path) -> None:
    trainer = train(trainer_of(with_method(method), tmp_path))
    assert [row["epochs_at_target"] for row in trainer.history] == [1, 2, 3, 4]


@pytest.mark.parametrize(("epochs", "end"), [(10, 0.8), (10, 0.35), (5, 1.0), (7, 0.5), (3, 0.0)])
def test_gradual_pruning_counts_whole_epochs_since_its_last_pruning(
    epochs: int, end: float, tmp_path: Path
) -> None:
    configuration = with_method(
        "gmp", training={"epochs": epochs}, hyperparameters={"start": 0.0, "end": end} if end else {}
    )
    trainer = train(trainer_of(configuration, tmp_path))
    per_epoch = trainer.total_steps // epochs
    reached = max(1, math.floor((end or 0.8) * trainer.total_steps + 0.5))
    expected = [max(0, (epoch * per_epoch - reached) // per_epoch) for epoch in range(1, epochs + 1)]
    assert [row["epochs_at_target"] for row in trainer.history] == expected
    full = [row["epoch"] * per_epoch >= reached for row in trainer.history]
    target = max(row["sparsity"] for row in trainer.history)
    assert [row["sparsity"] == target for row in trainer.history] == full


def test_augmentation_is_on_for_images_of_32_pixels_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert build_trainer(small(), 0).training.augment is False
    assert build_trainer(small({"augment": True}), 0).training.augment is True
    monkeypatch.setattr("hsl.training.data.augmentation.SMALLEST_SIDE", 8)
    assert build_trainer(small(), 0).training.augment is True
    assert build_trainer(small({"augment": False}), 0).training.augment is False


def test_the_first_steps_alone_are_those_of_a_whole_training(tmp_path: Path) -> None:
    """A rewinding point in the middle of an epoch, and at its end, is the state the training had there."""
    whole, partly = trainer_of(small(), tmp_path), trainer_of(small(), tmp_path)
    steps = whole.total_steps // 4
    train(whole, 2)
    partly.train_steps(2 * steps)
    assert all(torch.equal(v, partly.model.state_dict()[k]) for k, v in whole.model.state_dict().items())
    midway = trainer_of(small(), tmp_path)
    midway.train_steps(2 * steps - 1)
    assert everything(midway)["step"] == 2 * steps - 1
    assert everything(midway)["model/mean"] == everything(partly)["model/mean"]
    assert everything(midway) != everything(partly)
