import copy

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from hsl.errors import DataError
from hsl.hardness import keyed
from hsl.hardness.label_noise import symmetric
from hsl.hardness.scores.gradients import grand, grand_last, prototypicality


def network(bias=True):
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 5, bias=bias)
        )


@pytest.fixture
def images():
    return torch.rand(23, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def labels():
    return torch.arange(23) % 5


def norms_one_by_one(model, images, labels, parameters):
    norms = []
    for image, label in zip(images, labels, strict=True):
        loss = functional.cross_entropy(model(image[None]), label[None])
        gradients = torch.autograd.grad(loss, parameters)
        norms.append(torch.cat([g.flatten() for g in gradients]).double().norm().item())
    return norms


def test_grand_is_the_norm_of_each_gradient(images, labels):
    model = network().eval()
    expected = norms_one_by_one(model, images, labels, list(model.parameters()))
    np.testing.assert_allclose(grand(model, images, labels, chunk=5), expected, rtol=1e-5)
    np.testing.assert_allclose(grand(model, images, labels), expected, rtol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_the_closed_form_is_the_gradient_of_the_last_layer(images, labels, bias):
    model = network(bias).eval()
    with torch.no_grad():
        features = model[:4](images)
        closed = grand_last(model[4](features), labels, features, bias=bias)
    expected = norms_one_by_one(model, images, labels, list(model[4].parameters()))
    np.testing.assert_allclose(closed, expected, rtol=1e-5)
    last = copy.deepcopy(model)
    for parameter in last[:4].parameters():
        parameter.requires_grad_(False)
    np.testing.assert_allclose(grand(last, images, labels), closed, rtol=1e-5)


def test_a_linear_model_has_both_in_common(images, labels):
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    with torch.no_grad():
        closed = grand_last(model(images), labels, images.flatten(1))
    np.testing.assert_allclose(grand(model, images, labels), closed, rtol=1e-5)


def test_the_model_is_left_as_it_was(images, labels):
    model = network().train()
    model[0].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    before, flags = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    grand(model, images, labels)
    assert [m.training for m in model.modules()] == flags
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(bool((p.grad == 1).all()) for p in model.parameters())


def test_higher_is_harder():
    margins = torch.linspace(-4, 4, 9)
    logits = torch.stack([margins, torch.zeros(9)], dim=1)
    labels, features = torch.zeros(9, dtype=torch.long), torch.ones(9, 3)
    assert bool((grand_last(logits, labels, features).diff() < 0).all())
    angles = torch.linspace(torch.pi, 0, 9)
    directions = torch.stack([angles.cos(), angles.sin()], dim=1).view(9, 1, 1, 2)
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    model[1].weight.data = torch.tensor([[3.0, 0.0], [-3.0, 0.0]])
    assert bool((grand(model, directions, labels).diff() < 0).all())


def test_prototypicality_is_the_distance_to_the_mean_of_the_class():
    features = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (30, 6))).float()
    labels = torch.tensor([0, 2, 5] * 10)
    means = {y: features.numpy()[labels == y].mean(axis=0) for y in (0, 2, 5)}
    expected = [np.linalg.norm(f - means[y]) for f, y in zip(features.numpy(), labels.tolist(), strict=True)]
    np.testing.assert_allclose(prototypicality(features, labels), expected, rtol=1e-5)
    far = torch.tensor([[0.0], [0.0], [0.0], [1.0], [5.0]])
    scores = prototypicality(far, torch.zeros(5, dtype=torch.long))
    assert scores.argmax() == 4
    assert torch.equal(prototypicality(far[:0], labels[:0]), torch.zeros(0))


def test_wrong_labels_are_found(digits, trained):
    images, ids = digits[0].float() / 255, torch.arange(len(digits[1]))
    noisy, is_wrong = symmetric(digits[1], ids, 0.1, 10, keyed.key(0))
    assert roc_auc_score(is_wrong, prototypicality(images.flatten(1), noisy)) >= 0.9
    logits = trained(noisy, 1)[0]
    assert roc_auc_score(is_wrong, grand_last(logits, noisy, images.flatten(1))) >= 0.97


def test_wrong_input_is_refused(images, labels):
    with pytest.raises(DataError, match=r"shapes \[23, 1, 8, 8\] and \[3\]"):
        grand(network(), images, labels[:3])
    with pytest.raises(DataError, match="features and labels have shapes"):
        prototypicality(images, labels)
    with pytest.raises(DataError, match="features and labels have shapes"):
        grand_last(torch.zeros(23, 5), labels, torch.zeros(22, 4))
    with pytest.raises(DataError, match="a feature is not finite"):
        prototypicality(torch.full((23, 2), torch.nan), labels)
    broken = network()
    broken[4].weight.data.fill_(torch.nan)
    with pytest.raises(DataError, match="a gradient is not finite"):
        grand(broken, images, labels)
    empty = grand(network(), images[:0], labels[:0])
    assert empty.shape == (0,)
    assert empty.dtype == torch.float64
