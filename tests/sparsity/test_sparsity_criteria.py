"""Scores on examples worked out by hand."""

import pytest
import torch
from torch import nn

from hsl.errors import MethodError
from hsl.sparsity.criteria import Signals
from hsl.sparsity.methods.weight_scores import CRITERIA

GENERATOR = torch.Generator().manual_seed(0)


def test_snip_on_the_identity():
    # W = I, x = (1, 2), class 0: softmax gives |w * g| = diag(.731059, 1.462117), so 1/3 and 2/3.
    weight = torch.eye(2, requires_grad=True)
    loss = nn.functional.cross_entropy(torch.tensor([[1.0, 2.0]]) @ weight.T, torch.tensor([0]))
    (gradient,) = torch.autograd.grad(loss, weight)
    scores = CRITERIA["snip"](Signals(weight, gradient, GENERATOR))
    assert scores.flatten().tolist() == pytest.approx([0.731059, 0, 0, 1.462117], abs=1e-6)
    assert (scores / scores.sum()).diag().tolist() == pytest.approx([1 / 3, 2 / 3])


def test_magnitude_and_gradient_are_absolute():
    signals = Signals(torch.tensor([-2.0, 1.0]), torch.tensor([0.5, -3.0]), GENERATOR)
    assert CRITERIA["magnitude"](signals).tolist() == [2, 1]
    assert CRITERIA["gradient"](signals).tolist() == [0.5, 3]


def test_half_precision_is_scored_in_single():
    # In half precision the products of both weights would be zero.
    signals = Signals(torch.tensor([1e-4, 2e-4]).half(), torch.tensor([1e-4, 1e-4]).half(), GENERATOR)
    low, high = CRITERIA["snip"](signals).tolist()
    assert 0 < low < high


def test_random_draws_from_its_own_generator():
    signals = Signals(torch.zeros(3, 4), None, torch.Generator().manual_seed(3))
    state = torch.get_rng_state()
    first = CRITERIA["random"](signals)
    assert torch.equal(torch.get_rng_state(), state)
    assert first.shape == (3, 4)
    assert not torch.equal(first, CRITERIA["random"](signals))
    again = Signals(torch.zeros(3, 4), None, torch.Generator().manual_seed(3))
    assert torch.equal(first, CRITERIA["random"](again))


@pytest.mark.parametrize("name", ["snip", "gradient"])
def test_missing_gradients_are_said(name):
    with pytest.raises(MethodError, match="reads gradients"):
        CRITERIA[name](Signals(torch.zeros(2), None, GENERATOR))


def test_signed_magnitude_ranks_each_sign_by_itself():
    """Active: 3, 0, 2 (positive, zero among them) and -1, -4; the inactive 9 and -9 score 2."""
    weight = torch.tensor([[3.0, -1.0], [0.0, 2.0], [-4.0, 9.0], [-9.0, 5.0]])
    mask = torch.tensor([[True, True], [True, True], [True, False], [False, False]])
    scores = CRITERIA["signed_magnitude"](Signals(weight, None, GENERATOR, mask))
    expected = [[2.5 / 3, 0.25], [0.5 / 3, 1.5 / 3], [0.75, 2], [2, 2]]
    assert scores.flatten().tolist() == pytest.approx(torch.tensor(expected).flatten().tolist())


def test_signed_magnitude_without_a_mask_ranks_all():
    """One of a sign is in the middle of its ranks; of equal ones the first is the lowest."""
    scores = CRITERIA["signed_magnitude"](Signals(torch.tensor([0.5, -7.0, 0.5]), None, GENERATOR))
    assert scores.tolist() == [0.25, 0.5, 0.75]


def test_products_and_sums_of_weight_and_gradient():
    signals = Signals(torch.tensor([-2.0, 3.0]), torch.tensor([4.0, 5.0]), GENERATOR)
    assert CRITERIA["grasp"](signals).tolist() == [-8, 15]
    assert CRITERIA["synflow"](signals).tolist() == [8, 15]
    assert CRITERIA["synflow"](signals).dtype == torch.float64
    assert CRITERIA["magnitude_and_gradient"](signals).tolist() == [6, 8]
    assert CRITERIA["momentum"](signals).tolist() == [4, 5]
