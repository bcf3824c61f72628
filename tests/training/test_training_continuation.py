"""A training that is interrupted goes on, from its checkpoint and to the last bit, as if it had not been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from training_small import everything, small, train, trained_parent, trainer_of, with_method

from hsl.errors import MethodError
from hsl.sparsity.methods import METHODS
from hsl.training import checkpoint
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration

EPOCHS = 4


def check_continues(configuration: Configuration, folder: Path) -> None:
    """Interrupt after every epoch; each time a new trainer, in a disturbed process, does the rest."""
    needs_parent = METHODS[configuration.method].needs_parent
    parent = trained_parent(configuration, folder) if needs_parent else None
    whole = build_trainer(configuration, 0, parent=parent)
    states = [checkpoint.to_bytes(whole.state_dict())]
    while not whole.is_done:
        whole.train_epoch()
        states.append(checkpoint.to_bytes(whole.state_dict()))
    expected = everything(whole)
    for state in states:
        torch.manual_seed(99)
        resumed = build_trainer(configuration, 0, parent=parent)
        resumed.load_state_dict(checkpoint.from_bytes(state))
        assert everything(train(resumed)) == expected


@pytest.mark.parametrize("method", METHODS)
def test_every_method_continues(method: str, tmp_path: Path) -> None:
    check_continues(with_method(method), tmp_path)


@pytest.mark.parametrize("method", ["dense", "snip", "rigl", "gmp", "lth"])
def test_every_moment_continues_with_convolutions(method: str, tmp_path: Path) -> None:
    check_continues(with_method(method, model={"name": "lenet"}), tmp_path)


TRAININGS: dict[str, Any] = {
    "adamw": {"optimizer": "adamw", "lr": 0.003},
    "nesterov": {"nesterov": True},
    "no momentum": {"momentum": 0.0},
    "augmented": {"augment": True},
    "one cycle": {"schedule": "one_cycle"},
    "multistep": {"schedule": "multistep", "warmup": 0.1},
    "amp": {"amp": True},
    "channels last": {"channels_last": True},
    "rarely evaluated": {"evaluate_every": 3},
}


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("method", ["gmp", "rigl"])
def test_every_way_to_train_continues(method: str, training: str, tmp_path: Path) -> None:
    check_continues(with_method(method, model={"name": "lenet"}, training=TRAININGS[training]), tmp_path)


REGIMES: dict[str, Any] = {
    "redrawn": {"corruption": {"name": "gaussian_noise", "severity": 3, "redraw": True}},
    "attacked": {"attack": {"eps": "8/255", "step": "4/255", "steps": 2, "eval_steps": 2}},
    "trades": {"attack": {"name": "trades", "steps": 2, "eval_steps": 2}},
    "free": {"attack": {"name": "free", "replays": 3, "eval_steps": 2}},
    "few, noisy, mislabelled": {
        "keep": {"fraction": 0.5},
        "label_noise": {"rate": 0.2},
        "corruption": {"name": "gaussian_noise", "severity": 2},
    },
}


@pytest.mark.parametrize("regime", REGIMES)
def test_every_regime_continues(regime: str, tmp_path: Path) -> None:
    check_continues(with_method("set", regime=REGIMES[regime]), tmp_path)


def dropout_network(shape: tuple[int, int, int], classes: int) -> torch.nn.Module:
    """A network that draws from the global generator while it trains."""
    size = shape[0] * shape[1] * shape[2]
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(size, 24), torch.nn.ReLU())
    return torch.nn.Sequential(layers, torch.nn.Dropout(0.5), torch.nn.Linear(24, classes))


def test_a_network_with_dropout_continues(tmp_path: Path) -> None:
    model = {"name": "test_training_continuation:dropout_network"}
    check_continues(with_method("set", model=model), tmp_path)


def test_a_state_of_another_method_is_refused(tmp_path: Path) -> None:
    state = train(trainer_of(with_method("set"), tmp_path), 1).state_dict()
    with pytest.raises(MethodError, match="the checkpoint was written with method 'set'"):
        trainer_of(with_method("rigl"), tmp_path).load_state_dict(state)


def test_optimizer_state_takes_the_layout_of_its_weights(tmp_path: Path) -> None:
    """Fused kernels walk weights and state side by side: another layout would mix them up silently."""
    configuration = small({"channels_last": True}, model={"name": "lenet"})
    state = checkpoint.to_bytes(train(trainer_of(configuration, tmp_path), 1).state_dict())
    resumed = trainer_of(configuration, tmp_path)
    resumed.load_state_dict(checkpoint.from_bytes(state))
    for parameter, moments in resumed._optimizer.state.items():
        assert moments["momentum_buffer"].stride() == parameter.stride()


def test_pruned_weights_have_no_state_after_continuing(tmp_path: Path) -> None:
    configuration = with_method("rigl", training={"optimizer": "adamw", "lr": 0.003})
    state = checkpoint.to_bytes(train(trainer_of(configuration, tmp_path), 2).state_dict())
    resumed = trainer_of(configuration, tmp_path)
    resumed.load_state_dict(checkpoint.from_bytes(state))
    train(resumed)
    for layer in resumed.model.modules():
        if isinstance(layer, torch.nn.Linear):
            moments = resumed._optimizer.state[layer.weight]
            pruned = layer.weight == 0
            assert pruned.float().mean() > 0.5
            assert not moments["exp_avg"][pruned].any()
