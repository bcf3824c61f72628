"""What is asked of a Sparsifier: what is refused, and the budget that is made of the rest."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from torch import nn

from hsl.errors import InfeasibleError, MethodError
from hsl.sparsity.layers import Layers, prunable_layers
from hsl.sparsity.network import Parent
from hsl.sparsity.request import (
    LayerReport,
    check_optimizer,
    check_request,
    chosen_distribution,
    make_budget,
    parse_structure,
)

WIDTHS = (8, 12, 16, 4)


def network() -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(WIDTHS)))


@pytest.mark.parametrize(("weights", "non_zeros", "density"), [(10, 10, 1.0), (8, 2, 0.25), (8, 0, 0.0)])
def test_a_layer_has_its_density(weights: int, non_zeros: int, density: float) -> None:
    assert LayerReport("a", (weights,), weights, non_zeros).density == density


@pytest.mark.parametrize(
    ("method", "steps", "init", "parent"),
    [
        ("static", None, "sparse", False),
        ("static", 1, "dense", False),
        ("rigl", 1, "sparse", False),
        ("rigl", 10**9, "sparse", False),
        ("omp", None, "sparse", True),
        ("omp", 5, "sparse", False),
    ],
)
def test_what_is_right(method: str, steps: int | None, init: str, parent: bool) -> None:
    check_request(method, steps, init, Parent(trained={}) if parent else None)


@pytest.mark.parametrize(
    ("method", "steps", "init", "parent", "message"),
    [
        ("rigl", None, "sparse", False, "'rigl' changes its masks on a schedule: give total_steps="),
        ("gmp", None, "sparse", False, "'gmp' changes its masks on a schedule"),
        ("static", 0, "sparse", False, "total_steps is 0, it must be a whole number of steps, at least 1"),
        ("rigl", -1, "sparse", False, "total_steps is -1"),
        ("rigl", 2.0, "sparse", False, r"total_steps is 2\.0"),
        ("rigl", True, "sparse", False, "total_steps is True"),
        ("rigl", "9", "sparse", False, "total_steps is '9'"),
        (
            "static",
            None,
            "zero",
            False,
            "init is 'zero', it must be one of 'sparse', 'energy', 'signal', 'dense'",
        ),
        ("static", None, "sparse", True, "'static' does not start from a parent"),
        ("rigl", 5, "sparse", True, "'rigl' does not start from a parent"),
    ],
)
def test_what_is_wrong_whatever_the_model(
    method: str, steps: int | None, init: str, parent: bool, message: str
) -> None:
    with pytest.raises(MethodError, match=message):
        check_request(method, steps, init, Parent(trained={}) if parent else None)


def test_the_optimizer_trains_all_layers_and_keeps_state_per_weight() -> None:
    model = network()
    layers = prunable_layers(model)
    check_optimizer(torch.optim.SGD(model.parameters(), lr=0.1), layers)
    groups = [{"params": [model[0].weight, model[1].weight]}, {"params": [model[2].weight]}]
    check_optimizer(torch.optim.Adam(groups), layers)
    with pytest.raises(MethodError, match="does not train the weights of 1, 2: build it from"):
        check_optimizer(torch.optim.SGD(model[0].parameters(), lr=0.1), layers)
    with pytest.raises(MethodError, match="LBFGS keeps no state per weight"):
        check_optimizer(torch.optim.LBFGS(model.parameters()), layers)


@pytest.mark.parametrize(
    ("asked", "dense"),
    [
        ({}, set()),
        ({"first_dense": True}, {"0"}),
        ({"last_dense": True}, {"2"}),
        ({"first_dense": True, "last_dense": True}, {"0", "2"}),
        ({"keep_dense": ["0"]}, {"0"}),
        ({"keep_dense": ["[02]"]}, {"0", "2"}),
        ({"keep_dense": ["2"], "first_dense": True}, {"0", "2"}),
        ({"structure": "2:4"}, set()),
    ],
)
def test_layers_that_stay_dense(asked: dict, dense: set[str]) -> None:
    budget = make_budget(prunable_layers(network()), 0.5, "uniform", Layers(**asked))
    assert budget.keep_dense == dense
    assert budget.sparsity == 0.5
    assert budget.structure == ((2, 4) if "structure" in asked else None)
    counts = budget.counts()
    weights = {str(n): a * b for n, (a, b) in enumerate(pairwise(WIDTHS))}
    assert {name for name in counts if counts[name] == weights[name]} == dense
    assert sum(counts.values()) == sum(weights.values()) / 2


@pytest.mark.parametrize(
    ("structure", "expected"), [("2:4", (2, 4)), ("1:2", (1, 2)), ("3:4", (3, 4)), ("10:16", (10, 16))]
)
def test_structures(structure: str, expected: tuple[int, int]) -> None:
    assert parse_structure(structure) == expected


@pytest.mark.parametrize(
    "structure", ["0:4", "4:4", "5:4", "2", "2:", ":4", "2:4:8", "-1:4", "a:b", "2/4", ""]
)
def test_what_is_no_structure(structure: str) -> None:
    with pytest.raises(MethodError, match='it must be like "2:4"'):
        parse_structure(structure)


@pytest.mark.parametrize(
    ("of", "unfit"), [("1:2", ""), ("2:4", ""), ("1:8", "1"), ("1:16", "0, 1"), ("1:5", "0, 1, 2")]
)
def test_a_structure_divides_the_inputs(of: str, unfit: str) -> None:
    """8, 12 and 16 of them."""
    kept, every = map(int, of.split(":"))
    layers = prunable_layers(network())
    if not unfit:
        assert make_budget(layers, 1 - kept / every, "uniform", Layers(structure=of)).structure == (
            kept,
            every,
        )
        return
    with pytest.raises(
        InfeasibleError, match=f"{of} needs a number of inputs that {every} divides, which {unfit} do"
    ):
        make_budget(layers, 1 - kept / every, "uniform", Layers(structure=of))


def test_a_transposed_convolution_has_no_structure() -> None:
    layers = prunable_layers(nn.Sequential(nn.ConvTranspose2d(8, 8, 3)))
    with pytest.raises(InfeasibleError, match="which 0 do not have"):
        make_budget(layers, 0.5, "uniform", Layers(structure="2:4"))


@pytest.mark.parametrize(
    ("method", "distribution", "structure", "expected"),
    [
        ("dense", None, None, None),
        ("rigl", "uniform", None, "uniform"),
        ("rigl", {"0": 0.5}, None, {"0": 0.5}),
        ("static", None, "2:4", "uniform"),
        ("static", "uniform", "2:4", "uniform"),
    ],
)
def test_the_distribution_that_is_meant(
    method: str, distribution: object, structure: str | None, expected: object
) -> None:
    assert chosen_distribution(method, distribution, structure) == expected


@pytest.mark.parametrize(
    ("method", "distribution", "message"),
    [
        ("rigl", None, "'rigl' takes no structure; those that do are static"),
        ("static", "erk", "leave distribution erk out"),
        ("static", {"0": 0.5}, "leave distribution {'0': 0.5} out"),
    ],
)
def test_a_structure_is_no_distribution(method: str, distribution: object, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        chosen_distribution(method, distribution, "2:4")
