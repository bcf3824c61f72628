"""The exploration rate of ITOP against the union of masks that were seen, one by one."""

import pytest
import torch
from torch import nn

from hsl.sparsity import METHODS, Parent, Sparsifier, prunable_layers

STEPS = 12
SPARSE = [name for name in METHODS if name != "dense"]


def build(model, optimizer, name, digits, seed=0):
    images, classes = digits
    method = METHODS[name]
    generator = torch.Generator().manual_seed(1)
    state = {key: torch.randn(value.shape, generator=generator) for key, value in model.state_dict().items()}
    return Sparsifier(
        model,
        optimizer,
        method=name,
        sparsity=0.0 if name == "dense" else 0.9,
        total_steps=STEPS,
        seed=seed,
        parent=Parent(trained=state, rewind=state) if method.needs_parent else None,
        loss=lambda net: nn.functional.cross_entropy(net(images[:64]), classes[:64]),
    )


def train(model, optimizer, digits, steps):
    images, classes = digits
    for step in steps:
        batch = slice(32 * step, 32 * step + 32)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), classes[batch]).backward()
        optimizer.step()
        yield step


def masks_of(model):
    return torch.cat([layer.weight_mask.flatten() for layer in prunable_layers(model).values()])


@pytest.mark.parametrize("name", SPARSE)
def test_the_rate_is_the_union_of_all_masks_over_the_weights(name, mlp, digits):
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.1)
    sparsifier = build(mlp, optimizer, name, digits)
    union = masks_of(mlp)
    assert sparsifier.explored() == pytest.approx(int(union.sum()) / union.numel())
    for _ in train(mlp, optimizer, digits, range(STEPS)):
        union |= masks_of(mlp)
        assert sparsifier.explored() == pytest.approx(int(union.sum()) / union.numel())


@pytest.mark.parametrize("name", SPARSE)
def test_a_fresh_object_knows_what_was_explored(name, mlp, digits):
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.1)
    sparsifier = build(mlp, optimizer, name, digits)
    list(train(mlp, optimizer, digits, range(6)))
    state, weights = sparsifier.state_dict(), mlp.state_dict()
    sparsifier.remove()
    other = build(mlp, torch.optim.SGD(mlp.parameters(), lr=0.1), name, digits, seed=7)
    mlp.load_state_dict(weights)
    other.load_state_dict(state)
    assert other.explored() == sparsifier.explored()
    for layer, union in other.state_dict()["explored"].items():
        assert torch.equal(union, state["explored"][layer])


@pytest.mark.parametrize(
    ("name", "rate"),
    [("dense", 1.0), ("static", 0.1), ("snip", 0.1), ("omp", 0.1), ("gmp", 1.0), ("acdc", 1.0)],
)
def test_masks_that_never_move_cost_nothing(name, rate, mlp, digits):
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.1)
    sparsifier = build(mlp, optimizer, name, digits)
    list(train(mlp, optimizer, digits, range(STEPS)))
    assert sparsifier.explored() == pytest.approx(rate, abs=1e-3)
    assert not sparsifier.state_dict()["explored"]


def test_two_grown_weights_of_eight():
    model = nn.Linear(8, 1, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    # The fraction at step 2 of 6 is 0.8 / 2 * (1 + cos(pi / 3)) = 0.6, two of four; at step 4 it is 0.2, none.
    sparsifier = Sparsifier(
        model,
        optimizer,
        method="rigl",
        sparsity=0.5,
        total_steps=8,
        hyperparameters={"drop_fraction": 0.8, "interval": 0.25, "until": 0.75},
    )
    rates = [sparsifier.explored()]
    for _ in range(5):
        model.weight.grad = (~model.weight_mask).float()
        optimizer.step()
        rates.append(sparsifier.explored())
    assert rates == [4 / 8, 4 / 8, 4 / 8, 6 / 8, 6 / 8, 6 / 8]
