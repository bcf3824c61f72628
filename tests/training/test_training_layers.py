"""Layers of a configuration are named as in the network, and reach the masks."""

from __future__ import annotations

from typing import Any

import pytest

from hsl.sparsity import prunable_layers
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration


def trainer_with(**changes: Any) -> Any:
    content = {
        "dataset": "digits",
        "model": {"name": "mlp", "widths": [16, 12]},
        "training": {"epochs": 1},
        "method": "static",
        "sparsity": 0.5,
    }
    return build_trainer(Configuration(**{**content, **changes}), seed=0)


@pytest.mark.parametrize(
    ("layers", "pruned", "dense"),
    [
        ({}, {"hidden1", "hidden2", "output"}, set()),
        ({"include": ["hidden*"]}, {"hidden1", "hidden2"}, set()),
        ({"exclude": ["hidden1"]}, {"hidden2", "output"}, set()),
        ({"include": ["*put"], "exclude": []}, {"output"}, set()),
        ({"keep_dense": ["*2"]}, {"hidden1", "hidden2", "output"}, {"hidden2"}),
        ({"last_dense": True}, {"hidden1", "hidden2", "output"}, {"output"}),
        ({"exclude": ["hidden1"], "first_dense": True, "include": ["*"]}, {"hidden2", "output"}, {"hidden2"}),
    ],
)
def test_layers_are_those_that_are_asked_for(layers: Any, pruned: set[str], dense: set[str]) -> None:
    sparsity = 0.2 if dense else 0.5
    trainer = trainer_with(layers=layers, sparsity=sparsity)
    found = {name.removeprefix("network."): d for name, d in trainer.sparsifier.layer_densities().items()}
    assert set(found) == pruned
    assert {name for name, density in found.items() if density == 1.0} == dense
    assert trainer.sparsifier.sparsity() == pytest.approx(sparsity, abs=5e-3)


def test_a_structure_reaches_the_masks() -> None:
    trainer = trainer_with(layers={"structure": "2:4"})
    for layer in prunable_layers(trainer.model).values():
        runs = layer.weight_mask.unflatten(1, (-1, 4))
        assert (runs.sum(-1) == 2).all()


def test_a_method_that_prunes_nothing_takes_no_layers() -> None:
    with pytest.raises(ValueError, match="dense prunes nothing, so it takes no layers"):
        trainer_with(method="dense", sparsity=0.0, layers={"first_dense": True})
