"""Initialisation for the live fan-in: the factor, and that it makes very sparse networks trainable."""

import pytest
import torch
from torch import nn

from hsl.sparsity import Sparsifier
from hsl.sparsity.init import scale_for_live_fan_in_


def test_every_unit_is_scaled_by_its_own_fan_in():
    mask = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)
    weight = torch.ones(3, 4) * mask
    scale_for_live_fan_in_(weight, mask)
    assert weight.tolist() == [[2, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]


def test_outputs_keep_the_variance_of_the_dense_layer():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(400, 50, 3, 3, generator=generator) / 450**0.5
    mask = torch.rand(weight.shape, generator=generator) < 0.05
    sparse = weight * mask
    scale_for_live_fan_in_(sparse, mask)
    inputs = torch.randn(450, 400, generator=generator)
    assert (weight.flatten(1) @ inputs).var() == pytest.approx(1, rel=0.02)
    assert (sparse.flatten(1) @ inputs).var() == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize(("method", "scaled"), [("static", True), ("rigl", True), ("gmp", False)])
def test_what_is_sparse_from_the_start_is_scaled(method, scaled, mlp):
    dense = mlp[2].weight.detach().clone()
    Sparsifier(mlp, torch.optim.SGD(mlp.parameters(), lr=0.1), method=method, sparsity=0.9, total_steps=10)
    live = mlp[2].weight_mask.sum(dim=1, keepdim=True).clamp(min=1)
    expected = dense * mlp[2].weight_mask * ((32 / live).sqrt() if scaled else 1)
    assert torch.allclose(mlp[2].weight, expected)


def test_init_dense_leaves_the_weights_alone(mlp):
    dense = mlp[2].weight.detach().clone()
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.1)
    Sparsifier(mlp, optimizer, method="static", sparsity=0.9, total_steps=10, init="dense")
    assert torch.equal(mlp[2].weight, dense * mlp[2].weight_mask)


def accuracy(digits, init, seed, epochs=8):
    images, classes = digits
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    Sparsifier(
        model,
        optimizer,
        method="static",
        distribution="erk",
        sparsity=0.98,
        total_steps=22 * epochs,
        init=init,
        seed=seed,
    )
    order = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        for batch in torch.randperm(1408, generator=order).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), classes[batch]).backward()
            optimizer.step()
    return (model(images[1408:]).argmax(1) == classes[1408:]).float().mean().item()


@pytest.mark.parametrize("seed", [0, 1])
def test_a_very_sparse_network_trains_with_it_and_not_without(seed, digits):
    # Measured: about 0.9 with it and 0.2 without.
    assert accuracy(digits, "sparse", seed) > accuracy(digits, "dense", seed) + 0.3
