"""Top-KAST against a literal version on one dense vector of weights."""

import copy

import torch
from torch import nn

from hsl.sparsity import Sparsifier


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9} | options)


def take_step(model, optimizer, digits, step):
    images, classes = digits
    rows = slice(32 * step, 32 * step + 32)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images[rows]), classes[rows]).backward()
    optimizer.step()


def literal_top_kast(model, digits, steps, k, m, interval, lr, penalty):
    """Top-KAST of one linear layer with plain SGD, on one dense vector of all weights."""
    dense = model.weight.detach().clone().flatten()
    order = dense.abs().argsort(descending=True)
    used, trained = order[:k], order[: k + m]
    images, classes = digits
    for step in range(steps):
        view = torch.zeros_like(dense)
        view[used] = dense[used]
        weight = view.view(10, 64).requires_grad_()
        rows = slice(32 * step, 32 * step + 32)
        loss = nn.functional.cross_entropy(images[rows] @ weight.T, classes[rows])
        gradient = torch.autograd.grad(loss, weight)[0].flatten()
        for index in trained.tolist():
            factor = penalty if index in used.tolist() else penalty / (k / len(dense))
            dense[index] -= lr * (gradient[index] + factor * dense[index])
        if (step + 1) % interval == 0:
            order = dense.abs().argsort(descending=True)
            used, trained = order[:k], order[: k + m]
    return dense, used


def test_topkast_is_its_paper(digits):
    torch.manual_seed(0)
    model = nn.Linear(64, 10, bias=False)
    literal, used = literal_top_kast(copy.deepcopy(model), digits, 12, 64, 32, 3, lr=0.5, penalty=0.05)
    optimizer = sgd(model, lr=0.5, momentum=0.0)
    start = model.weight.detach().clone()
    sparsifier = Sparsifier(
        model,
        optimizer,
        method="topkast",
        sparsity=0.9,
        total_steps=12,
        hyperparameters={"exploration": 0.5, "interval": 0.25, "penalty": 0.05},
    )
    first = model.weight_mask.clone()
    assert sparsifier.target_reached
    for step in range(12):
        take_step(model, optimizer, digits, step)
    expected = torch.zeros(640, dtype=torch.bool)
    expected[used] = True
    assert torch.equal(model.weight_mask.flatten(), expected)
    assert torch.allclose(model.weight.flatten(), literal * expected, atol=1e-6)
    assert not torch.equal(first, model.weight_mask)
    reserve = sparsifier.state_dict()["driver"]["reserve"][""]
    assert torch.allclose(reserve.flatten(), literal * ~expected, atol=1e-6)
    assert torch.equal(reserve[reserve == start], start[reserve == start])


def test_topkast_leaves_waiting_weights_alone_whatever_the_optimizer(digits):
    torch.manual_seed(0)
    model = nn.Linear(64, 10)
    start = model.weight.detach().clone()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.5)
    sparsifier = Sparsifier(model, optimizer, method="topkast", sparsity=0.9, total_steps=1000)
    for step in range(2):  # before the first new choice, at step 3
        take_step(model, optimizer, digits, step)
    driver = sparsifier.state_dict()["driver"]
    waiting = ~driver["trained"][""]
    assert int(waiting.sum()) == 640 - 128
    assert torch.equal(driver["reserve"][""][waiting], start[waiting])
    assert optimizer.state[model.weight]["exp_avg"].count_nonzero() <= 128
    assert model.weight.count_nonzero() == 64
