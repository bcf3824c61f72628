"""Masks that become sparser while training, driven step by step on a layer of eight weights."""

import pytest
import torch
from torch import nn

from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.drivers.drop_and_grow import DropAndGrowDriver
from hsl.sparsity.drivers.gradual import (
    AlternatingDriver,
    GradualDriver,
    GradualDropAndGrowDriver,
)
from hsl.sparsity.layers import attach_masks, layer_shapes, prunable_layers
from hsl.sparsity.network import Network
from hsl.sparsity.schedules import AlternatingSchedule, DropAndGrowSchedule, GradualSchedule, granet_schedules


def network(model=None, sparsity=0.75, distribution="uniform", init="dense"):
    if model is None:
        model = nn.Linear(8, 1, bias=False)
        model.weight.data.copy_(torch.tensor([[1.0, -2, 3, -4, 5, -6, 7, -8]]))
    layers = prunable_layers(model)
    attach_masks(layers)
    budget = Budget(layer_shapes(layers), sparsity, distribution)
    return Network(model, layers, budget, torch.Generator().manual_seed(0), init)


def kept(made):
    """Magnitudes that are left."""
    return sorted(made.model.weight.detach().abs()[made.model.weight_mask].tolist())


def test_gradual_pruning_follows_its_schedule():
    """Sparsity is 0.75 * (1 - (1 - s / 4)^3) after s steps, every second step: 0.656 after two, 0.75 after four."""
    made = network()
    driver = GradualDriver(made, "magnitude", GradualSchedule(start=0, end=4, interval=2))
    assert driver.reached_at == 4
    counts = []
    for step in range(1, 7):
        assert driver.before_step(step - 1) is False
        driver.after_step(step)
        counts.append(int(made.model.weight_mask.sum()))
    assert counts == [8, 3, 3, 2, 2, 2]
    assert kept(made) == [7, 8]


def test_what_was_removed_does_not_come_back():
    made = network()
    driver = GradualDriver(made, "magnitude", GradualSchedule(start=0, end=4, interval=2))
    driver.after_step(2)
    made.model.weight.data[0, :5] = 100.0
    driver.after_step(4)
    assert kept(made) == [7, 8]


def test_phases_alternate():
    made = network()
    driver = AlternatingDriver(made, "magnitude", AlternatingSchedule(start=2, interval=1, end=5))
    assert driver.reached_at == 5
    counts = []
    for step in range(7):
        assert driver.before_step(step) is False, "the step is never replaced"
        before = int(made.model.weight_mask.sum())
        driver.after_step(step + 1)
        counts.append((before, int(made.model.weight_mask.sum())))
    # sparse after 2, dense after 3 (from the step that follows), sparse after 4 and for good after 5
    assert counts == [(8, 8), (8, 2), (2, 2), (8, 2), (2, 2), (2, 2), (2, 2)]


def moving(made, initial, total=10):
    pruning = GradualSchedule(start=0, end=4, interval=2, initial=initial / made.budget.sparsity)
    schedule = DropAndGrowSchedule(0.5, 2, total)
    drop_and_grow = DropAndGrowDriver(made, ("magnitude", "gradient"), schedule, needs_gradient=True)
    return GradualDropAndGrowDriver(made, GradualDriver(made, "magnitude", pruning), drop_and_grow, initial)


def test_a_first_mask_of_the_initial_sparsity():
    made = network(init="sparse")
    driver = moving(made, 0.5)
    driver.start()
    assert driver.reached_at == 4
    assert int(made.model.weight_mask.sum()) == 4
    assert torch.equal(made.explored[""], made.model.weight_mask)
    original = torch.tensor([[1.0, -2, 3, -4, 5, -6, 7, -8]])
    assert torch.allclose(made.model.weight, original * made.model.weight_mask * 2**0.5)
    assert [driver.wants_gradients(step) for step in range(4)] == [False, False, True, False]


def test_without_an_initial_sparsity_nothing_is_drawn_or_scaled():
    made = network(init="sparse")
    state = made.generator.get_state()
    moving(made, 0.0).start()
    assert kept(made) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert torch.equal(made.generator.get_state(), state)
    assert bool(made.explored[""].all())


def test_pruning_and_moving_take_turns():
    made = network()
    driver = moving(made, 0.0)
    driver.start()
    driver.after_step(1)
    assert int(made.model.weight_mask.sum()) == 8
    driver.after_step(2)
    assert kept(made) == [6, 7, 8]
    made.model.weight.grad = torch.tensor([[0.0, 9, 0, 0, 0, 0, 0, 0]])
    assert driver.before_step(2) is True
    assert made.model.weight_mask.flatten().nonzero().flatten().tolist() == [1, 6, 7]
    assert driver.before_step(3) is False


def test_layers_that_are_ranked_together_begin_with_the_densities_of_erk():
    """Of two layers of 8x8 and 8x2: erk keeps in proportion to (in + out), so 16 and 10 of 26 parts of 40 weights."""
    made = network(nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 2, bias=False)), 0.75, "global")
    moving(made, 0.5).start()
    counts = [int(layer.weight_mask.sum()) for layer in made.layers.values()]
    assert sum(counts) == 40
    assert counts == [pytest.approx(40 * 16 / 26, abs=1), pytest.approx(40 * 10 / 26, abs=1)]


def test_schedules_of_granet():
    given = {"start": 0.1, "end": 0.6, "interval": 0.05, "initial_sparsity": 0.4}
    given |= {"drop_fraction": 0.3, "final_drop_fraction": 0.1}
    pruning, drops = granet_schedules(given, 0.8, 100)
    assert pruning == GradualSchedule(start=10, end=60, interval=5, initial=0.5)
    assert drops == DropAndGrowSchedule(drop_fraction=0.3, interval=5, end=100, decay="cosine", final=0.1)
