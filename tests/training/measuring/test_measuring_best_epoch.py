"""The best epoch of a training: on curves made by hand, and in real trainings that are interrupted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from training_small import everything, small, train, trainer_of, with_method

from hsl.training import checkpoint
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration
from hsl.training.measuring.best_epoch import BestEpoch
from hsl.training.trainer import Trainer


def on_curve(values: list[float | None]) -> BestEpoch:
    best = BestEpoch("val", keeps_network=True)
    for epoch, value in enumerate(values, 1):
        row = {"epoch": epoch} | ({} if value is None else {"val": value})
        best.see(row, {"weight": torch.tensor([float(epoch)])})
    return best


@pytest.mark.parametrize(
    ("values", "epoch"),
    [
        ([0.1, 0.5, 0.4], 2),
        ([0.1, 0.5, 0.5, 0.5], 2),
        ([0.3, None, 0.4, None], 3),
        ([math.nan, 0.2, math.nan], 2),
        ([0.0, 0.0], 1),
        ([0.9], 1),
    ],
)
def test_the_earliest_of_the_highest(values: list[float | None], epoch: int) -> None:
    best = on_curve(values)
    assert best.epoch == epoch
    assert best.network is not None
    assert best.network["weight"].item() == epoch


@pytest.mark.parametrize("values", [[], [None], [math.nan]])
def test_nothing_evaluated_is_nothing_best(values: list[float | None]) -> None:
    best = on_curve(values)
    assert (best.epoch, best.network, best.state_dict()) == (None, None, {})


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.data())
def test_a_state_goes_on(values: list[int], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(values)))
    before, after = on_curve(values[:cut]), BestEpoch("val", keeps_network=True)
    after.load_state_dict(before.state_dict())
    for epoch, value in enumerate(values[cut:], cut + 1):
        after.see({"epoch": epoch, "val": value}, {"weight": torch.tensor([float(epoch)])})
    assert after.epoch == values.index(max(values)) + 1
    assert after.network == {"weight": torch.tensor([float(after.epoch)])}


def test_without_networks_the_epoch_alone_is_kept() -> None:
    best = BestEpoch("val", keeps_network=False)
    best.see({"epoch": 1, "val": 0.5}, {"weight": torch.ones(1)})
    assert (best.epoch, best.network) == (1, None)


def jumpy(method: str = "rigl") -> Configuration:
    """A training whose validation accuracy goes up and down."""
    return with_method(method, training={"epochs": 8, "lr": 0.6, "schedule": "constant", "batch_size": 16})


def build(configuration: Configuration, folder: Path) -> Trainer:
    return trainer_of(configuration, folder, keep_best=True)


def test_the_best_network_is_that_of_its_epoch(tmp_path: Path) -> None:
    trainer = build(jumpy(), tmp_path)
    states = []
    while not trainer.is_done:
        trainer.train_epoch()
        states.append({name: value.clone() for name, value in trainer.model.state_dict().items()})
    curve = [row["val_matched_accuracy"] for row in trainer.history]
    expected = curve.index(max(curve)) + 1
    assert expected < len(curve)
    assert trainer.best.epoch == expected
    assert trainer.best.network is not None
    assert trainer.best.network.keys() == states[0].keys()
    assert all(torch.equal(states[expected - 1][name], v) for name, v in trainer.best.network.items())


@pytest.mark.parametrize("interrupted_after", [3, 6])
def test_the_best_network_outlives_an_interruption(interrupted_after: int, tmp_path: Path) -> None:
    whole = train(build(jumpy(), tmp_path))
    state = checkpoint.to_bytes(train(build(jumpy(), tmp_path), interrupted_after).state_dict())
    resumed = build(jumpy(), tmp_path)
    resumed.load_state_dict(checkpoint.from_bytes(state))
    assert everything(train(resumed)) == everything(whole)
    assert whole.best.network is not None
    assert any("best/network" in name for name in everything(whole))


def test_a_network_that_is_still_denser_is_never_the_best(tmp_path: Path) -> None:
    """While gradual pruning goes on the accuracy of the dense network says nothing about the sparse one."""
    configuration = small(
        method="gmp",
        sparsity=0.97,
        training={"epochs": 10},
        hyperparameters={"start": 0.4, "end": 0.6, "interval": 0.1},
    )
    trainer = train(trainer_of(configuration, tmp_path))
    target = trainer.history[-1]["sparsity"]
    eligible = [row for row in trainer.history if row["sparsity"] == target]
    curve = [row["val_matched_accuracy"] for row in trainer.history]
    assert 0 < len(eligible) < len(curve)
    assert max(curve) > max(row["val_matched_accuracy"] for row in eligible)
    assert trainer.best.epoch == max(eligible, key=lambda row: row["val_matched_accuracy"])["epoch"]


@pytest.mark.parametrize("objective", ["val_clean_accuracy", "val_worst_class_accuracy"])
def test_the_best_follows_the_objective(objective: str) -> None:
    trainer = train(build_trainer(jumpy("static"), 0, objective=objective))
    curve = [row[objective] for row in trainer.history]
    assert trainer.best.epoch == curve.index(max(curve)) + 1


def test_epochs_that_are_not_evaluated_are_passed_over() -> None:
    trainer = train(build_trainer(small({"epochs": 8, "evaluate_every": 3}), 0))
    assert trainer.best.epoch in {3, 6, 8}


def test_a_checkpoint_of_an_earlier_version_is_read() -> None:
    trainer = train(build_trainer(small(), 0), 2)
    state = trainer.state_dict()
    del state["best"]
    resumed = build_trainer(small(), 0)
    resumed.load_state_dict(checkpoint.from_bytes(checkpoint.to_bytes(state)))
    assert train(resumed).history[-1]["train_loss"] == train(trainer).history[-1]["train_loss"]
