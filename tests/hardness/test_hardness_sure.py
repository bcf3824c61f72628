"""Attacks on networks that are very sure: the gradients are as small as float32 can hold, or smaller."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from hsl.hardness import ATTACKS
from hsl.hardness.attacks.attacks import Ball, pgd, pgd_odds
from hsl.hardness.attacks.robustness import is_right, still_right

GAPS = (1.0, 14.0, 30.0, 80.0, 150.0)
"""Nats by which the right logit leads: e^-17 is lost next to 1 in float32, e^-44 squared is 0, e^-104 is 0."""


def sure_network(gap: float, images: Tensor, labels: Tensor, classes: int) -> nn.Module:
    """A network with one hidden layer, whose logits are scaled so that the median lead of the right class is `gap`."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 24), nn.Tanh(), nn.Linear(24, classes))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()
    with torch.no_grad():
        model[3].weight.mul_(factor := gap / leads(model, images, labels).median())
        model[3].bias.mul_(factor)
    return model.eval()


def leads(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    logits = model(images)
    right = functional.one_hot(labels, logits.shape[1]).bool()
    return logits[right] - logits.masked_fill(right, -torch.inf).amax(1)


def in_double_precision(
    model: nn.Module, images: Tensor, labels: Tensor, norm: str, eps: float, steps: int
) -> Tensor:
    """Madry's attack in float64, image by image: a cross-entropy without cancellation, and no e^-700 in sight."""
    model, step = model.double(), eps / 4
    found = []
    for clean, label in zip(images.double(), labels, strict=True):
        image = clean.clone()
        for _ in range(steps):
            image.requires_grad_()
            logits = model(image[None])[0]
            loss = torch.log1p((torch.cat([logits[:label], logits[label + 1 :]]) - logits[label]).exp().sum())
            (gradient,) = torch.autograd.grad(loss, image)
            along = gradient.sign() if norm == "linf" else gradient / gradient.norm()
            change = image.detach() + step * along - clean
            in_l2 = change * min(1.0, eps / float(change.norm()))
            image = (clean + (change.clamp(-eps, eps) if norm == "linf" else in_l2)).clamp(0, 1)
        found.append(image.detach())
    model.float()
    return torch.stack(found).float()


@pytest.fixture(params=[2, 10], ids=["2-classes", "10-classes"])
def some(request, digits):
    chosen = digits[1] < request.param
    return digits[0][chosen][:200].float() / 255, digits[1][chosen][:200], request.param


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("gap", GAPS)
def test_attacks_go_where_those_in_double_precision_go(gap, norm, some):
    images, labels, classes = some
    model = sure_network(gap, images, labels, classes)
    images, labels = images[:40], labels[:40]
    eps = {"linf": 0.1, "l2": 1.0}[norm]
    expected = in_double_precision(model, images, labels, norm, eps, steps=5)
    assert not torch.equal(expected, images)
    found = pgd_odds(model, images, labels, eps=eps, step=eps / 4, steps=5, norm=norm)
    # A sign is that of rounding where a pixel matters nowhere, or where two classes pull in opposite directions.
    assert ((found - expected).abs() > 1e-4).float().mean() < 0.01
    with_rounding = pgd(model, images, labels, eps=eps, step=eps / 4, steps=5, norm=norm)
    assert torch.equal(with_rounding, found) == (gap == 1)


@pytest.mark.parametrize("gap", GAPS)
@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "fgsm_rs"])
def test_a_step_in_l2_has_its_length_however_small_the_gradient(name, gap, some):
    images, labels, classes = some
    model = sure_network(gap, images, labels, classes)
    start = 0.01 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    start = (images + start).clamp(0, 1) - images
    moved = ATTACKS[name](
        model, 0.5 + 0 * images, labels, eps=1.0, step=0.01, steps=1, norm="l2", start=start
    )
    lengths = (moved - 0.5 - start).flatten(1).norm(dim=1)
    is_there = lengths > 1e-6
    assert torch.allclose(lengths[is_there], torch.tensor(0.01), rtol=1e-3)
    # A divergence between two predictions that are both certain has no gradient: the image stays.
    assert is_there.all() or (name == "pgd_divergence" and gap > 10)


def test_a_direction_has_length_one_down_to_the_smallest_numbers():
    generator = torch.Generator().manual_seed(0)
    gradient = (
        torch.randn(60, 3, 8, 8, generator=generator) * 10.0 ** torch.arange(-38, 22)[:, None, None, None]
    )
    gradient[:2] = torch.tensor([0.0, torch.finfo(torch.float32).smallest_normal])[:, None, None, None]
    lengths = Ball(torch.zeros_like(gradient), 1.0, "l2").direction(gradient).flatten(1).norm(dim=1)
    assert lengths[0] == 0
    assert torch.allclose(lengths[1:], torch.ones(59), rtol=1e-3)
    large = gradient[18:50]  # from 1e-19 on
    before = large / torch.linalg.vector_norm(large, dim=(1, 2, 3), keepdim=True).clamp(min=1e-30)
    assert torch.equal(Ball(large, 1.0, "l2").direction(large), before)  # to the bit, as in version 0.1.0


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("measure", ["fgsm", "pgd20", "margin"])
def test_no_network_is_robust_for_being_sure(measure, norm, some):
    """The same network with logits scaled by a power of two makes the same errors, and so is as robust."""
    images, labels, classes = some
    ids, eps = torch.arange(len(labels)), {"linf": 0.15, "l2": 1.0}[norm]
    shares = []
    for gap in (2.0**2, 2.0**6, 2.0**8):
        model = sure_network(gap, images, labels, classes)
        assert is_right(model, images, labels).float().mean() > 0.95
        shares.append(
            still_right(measure, model, images, labels, ids, eps=eps, norm=norm).float().mean().item()
        )
    assert max(shares) - min(shares) <= (0.1 if classes == 10 else 0.01), shares


def test_a_network_that_returns_nan_is_right_about_nothing(some):
    images, labels, classes = some
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, classes))
    nn.init.constant_(model[1].weight, torch.nan)
    assert model(images).argmax(1).eq(0).all()
    assert not is_right(model, images, labels).any()
    ids = torch.arange(len(labels))
    assert not still_right("pgd20", model, images, labels, ids, eps=0.1).any()
