"""What fewer samples cost: as many epochs, or as many steps as all samples would take."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from training_small import everything, small, train, trainer_of, with_method

from hsl.hardness import keyed
from hsl.planning.cost import training_passes
from hsl.training import checkpoint
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration
from hsl.training.trainer import Trainer

EPOCHS = 4
FULL = EPOCHS * 4  # 120 samples are 4 batches


def few(count: int, budget: str = "steps", **changes: Any) -> Configuration:
    keep = {"count": count, "budget": budget}
    return small(regime={"keep": keep, **changes.pop("regime", {})}, **changes)


class Watched:
    """A loss that notes the ids of every batch."""

    def __init__(self, loss: Any) -> None:
        self._loss = loss
        self.seen: list[list[int]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss, name)

    def __call__(self, model: nn.Module, images: Tensor, labels: Tensor, ids: Tensor, cycle: int) -> Any:
        self.seen.append(ids.tolist())
        return self._loss(model, images, labels, ids, cycle)


def presented(trainer: Trainer) -> list[list[int]]:
    """Ids of every batch that is trained on."""
    watched = trainer._loss = Watched(trainer._loss)
    train(trainer)
    return watched.seen


@pytest.mark.filterwarnings("ignore:keep.count")
@pytest.mark.parametrize(("count", "batches"), [(10, 1), (32, 1), (33, 1), (50, 2), (60, 2), (119, 4)])
def test_a_budget_of_steps_is_that_of_all_samples(count: int, batches: int) -> None:
    trainer = build_trainer(few(count), 0)
    seen = presented(trainer)
    assert (len(seen), trainer.total_steps) == (FULL, FULL)
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3, 4]
    kept = sorted(trainer.train_samples.at(1).ids.tolist())
    assert len(kept) == count
    often = Counter(sample for batch in seen for sample in batch)
    assert sorted(often) == kept
    assert set(often.values()) == {FULL // batches}


def test_batches_are_those_of_one_cycle_after_the_other() -> None:
    """Literally: hashed orders of the kept samples, one cycle after the other, cut after as many steps."""
    trainer = build_trainer(few(50), 7)
    ids = trainer.train_samples.at(1).ids
    orders = [keyed.permutation(keyed.key(7, "order", cycle), 50) for cycle in range(1, 9)]
    batches = [ids[part].tolist() for order in orders for part in (order[:32], order[32:])]
    assert presented(trainer) == batches[:FULL]


@pytest.mark.filterwarnings("ignore:keep.count")
@pytest.mark.parametrize("count", [10, 50])
def test_a_budget_of_epochs_shows_every_sample_once_an_epoch(count: int) -> None:
    trainer = build_trainer(few(count, "epochs"), 0)
    often = Counter(sample for batch in presented(trainer) for sample in batch)
    assert set(often.values()) == {EPOCHS}
    assert len(often) == count


@pytest.mark.parametrize("method", ["gmp", "rigl", "static"])
def test_schedules_and_rungs_see_a_training_on_all_samples(method: str, tmp_path: Path) -> None:
    whole = train(trainer_of(with_method(method), tmp_path))
    scarce = train(trainer_of(with_method(method, regime=few(50).regime), tmp_path))
    for name in ("epoch", "lr", "epochs_at_target", "sparsity"):
        assert [row[name] for row in scarce.history] == [row[name] for row in whole.history], name
    assert scarce.history[-1]["train_loss"] != whole.history[-1]["train_loss"]


@pytest.mark.parametrize("method", ["gmp", "rigl"])
@pytest.mark.parametrize("count", [33, 50, 90])
def test_training_continues_in_the_middle_of_a_cycle(count: int, method: str, tmp_path: Path) -> None:
    noise = {"corruption": {"name": "gaussian_noise", "severity": 3, "redraw": True}}
    configuration = with_method(method, regime=few(count, regime=noise).regime)
    whole = trainer_of(configuration, tmp_path)
    states = []
    while not whole.is_done:
        states.append(checkpoint.to_bytes(whole.state_dict()))
        whole.train_epoch()
    for state in states:
        resumed = trainer_of(configuration, tmp_path)
        resumed.load_state_dict(checkpoint.from_bytes(state))
        assert everything(train(resumed)) == everything(whole)


@pytest.mark.parametrize("first", [1, 3, 5, 13])
def test_steps_may_be_taken_in_pieces(first: int) -> None:
    whole, pieces = (build_trainer(few(50), 0) for _ in range(2))
    whole.train_steps(FULL)
    pieces.train_steps(first)
    pieces.train_steps(FULL)
    assert all(torch.equal(v, pieces.model.state_dict()[k]) for k, v in whole.model.state_dict().items())
    assert whole.epoch == pieces.epoch == EPOCHS


def test_the_usual_budget_keeps_the_identity() -> None:
    assert few(50, "epochs").id == small(regime={"keep": {"count": 50}}).id
    assert few(50).id != few(50, "epochs").id


def test_a_plan_counts_the_steps() -> None:
    whole = training_passes(small(split={}), is_evaluated=False)
    few_epochs, few_steps = (
        training_passes(few(100, budget, split={}), is_evaluated=False) for budget in ("epochs", "steps")
    )
    assert few_steps == whole
    assert few_epochs == EPOCHS * 100
