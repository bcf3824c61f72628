"""The operations that a training reports, against a sum over its steps by someone who watches the masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_small import small, trainer_of, with_method

from hsl.prepare.parents import ParentTask
from hsl.sparsity.methods import METHODS
from hsl.training import checkpoint
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration
from hsl.training.trainer import Trainer

BY_GRADIENTS = ("rigl", "rigl_itop", "granet", "snfs")
"""Methods whose papers grow weights by gradients of inactive ones; mest reads those of active weights alone."""


class Watched:
    """Adds up the multiply-accumulates of a training by what its masks are when a batch goes through them.

    The network is an mlp, so one sample takes as many as there are active weights: for its output, again for the
    gradients of the activations, and for the gradients of the weights that are trained.
    """

    def __init__(self, trainer: Trainer) -> None:
        self.spent = self.steps = 0
        self._trainer = trainer
        trainer.model.register_forward_pre_hook(self._forward)
        # Of hooks that are added later, those run later: the masks are those that the step trains.
        trainer._optimizer.register_step_pre_hook(self._step)

    def _active(self) -> int:
        if self._trainer.sparsifier.method.name == "dense":
            return self._weights()
        return sum(int(b.sum()) for n, b in self._trainer.model.named_buffers() if n.endswith("_mask"))

    def _weights(self) -> int:
        return sum(w.numel() for n, w in self._trainer.model.named_parameters() if n.endswith("weight"))

    def _forward(self, model: torch.nn.Module, _: Any) -> None:
        if model.training:
            self.before = self._active()
            self.reads = self._trainer.sparsifier._driver.wants_gradients(self.steps)

    def _step(self, *_: Any) -> None:
        self.steps += 1
        self.spent += 2 * self.before + self._trained()

    def _trained(self) -> int:
        sparsifier = self._trainer.sparsifier
        if self.reads and sparsifier.method.name in BY_GRADIENTS:
            return self._weights()
        if (explored := sparsifier._driver.trained_masks()) is not None:
            return sum(int(mask.sum()) for mask in explored.values())
        return self.before if sparsifier._steps._held_back is not None else self._active()


SLOW = pytest.mark.slow
SHORT: list[Any] = [
    (7, 17, {}),
    *(
        pytest.param(*run, marks=SLOW)
        for run in ((3, 24, {}), (1, 8, {}), (5, 40, {"distribution": "uniform"}))
    ),
]


@pytest.mark.parametrize(("epochs", "batch", "options"), SHORT)
@pytest.mark.parametrize("method", METHODS)
def test_operations_are_the_sum_over_the_steps(
    method: str, epochs: int, batch: int, options: dict[str, Any], tmp_path: Path
) -> None:
    if not METHODS[method].distributions or not METHODS[method].takes("uniform"):
        options = {}
    training = {"epochs": epochs, "batch_size": batch}
    trainer = trainer_of(
        Configuration(**{**with_method(method, **options).stored(), "training": training}), tmp_path
    )
    watched = Watched(trainer)
    while not trainer.is_done:
        trainer.train_epoch()
        assert watched.steps == trainer.meter.steps
        # The explorers of topkast are whole weights, in the meter a fraction of them.
        assert trainer.meter.spent == pytest.approx(watched.spent, rel=1e-3 if method == "topkast" else 1e-12)
    whole = trainer.meter.steps * 3 * watched._weights()
    assert trainer.meter.relative == pytest.approx(
        trainer.meter.spent / whole + trainer.meter.extra_steps / watched.steps
    )


@pytest.mark.parametrize("method", ["acdc", "gmp", "topkast", "granet", "mest_soft"])
def test_a_training_that_goes_on_counts_as_one_that_was_not_interrupted(method: str, tmp_path: Path) -> None:
    configuration = with_method(method)
    whole, first, second = (trainer_of(configuration, tmp_path) for _ in range(3))
    for _ in range(4):
        whole.train_epoch()
    for _ in range(2):
        first.train_epoch()
    second.load_state_dict(checkpoint.from_bytes(checkpoint.to_bytes(first.state_dict())))
    for _ in range(2):
        second.train_epoch()
    assert second.meter.spent == whole.meter.spent


def test_steps_in_two_parts_count_as_in_one(tmp_path: Path) -> None:
    """As a parent's steps to its rewinding point, which end inside an epoch."""
    whole, parts = (trainer_of(with_method("gmp"), tmp_path) for _ in range(2))
    whole.train_steps(11)
    for count in (3, 4, 11):
        parts.train_steps(count)
    assert parts.meter.steps == whole.meter.steps == 11
    assert parts.meter.spent == pytest.approx(whole.meter.spent, rel=1e-12)


def test_scores_cost_as_many_samples_as_they_read(tmp_path: Path) -> None:
    """120 samples go through the network for the scores, in place of the 128 of a full batch; steps take 30 each."""
    train = Configuration(**{**small().stored(), "training": {"epochs": 4, "batch_size": 30}})
    snip = Configuration(**{**train.stored(), "method": "snip", "sparsity": 0.5, "init": "dense"})
    trainer = trainer_of(snip, tmp_path)
    assert len(trainer.train_samples) == 120
    assert trainer.meter.extra_steps == 4
    attacked = Configuration(
        **{**snip.stored(), "regime": {"attack": {"eps": "8/255", "step": "4/255", "steps": 2}}}
    )
    assert trainer_of(attacked, tmp_path).meter.extra_steps == pytest.approx(
        4 * 3 / 7
    )  # scored without attack
    signal = Configuration(**{**snip.stored(), "init": "signal"})  # forward alone, dense and half as dense
    assert trainer_of(signal, tmp_path).meter.extra_steps == pytest.approx(4 + 4 * (1 + 0.5) / 3)


def test_a_parent_costs_its_samples_and_not_its_steps(tmp_path: Path) -> None:
    """Batches of a parent may be smaller than those of what begins with it, and only one of the two attacked."""
    child = with_method("omp")
    attacked = with_method("omp", regime={"attack": {"eps": "8/255", "step": "4/255", "steps": 2}})
    parent = str(tmp_path / "parent")
    for batch in (32, 8):
        ParentTask(small({"batch_size": batch}), 0, None, parent).run("cpu")
        found = [build_trainer(each, 0, parent=parent).meter.extra_steps for each in (child, attacked)]
        assert found == pytest.approx([16, 16 * 3 / 7])  # 480 samples, as those of 16 steps of 30
