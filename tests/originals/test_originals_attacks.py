"""Attacks against foolbox, image by image from the same start, and AutoAttack against its package called directly."""

import eagerpy as ep
import foolbox
import numpy as np
import pyautoattack
import pytest
import torch
from torch import nn
from torch.nn import functional

from hsl.hardness import keyed
from hsl.hardness.attacks.attacks import Ball, pgd, pgd_margin, random_start
from hsl.hardness.attacks.robustness import STEPS, still_right

EPS = {"linf": 16 / 255, "l2": 0.5}
THEIRS = {"linf": foolbox.attacks.LinfPGD, "l2": foolbox.attacks.L2PGD}
AT_ONCE = {"linf": foolbox.attacks.LinfFastGradientAttack, "l2": foolbox.attacks.L2FastGradientAttack}


@pytest.fixture(scope="module")
def samples(digits):
    images = torch.from_numpy(digits[0]).float().view(-1, 1, 8, 8)
    return images, torch.from_numpy(digits[1]), torch.arange(len(images)) * 3 + 7


@pytest.fixture(scope="module")
def network(samples):
    """A convolutional network, trained for three epochs."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        for rows in torch.randperm(len(samples[0])).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(samples[0][rows]), samples[1][rows]).backward()
            optimizer.step()
    return model.eval()


def of_foolbox(network, images, labels, attack, eps, start=None):
    """Their images; with a start in place of the random one."""
    if start is not None:
        attack.random_start = True
        attack.get_random_start = lambda x0, _: ep.astensor(x0.raw + start)
    model = foolbox.PyTorchModel(network, bounds=(0, 1), device="cpu")
    _, moved, fooled = attack(model, images, labels, epsilons=eps)
    return moved, fooled


def compare(network, samples, norm, eps, steps, is_random, count):
    images, labels, ids = (part[:count] for part in samples)
    start = random_start(keyed.key(5, "start"), ids, (1, 8, 8), eps) if is_random else None
    if start is not None:
        start = Ball(images, eps, norm).bounded(start)
    attack = THEIRS[norm](rel_stepsize=STEPS[norm], steps=steps, random_start=False)
    theirs, fooled = of_foolbox(network, images, labels, attack, eps, start)
    ours = pgd(network, images, labels, eps=eps, step=eps * STEPS[norm], steps=steps, norm=norm, start=start)
    differs = (ours - theirs).abs().flatten(1).amax(dim=1) > 1e-5
    assert differs.float().mean() <= 0.01, "but where a slope is as small as rounding"
    ours_fooled = network(ours).argmax(dim=1) != labels
    assert int((ours_fooled != fooled).sum()) <= int(differs.sum())
    assert ours_fooled.float().mean() > 0
    reach = min(1, steps * STEPS["linf"]) if norm == "linf" else min(1, steps * STEPS["l2"]) / 8
    assert float((ours - images).abs().max()) > 0.9 * eps * reach


@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("is_random", [False, True])
def test_pgd_walks_as_foolbox_does(network, samples, norm, is_random):
    compare(network, samples, norm, EPS[norm], 20, is_random, 100)


@pytest.mark.slow
@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize("is_random", [False, True])
@pytest.mark.parametrize("size", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("steps", [1, 7, 50])
def test_pgd_walks_as_foolbox_does_on_all_digits(network, samples, norm, is_random, size, steps):
    compare(network, samples, norm, size * EPS[norm], steps, is_random, 1797)


@pytest.mark.parametrize("norm", EPS)
def test_fgsm_is_that_of_foolbox(network, samples, norm):
    images, labels, ids = (part[:300] for part in samples)
    _, fooled = of_foolbox(network, images, labels, AT_ONCE[norm](), EPS[norm])
    ours = still_right("fgsm", network, images, labels, ids, eps=EPS[norm], norm=norm)
    assert torch.equal(ours, ~fooled)
    assert 0.05 < fooled.float().mean() < 0.95


@pytest.mark.parametrize("norm", EPS)
def test_the_margin_is_that_of_carlini_and_wagner(network, samples, norm):
    """Foolbox's PGD on another loss, that of the paper: the largest other logit less that of the label."""
    images, labels, _ = (part[:100] for part in samples)

    def loss(model, classes):
        def of(x):
            logits = model(x)
            hot = ep.onehot_like(logits, classes)
            right = (logits * hot).sum(axis=-1)
            other = ep.where(hot.bool(), ep.full_like(logits, -1e9), logits).max(axis=-1)
            return (other - right).sum()

        return of

    attack = THEIRS[norm](rel_stepsize=STEPS[norm], steps=10, random_start=False)
    attack.get_loss_fn = loss
    theirs, _ = of_foolbox(network, images, labels, attack, EPS[norm])
    eps = EPS[norm]
    ours = pgd_margin(network, images, labels, eps=eps, step=eps * STEPS[norm], steps=10, norm=norm)
    differs = (ours - theirs).abs().flatten(1).amax(dim=1) > 1e-5
    assert differs.float().mean() <= 0.01


def compare_autoattack(network, samples, norm, eps, seed, count):
    """Its batch is the images that are right untouched; its seed is the only thing that hsl chooses."""
    images, labels, ids = (part[:count] for part in samples)
    right = network(images).argmax(dim=1) == labels
    chosen = keyed.key(seed, "autoattack") >> 32
    theirs = pyautoattack.AutoAttack(
        network, norm={"linf": "Linf", "l2": "L2"}[norm], eps=eps, seed=chosen, device="cpu"
    )
    with torch.random.fork_rng():
        _, found = theirs.run_standard_evaluation(images[right], labels[right], batch_size=int(right.sum()))
    expected = right.clone()
    expected[right] = found == labels[right]
    ours = still_right("autoattack", network, images, labels, ids, eps=eps, norm=norm, seed=seed)
    assert torch.equal(ours, expected)
    return ours.float().mean().item()


def test_autoattack_is_what_its_package_says(network, samples):
    """In a ball that no image withstands for long: the five thousand queries of Square would take minutes."""
    assert compare_autoattack(network, samples, "linf", 0.4, 0, 6) == 0


@pytest.mark.slow
@pytest.mark.parametrize("norm", EPS)
@pytest.mark.parametrize(("size", "seed"), [(1.5, 0), (2.0, 1)])
def test_autoattack_is_what_its_package_says_of_many_images(network, samples, norm, size, seed):
    """And no weaker than twenty steps of foolbox's PGD, image by image."""
    images, labels, _ = (part[:40] for part in samples)
    accuracy = compare_autoattack(network, samples, norm, size * EPS[norm], seed, 40)
    attack = THEIRS[norm](rel_stepsize=STEPS[norm], steps=20, random_start=False)
    _, fooled = of_foolbox(network, images, labels, attack, size * EPS[norm])
    assert accuracy <= 1 - np.mean(fooled.numpy()) + 1e-6
