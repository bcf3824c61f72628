"""Mistakes of users: what the engine refuses, and that it says why."""

import copy

import pytest
import torch

from hsl.errors import InfeasibleError, MethodError, UnknownNameError
from hsl.sparsity import Layers, Parent, Sparsifier


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"method": "set"}, "method"),
        ({"sparsity": 0.8}, "sparsity"),
        ({"distribution": "uniform"}, "distribution"),
        ({"total_steps": 11}, "total_steps"),
        ({"hyperparameters": {"until": 0.5}}, "hyperparameters"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(options, field, mlp):
    settings = {"method": "rigl", "sparsity": 0.9, "total_steps": 10}
    other = copy.deepcopy(mlp)
    state = Sparsifier(mlp, sgd(mlp), **settings).state_dict()
    with pytest.raises(MethodError, match=f"written with {field} .*this one has"):
        Sparsifier(other, sgd(other), **settings | options).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "rigel"}, UnknownNameError, "did you mean 'rigl'"),
        ({"distribution": "erg"}, UnknownNameError, "unknown distribution 'erg'"),
        ({"distribution": "global"}, MethodError, "rigl does not take distribution global"),
        ({"sparsity": 0.0}, MethodError, "use method dense"),
        ({"sparsity": 1.0}, InfeasibleError, r"not in \[0, 1\)"),
        ({"sparsity": 90}, InfeasibleError, r"for 90 % give 0\.9"),
        ({"sparsity": 0.99999}, InfeasibleError, "keeps none of 3392"),
        ({"total_steps": 0}, MethodError, "whole number of steps, at least 1"),
        ({"total_steps": None}, MethodError, "'rigl' changes its masks on a schedule: give total_steps="),
        ({"total_steps": 1.5}, MethodError, "whole number of steps"),
        ({"init": "he"}, MethodError, "'sparse', 'energy', 'signal', 'dense'"),
        ({"method": "omp"}, MethodError, "'omp' starts from a trained dense network: give parent="),
        ({"method": "lth", "parent": Parent({})}, MethodError, "'lth' rewinds: give parent="),
        ({"parent": Parent({})}, MethodError, "'rigl' does not start from a parent"),
        (
            {"method": "omp", "parent": Parent({})},
            MethodError,
            r"trained weights do not fit.*missing \['0\.w",
        ),
        ({"hyperparameters": {"drop": 0.1}}, MethodError, "no hyperparameter 'drop'"),
        ({"layers": "head"}, MethodError, "layers is 'head', it must be a Layers"),
        (
            {"layers": Layers(keep_dense=["head"])},
            MethodError,
            "'head' matches no prunable layer; there are 0, 2, 4",
        ),
        (
            {"layers": Layers(keep_dense=["0"])},
            InfeasibleError,
            r"0 must keep more.*below 0\.3962",
        ),
    ],
)
def test_mistakes_are_explained(options, error, message, mlp):
    with pytest.raises(error, match=message):
        Sparsifier(mlp, sgd(mlp), **{"method": "rigl", "sparsity": 0.9, "total_steps": 10} | options)
    assert not [name for name in mlp.state_dict() if "mask" in name]


def test_a_parent_of_another_shape_is_refused(mlp):
    parent = Parent(trained=mlp.state_dict() | {"0.weight": torch.zeros(2, 2)})
    with pytest.raises(MethodError, match=r"trained weights do not fit the model.*size mismatch"):
        Sparsifier(mlp, sgd(mlp), method="omp", sparsity=0.9, total_steps=10, parent=parent)


def test_optimizers_that_cannot_be_masked_are_refused(mlp):
    with pytest.raises(MethodError, match="LBFGS"):
        optimizer = torch.optim.LBFGS(mlp.parameters())
        Sparsifier(mlp, optimizer, method="static", sparsity=0.9, total_steps=10)
    with pytest.raises(MethodError, match="does not train the weights of 2, 4"):
        optimizer = torch.optim.SGD(mlp[0].parameters(), lr=0.1)
        Sparsifier(mlp, optimizer, method="static", sparsity=0.9, total_steps=10)


def test_a_second_sparsifier_is_refused(mlp):
    Sparsifier(mlp, sgd(mlp), method="static", sparsity=0.9, total_steps=10)
    with pytest.raises(MethodError, match="one Sparsifier at a time"):
        Sparsifier(mlp, sgd(mlp), method="static", sparsity=0.9, total_steps=10)


@pytest.mark.parametrize("method", ["snip", "rigl"])
def test_missing_gradients_are_said(method, mlp):
    optimizer = sgd(mlp)
    Sparsifier(mlp, optimizer, method=method, sparsity=0.9, total_steps=10)
    with pytest.raises(MethodError, match="layers 0, 2, 4 have no gradient"):
        for _ in range(3):
            optimizer.step()


def test_a_loss_that_leaves_a_layer_out_is_refused(mlp):
    with pytest.raises(MethodError, match="layers 2, 4 have no gradient"):
        Sparsifier(
            mlp,
            sgd(mlp),
            method="snip",
            sparsity=0.9,
            total_steps=10,
            loss=lambda model: model[0].weight.square().sum(),
        )


@pytest.mark.parametrize("method", ["static", "snip", "dense"])
def test_one_mask_needs_no_number_of_steps(method, mlp):
    sparsifier = Sparsifier(mlp, sgd(mlp), method=method, sparsity=0.0 if method == "dense" else 0.9)
    assert sparsifier.target_reached == (method != "snip")
    sparsifier.load_state_dict(sparsifier.state_dict())


def test_an_optimizer_of_another_model_is_refused(mlp):
    with pytest.raises(
        MethodError, match=r"does not train the weights of 0, 2, 4: build it from model\.param"
    ):
        Sparsifier(mlp, sgd(copy.deepcopy(mlp)), method="rigl", sparsity=0.9, total_steps=10)


def test_a_model_without_prunable_layers_is_refused():
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(4))
    with pytest.raises(MethodError, match="no prunable layer is left of 0: only Linear"):
        Sparsifier(model, sgd(model), method="rigl", sparsity=0.9, total_steps=10)
