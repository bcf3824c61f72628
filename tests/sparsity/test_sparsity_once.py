"""Masks that are made once, driven step by step on a layer of six weights."""

import pytest
import torch
from torch import nn

from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.drivers.once import AfterParentDriver, OnceDriver
from hsl.sparsity.layers import attach_masks, layer_shapes, prunable_layers
from hsl.sparsity.methods.moments import OnceAfterParent
from hsl.sparsity.network import Network, Parent

WEIGHT = [[1.0, -2.0, 3.0], [-4.0, 5.0, -6.0]]


def network(init="dense"):
    model = nn.Linear(3, 2, bias=False)
    model.weight.data.copy_(torch.tensor(WEIGHT))
    layers = prunable_layers(model)
    attach_masks(layers)
    budget = Budget(layer_shapes(layers), 0.5, "uniform")
    return Network(model, layers, budget, torch.Generator().manual_seed(0), init)


def mask_of(made):
    return made.model.weight_mask.tolist()


def test_what_needs_no_gradient_is_there_at_once():
    made = network()
    driver = OnceDriver(made, "magnitude", False, None, {})
    assert not driver.pending
    driver.start()
    assert mask_of(made) == [[False, False, False], [True, True, True]]
    assert made.model.weight.tolist() == [[0, 0, 0], WEIGHT[1]]
    assert not driver.wants_gradients(0)
    assert driver.before_step(0) is False, "the step is not replaced"


def test_what_needs_gradients_waits_for_the_first_finite_ones():
    made = network()
    driver = OnceDriver(made, "snip", True, None, {})
    driver.start()
    assert driver.pending
    assert driver.wants_gradients(0)
    assert mask_of(made) == [[True] * 3] * 2
    made.model.weight.grad = torch.tensor([[torch.inf, 1, 1], [1, 1, 1]])
    assert driver.before_step(0) is False
    assert driver.pending
    assert mask_of(made) == [[True] * 3] * 2
    made.model.weight.grad = torch.tensor([[60.0, -1, 10], [5, 0, 0.1]])  # |w g|: 60, 2, 30, 20, 0, 0.6
    assert driver.before_step(1) is True
    assert mask_of(made) == [[True, False, True], [True, False, False]]
    assert not driver.pending
    assert not driver.wants_gradients(2)
    assert driver.before_step(2) is False


def test_with_a_loss_gradients_are_not_waited_for():
    made = network()
    driver = OnceDriver(made, "snip", True, lambda model: (model.weight * 2).sum(), {})
    driver.start()
    assert not driver.pending
    assert mask_of(made) == [[False, False, False], [True, True, True]]


def test_weights_are_scaled_for_their_live_inputs_where_asked():
    made = network(init="sparse")
    OnceDriver(made, "magnitude", False, None, {}).start()
    assert made.model.weight[1].tolist() == WEIGHT[1], "all three inputs are live"
    made = network(init="sparse")
    made.model.weight.data[0, 2] = 9.0
    OnceDriver(made, "magnitude", False, None, {}).start()
    assert made.model.weight.flatten().tolist() == pytest.approx(
        [0, 0, 9 * 3**0.5, 0, 5 * 1.5**0.5, -6 * 1.5**0.5]
    )


@pytest.mark.parametrize("start", ["trained", "rewound"])
def test_a_parent_gives_the_mask_and_one_of_its_states_the_weights(start):
    made = network()
    trained = {"weight": torch.tensor([[9.0, 0, 8], [0, 7, 0.5]])}
    rewind = {"weight": torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]])}
    AfterParentDriver(made, OnceAfterParent("magnitude", start), Parent(trained, rewind)).start()
    assert mask_of(made) == [[True, False, True], [False, True, False]]
    expected = (trained if start == "trained" else rewind)["weight"][made.model.weight_mask]
    assert torch.equal(made.model.weight[made.model.weight_mask], expected)
    assert made.model.weight.count_nonzero() == 3
