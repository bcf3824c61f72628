"""Top-KAST's three kinds of weights, on a layer of ten: used, trained only, waiting."""

import pytest
import torch
from torch import nn

from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.drivers.top import ForwardTopDriver
from hsl.sparsity.layers import attach_masks, layer_shapes, prunable_layers
from hsl.sparsity.network import Network

VALUES = [[1.0, 2, 3, 4, 5, 6, 7, 8, 9, 10]]
USED, EXPLORING, WAITING = slice(6, 10), slice(4, 6), slice(0, 4)


def started(interval=0.2, penalty=0.5):
    model = nn.Linear(10, 1, bias=False)
    model.weight.data.copy_(torch.tensor(VALUES))
    layers = prunable_layers(model)
    attach_masks(layers)
    made = Network(model, layers, Budget(layer_shapes(layers), 0.6, "uniform"), torch.Generator())
    hyperparameters = {"exploration": 0.5, "interval": interval, "penalty": penalty}
    driver = ForwardTopDriver(made, "magnitude", hyperparameters, total_steps=10)
    driver.start()
    return made, model, driver


def test_four_are_used_two_more_are_trained_the_rest_waits():
    _, model, driver = started()
    assert model.weight.flatten().tolist() == [0] * 6 + [7, 8, 9, 10]
    assert driver.trained_masks()[""].flatten().tolist() == [False] * 4 + [True] * 6
    assert driver.state_dict()["reserve"][""].flatten().tolist() == [1, 2, 3, 4, 5, 6] + [0] * 4
    assert driver.wants_gradients(0)
    assert driver.wants_gradients(7)


def test_the_step_trains_with_the_penalty_of_each_kind():
    """0.5 w for what is used, 0.5 w / (4 / 10) for what explores, nothing for what waits."""
    _, model, driver = started()
    gradient = torch.ones(1, 10)
    model.weight.grad = gradient
    assert driver.before_step(0) is False
    assert model.weight.flatten().tolist() == VALUES[0], "the reserve is back for the step"
    expected = [0] * 4 + [1 + 5 / 0.8, 1 + 6 / 0.8] + [4.5, 5, 5.5, 6]
    assert model.weight.grad.flatten().tolist() == pytest.approx(expected)
    driver.after_step(1)
    assert model.weight.grad is gradient


def test_a_weight_that_waits_does_not_move_and_a_new_choice_comes_when_due():
    made, model, driver = started()
    for step in (1, 2):
        driver.before_step(step - 1)
        model.weight.data.add_(100.0).mul_(torch.tensor([1.0, 1, 1, 1, 1, 1, 0, 0, 0, 0]))
        driver.after_step(step)
        chosen = model.weight_mask.flatten().nonzero().flatten().tolist()
        assert chosen == ([6, 7, 8, 9] if step == 1 else [2, 3, 4, 5])
    reserve = driver.state_dict()["reserve"][""].flatten().tolist()
    assert reserve[:2] == [1, 2], "they waited all the time"
    assert model.weight.flatten().tolist() == [0, 0, 3, 4, 205, 206, 0, 0, 0, 0]
    assert made.explored[""].flatten().tolist() == [False] * 2 + [True] * 8


def test_an_interval_is_a_step_at_least():
    _, model, driver = started(interval=0.0)
    driver.before_step(0)
    model.weight.data[0, USED] = 0.0
    driver.after_step(1)
    assert model.weight_mask.flatten().nonzero().flatten().tolist() == [2, 3, 4, 5]


def test_it_goes_on_from_its_state():
    _, _, first = started()
    _, _, second = started()
    state = first.state_dict()
    state["reserve"][""] = torch.full((1, 10), 0.25)
    second.load_state_dict(state)
    assert second.state_dict()["reserve"][""].flatten().tolist() == [0.25] * 10
    assert second.state_dict()["pending"] is False


def test_there_are_no_more_explorers_than_weights():
    model = nn.Linear(4, 1, bias=False)
    layers = prunable_layers(model)
    attach_masks(layers)
    made = Network(model, layers, Budget(layer_shapes(layers), 0.25, "uniform"), torch.Generator())
    driver = ForwardTopDriver(made, "magnitude", {"exploration": 9.0, "interval": 0.5, "penalty": 0.0}, 10)
    driver.start()
    assert driver.trained_masks()[""].all()
