"""Initialisation for the first mask: the factors, the defaults of methods, and that networks begin and train well."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from hsl.errors import MethodError
from hsl.sparsity import METHODS, Sparsifier
from hsl.sparsity.init import INITS, READ_LOSS, energy, live_fan_in
from hsl.sparsity.methods.weight_scores import CRITERIA


def test_every_unit_is_scaled_by_its_own_fan_in():
    mask = torch.tensor([[1, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]], dtype=torch.bool)
    factors = live_fan_in(torch.ones(3, 4), mask)
    assert (factors * mask).tolist() == [[2, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 0]]


def test_outputs_keep_the_variance_of_the_dense_layer():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(400, 50, 3, 3, generator=generator) / 450**0.5
    mask = torch.rand(weight.shape, generator=generator) < 0.05
    inputs = torch.randn(450, 400, generator=generator)
    assert (weight.flatten(1) @ inputs).var() == pytest.approx(1, rel=0.02)
    for factors, tolerance in ((live_fan_in, 0.05), (energy, 0.05)):
        sparse = weight * mask * factors(weight, mask)
        assert (sparse.flatten(1) @ inputs).var() == pytest.approx(1, rel=tolerance)


NUMBERS = st.one_of(st.just(0.0), st.floats(-2, 2, width=16), st.floats(-(2.0**-12), 2.0**-12, width=16))


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
@settings(max_examples=25, deadline=None)
@given(data=st.data(), inputs=st.integers(1, 6))
def test_energy_keeps_the_norm_of_a_unit_unless_too_little_is_left(dtype, data, inputs):
    row = torch.tensor([data.draw(st.lists(NUMBERS, min_size=inputs, max_size=inputs))], dtype=dtype)
    mask = torch.tensor([data.draw(st.lists(st.booleans(), min_size=inputs, max_size=inputs))])
    factor = energy(row, mask)
    kept = (row * mask).double().norm().item()
    norm = row.double().norm().item()
    expected = 1.0 if norm == 0 else inputs**0.5 if kept == 0 else min(norm / kept, inputs**0.5)
    assert factor.dtype == dtype
    assert factor.tolist() == [[pytest.approx(expected, rel=2e-3 if dtype == torch.float16 else 1e-6)]]


def kind_of(method):
    """Criterion of its first mask; "random" of those that begin dense as well, which are not scaled."""
    moment = METHODS[method].moment
    return getattr(moment, "criterion", "random") if moment.starts_sparse else "random"


@pytest.mark.parametrize("method", METHODS)
def test_the_kind_of_the_first_mask_decides_the_default(method):
    entry = METHODS[method]
    assert entry.init == CRITERIA.facts(kind_of(method)).init
    assert entry.init in INITS


def test_a_loss_is_asked_for_by_those_that_read_it(mlp):
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.1)
    given = {"method": "snip", "sparsity": 0.9}
    for init in READ_LOSS:
        with pytest.raises(MethodError, match="give loss="):
            Sparsifier(mlp, optimizer, init=init, **given)
    assert Sparsifier(mlp, optimizer, **given).init == "dense"


class Fire(nn.Module):
    """A module of SqueezeNet (Iandola et al. 2016, arXiv:1602.07360)."""

    def __init__(self, inputs, squeezed, expanded):
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.one, self.three = nn.Conv2d(squeezed, expanded, 1), nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, images):
        squeezed = self.squeeze(images).relu()
        return torch.cat([self.one(squeezed), self.three(squeezed)], dim=1).relu()


def plain():
    widths = (16, 32, 32, 48, 48, 64)
    layers = [nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.ReLU()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def squeezenet():
    return nn.Sequential(
        *(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 32, 3, stride=2, padding=1), nn.ReLU()),
        *(Fire(32, 8, 32), Fire(64, 8, 32), Fire(64, 16, 48), Fire(96, 16, 48)),
        *(nn.Conv2d(96, 10, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )


def of_torchvision():
    models = pytest.importorskip("torchvision.models")
    larger = nn.Upsample(scale_factor=4)
    network = models.squeezenet1_1(num_classes=10)
    network.features[0] = nn.Conv2d(1, 64, 3, stride=2)
    network.classifier[0] = nn.Identity()  # no dropout: one loss
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), larger, network)


def first_losses(make, digits, method, sparsity, **options):
    """Loss before the first step, dense and sparse, without batch normalisation."""
    images, classes = digits[0][:128], digits[1][:128]
    torch.manual_seed(0)
    model = make()
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)

    def loss(network):
        return functional.cross_entropy(network(images), classes)

    with torch.no_grad():
        dense = loss(model).item()
        asked = {"method": method, "sparsity": sparsity, "total_steps": 10, "loss": loss}
        Sparsifier(model, torch.optim.SGD(model.parameters(), lr=0.1), **asked, **options)
        return dense, loss(model).item()


@pytest.mark.parametrize("method", ["snip", "grasp", "static"])
def test_signal_keeps_the_outputs_of_every_layer_as_large_as_they_were(method, digits):
    """An independent pass by hand, layer after layer, of a network without biases."""
    torch.manual_seed(0)
    images, classes = digits[0][:128], digits[1][:128]
    sizes = (64, 48, 48, 48, 10)
    model = nn.Sequential(*(nn.Linear(*pair, bias=False) for pair in pairwise(sizes)))

    def outputs():
        values, found = images, []
        for layer in model:
            values = values @ layer.weight.T
            found.append(values.square().mean().sqrt().item())
        return found

    dense = outputs()
    asked = {"method": method, "sparsity": 0.8, "total_steps": 10, "init": "signal"}
    loss = {"loss": lambda network: functional.cross_entropy(network(images), classes)}
    with torch.no_grad():
        Sparsifier(model, torch.optim.SGD(model.parameters(), lr=0.1), **asked, **loss)
        assert outputs() == pytest.approx(dense, rel=1e-4)


STARTING = [name for name in METHODS if METHODS[name].starts_sparse and not METHODS[name].needs_parent]
FIRST_OF_KIND = list({kind_of(name): name for name in reversed(STARTING)}.values())
OPTIONS = {"synflow": {"hyperparameters": {"rounds": 10}}}


@pytest.mark.parametrize("sparsity", [0.8, 0.98])
@pytest.mark.parametrize("make", [plain, squeezenet])
@pytest.mark.parametrize(
    "method",
    [pytest.param(name, marks=[] if name in FIRST_OF_KIND else pytest.mark.slow) for name in STARTING],
)
def test_no_network_diverges_at_its_first_step(method, make, sparsity, digits):
    dense, sparse = first_losses(make, digits, method, sparsity, **OPTIONS.get(method, {}))
    assert sparse < 1.5 * dense


@pytest.mark.slow
@pytest.mark.parametrize("sparsity", [0.8, 0.9, 0.95, 0.98])
@pytest.mark.parametrize("method", FIRST_OF_KIND)
def test_nor_does_squeezenet(method, sparsity, digits):
    dense, sparse = first_losses(of_torchvision, digits, method, sparsity, **OPTIONS.get(method, {}))
    assert sparse < 1.5 * dense


def test_the_live_fan_in_alone_lets_them_diverge(digits):
    dense, sparse = first_losses(plain, digits, "snip", 0.98, init="sparse")
    assert sparse > 10 * dense


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
