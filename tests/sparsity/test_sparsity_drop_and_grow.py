"""Non-zeros that move, driven step by step on layers of a few weights."""

import pytest
import torch
from torch import nn

from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.drivers.drop_and_grow import (
    DropAndGrowDriver,
    RedistributingDriver,
    SoftDropAndGrowDriver,
    draw_masks_,
)
from hsl.sparsity.layers import attach_masks, layer_shapes, prunable_layers
from hsl.sparsity.network import Network
from hsl.sparsity.schedules import DropAndGrowSchedule

SCHEDULE = DropAndGrowSchedule(drop_fraction=0.5, interval=2, end=8, decay="constant")


def network(model=None, sparsity=0.5, init="dense", keep_dense=()):
    if model is None:
        model = nn.Linear(8, 1, bias=False)
        model.weight.data.copy_(torch.tensor([[1.0, -2, 3, -4, 5, -6, 7, -8]]))
    layers = prunable_layers(model)
    attach_masks(layers)
    budget = Budget(layer_shapes(layers), sparsity, "uniform", frozenset(keep_dense))
    return Network(model, layers, budget, torch.Generator().manual_seed(0), init)


def set_active(layer, *places):
    mask = torch.zeros(layer.weight.numel(), dtype=torch.bool)
    mask[list(places)] = True
    layer.weight_mask.copy_(mask.view(layer.weight.shape))
    layer.weight.data.mul_(layer.weight_mask)


def active(layer):
    return layer.weight_mask.flatten().nonzero().flatten().tolist()


def test_a_random_mask_at_the_start():
    made = network(init="sparse")
    driver = DropAndGrowDriver(made, ("magnitude", "gradient"), SCHEDULE, True)
    driver.start()
    assert len(active(made.model)) == 4
    assert torch.equal(made.explored[""], made.model.weight_mask)
    assert driver.reached_at == 0
    assert not driver.pending
    original = torch.tensor([[1.0, -2, 3, -4, 5, -6, 7, -8]])
    assert torch.allclose(made.model.weight, original * made.model.weight_mask * 2**0.5)


def test_half_of_the_weights_move_where_the_gradient_is_large():
    made = network()
    driver = DropAndGrowDriver(made, ("magnitude", "gradient"), SCHEDULE, True)
    assert [driver.wants_gradients(step) for step in range(5)] == [False, False, True, False, True]
    set_active(made.model, 0, 1, 2, 7)
    made.model.weight.grad = torch.tensor([[0.0, 0, 0, 1, 9, -8, 2, 0]])
    assert driver.before_step(1) is False
    assert active(made.model) == [0, 1, 2, 7]
    assert driver.before_step(2) is True
    assert active(made.model) == [2, 4, 5, 7]
    assert made.model.weight.flatten().tolist() == [0, 0, 3, 0, 0, 0, 0, -8], "what is grown is zero"


def test_without_finite_gradients_nothing_moves():
    made = network()
    driver = DropAndGrowDriver(made, ("magnitude", "gradient"), SCHEDULE, True)
    set_active(made.model, 0, 1, 2, 7)
    made.model.weight.grad = torch.full((1, 8), torch.nan)
    assert driver.before_step(2) is False
    assert active(made.model) == [0, 1, 2, 7]


def test_what_reads_no_gradient_needs_none():
    made = network()
    driver = DropAndGrowDriver(made, ("magnitude", "random"), SCHEDULE, False)
    set_active(made.model, 0, 1, 2, 7)
    assert not driver.wants_gradients(2)
    assert driver.before_step(2) is True
    assert {2, 7} <= set(active(made.model))
    assert len(active(made.model)) == 4


def test_the_weight_of_the_gradient():
    """Scores to drop |w| + c |g| of the active 1, 2, 3, 8 with gradients 4, 0, 0, 0: with c = 1 the first stays."""
    for weight, dropped in ((1.0, 1), (0.1, 0)):
        made = network()
        schedule = DropAndGrowSchedule(drop_fraction=0.25, interval=2, end=8, decay="constant")
        driver = DropAndGrowDriver(made, ("magnitude_and_gradient", "gradient"), schedule, True, weight)
        set_active(made.model, 0, 1, 2, 7)
        made.model.weight.grad = torch.tensor([[4.0, 0, 0, 0, 9, 0, 0, 0]])
        driver.before_step(2)
        assert active(made.model) == sorted({0, 1, 2, 7, 4} - {dropped})


def soft(made, weight=1.0, fraction=0.5):
    schedule = DropAndGrowSchedule(drop_fraction=fraction, interval=2, end=8, decay="stepwise")
    return SoftDropAndGrowDriver(made, ("magnitude", "gradient"), schedule, True, weight)


def test_soft_memory_begins_with_an_excess_that_halves_and_ends():
    """Four at the target; two more until three quarters of the way (step 6), then one, none from step 8."""
    made = network()
    driver = soft(made)
    driver.start()
    assert driver.reached_at == 8
    assert len(active(made.model)) == 6
    made.model.weight.data.copy_(torch.tensor([[1.0, -2, 3, -4, 5, -6, 7, -8]]))
    set_active(made.model, 0, 1, 2, 3, 4, 7)
    made.model.weight.grad = torch.tensor([[0.0, 0, 0, 0, 0, 7, 6, 0]])
    assert driver.before_step(2) is True
    assert active(made.model) == [2, 3, 4, 5, 6, 7], "the four largest, and two by their gradient"
    made.model.weight.grad = torch.tensor([[5.0, 0, 0, 0, 0, 0, 0, 0]])
    made.model.weight.data[0, 5:7] = 6.0
    assert driver.before_step(6) is True
    assert active(made.model) == [0, 4, 5, 6, 7]
    driver.after_step(7)
    assert len(active(made.model)) == 5
    driver.after_step(8)
    assert active(made.model) == [4, 5, 6, 7]


def test_the_excess_fits_into_the_layer():
    made = network(sparsity=0.25)
    driver = soft(made, fraction=0.9)
    driver.start()
    assert active(made.model) == list(range(8))


def test_the_last_drop_does_without_a_broken_gradient():
    made = network()
    schedule = DropAndGrowSchedule(drop_fraction=0.5, interval=2, end=8, decay="stepwise")
    driver = SoftDropAndGrowDriver(made, ("magnitude_and_gradient", "gradient"), schedule, True, 1.0)
    made.model.weight.grad = torch.tensor([[100.0, torch.inf, 0, 0, 0, 0, 0, 0]])
    driver.after_step(8)
    assert active(made.model) == [4, 5, 6, 7]
    made = network()
    driver = SoftDropAndGrowDriver(made, ("magnitude_and_gradient", "gradient"), schedule, True, 1.0)
    made.model.weight.grad = torch.tensor([[100.0, 0, 0, 0, 0, 0, 0, 0]])
    driver.after_step(8)
    assert active(made.model) == [0, 5, 6, 7]


def test_updates_that_never_come_end_after_the_first_step():
    made = network()
    driver = SoftDropAndGrowDriver(made, ("magnitude", "gradient"), DropAndGrowSchedule(0.5, 2, 0), True)
    assert driver.reached_at == 1
    driver.after_step(1)
    assert active(made.model) == [4, 5, 6, 7]


def two_layers(keep_dense=()):
    model = nn.Sequential(nn.Linear(8, 1, bias=False), nn.Linear(1, 8, bias=False))
    for layer in model:
        layer.weight.data.copy_(torch.arange(1.0, 9.0).view(layer.weight.shape))
    made = network(model, keep_dense=keep_dense)
    driver = RedistributingDriver(made, ("magnitude", "momentum"), SCHEDULE, 0.75)
    return model, made, driver


def test_layers_grow_by_their_mean_momentum():
    """Two of four drop in each layer; of the four that grow three go where the momentum is three times as large."""
    model, _, driver = two_layers()
    for layer, size in zip(model, (3.0, 1.0), strict=True):
        set_active(layer, 0, 1, 2, 3)
        layer.weight.grad = torch.full_like(layer.weight, size)
    assert all(driver.wants_gradients(step) for step in range(4))
    assert driver.before_step(1) is False
    assert driver.state_dict()["momentum"]["0"].flatten().tolist() == pytest.approx([0.75] * 8)
    assert driver.before_step(2) is True
    assert driver.state_dict()["momentum"]["1"].flatten().tolist() == pytest.approx([0.4375] * 8)
    assert [len(active(layer)) for layer in model] == [5, 3]
    assert {2, 3} <= set(active(model[0]))
    assert {2, 3} <= set(active(model[1]))


def test_the_running_mean_leaves_out_what_is_not_finite_and_goes_on_from_its_state():
    model, _, driver = two_layers()
    for layer in model:
        layer.weight.grad = torch.full_like(layer.weight, torch.inf)
    assert driver.before_step(2) is False
    assert driver.state_dict()["momentum"]["0"].count_nonzero() == 0
    state = driver.state_dict()
    state["momentum"] = {name: torch.full_like(mean, 0.5) for name, mean in state["momentum"].items()}
    _, _, other = two_layers()
    other.load_state_dict(state)
    assert torch.equal(other.state_dict()["momentum"]["1"], state["momentum"]["1"])


def test_layers_that_stay_dense_take_no_part():
    model, _, driver = two_layers(keep_dense=["1"])
    set_active(model[0], 0, 1, 2, 3)
    for layer in model:
        layer.weight.grad = torch.ones_like(layer.weight)
    assert driver.before_step(2) is True
    # all of layer 1 is active and would have grown none: the two of layer 0 that drop grow there again
    assert len(active(model[0])) == 4
    assert {2, 3} <= set(active(model[0]))


def test_masks_are_drawn_by_count():
    model, made, _ = two_layers()
    draw_masks_(made, {"0": 3, "1": 5})
    assert [len(active(layer)) for layer in model] == [3, 5]


@pytest.mark.parametrize("kind", [DropAndGrowDriver, SoftDropAndGrowDriver])
def test_gradients_count_as_they_are_unless_told_otherwise(kind):
    """|w| + |g| of the active is 2.8, 8, 3, 4 (and 5): the first drops; with twice the gradient the third would."""
    made = network()
    schedule = DropAndGrowSchedule(0.25, 2, 8, decay="constant")
    driver = kind(made, ("magnitude_and_gradient", "gradient"), schedule, True)
    made.model.weight.data.copy_(torch.tensor([[1.6, -8, 3, -4, 5, 6, 0, 0]]))
    made.model.weight.grad = torch.tensor([[1.2, 0, 0, 0, 0, 9, 0, 0]])
    if kind is SoftDropAndGrowDriver:
        set_active(made.model, 0, 1, 2, 3, 4)
        driver.after_step(8)
        assert active(made.model) == [1, 2, 3, 4]
    else:
        set_active(made.model, 0, 1, 2, 3)
        driver.before_step(2)
        assert active(made.model) == [1, 2, 3, 5]
