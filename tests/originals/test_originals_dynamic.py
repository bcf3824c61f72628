"""Methods that move their non-zeros, against the arithmetic of their authors' code, in NumPy.

RigL: ``rigl/sparse_optimizers_base.py`` of google-research/rigl. As there, weights are kept unmasked and multiplied by
the mask, an update takes the place of the optimizer step, numbers are floored in single precision, a new connection
starts at zero with zero momentum, and one that is dropped and grown at once (reinit_when_same=False) stays as it is.
Three things of that code are left out on purpose: the noise of 1e-5 on the drop scores (it can keep a pruned weight
in place of an active one of value zero); its counter, which does not move in an update (the paper's algorithm 1
counts updates among the steps); the update at step 0. SET: ``set_mlp_keras_cifar10.py`` of its authors.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from hsl.sparsity import Sparsifier
from hsl.sparsity.schedules import cosine_drop_fraction

BATCH = 32
LR, MOMENTUM, DECAY = 0.2, 0.9, 1e-4


def cosine_decay(initial, step, decay_steps):
    """`tf.train.cosine_decay` with alpha 0, in single precision."""
    completed = np.float32(min(step, decay_steps)) / np.float32(decay_steps)
    return np.float32(initial) * np.float32(0.5) * (np.float32(1) + np.cos(np.float32(math.pi) * completed))


def best(scores, n):
    """Places of the n largest, of equal ones the first, as `top_k` of TensorFlow."""
    return np.argsort(-scores, kind="stable")[:n]


class Connections:
    """Weights of one layer [inputs, outputs], their mask and their momentum, as the optimizer keeps them."""

    def __init__(self, weights, mask):
        self.weights, self.mask = weights.copy(), mask.copy()
        self.momentum = np.zeros_like(weights)

    @property
    def masked(self):
        return self.weights * self.mask

    def step(self, gradient, nesterov):
        gradient = gradient * self.mask + DECAY * self.weights
        self.momentum = MOMENTUM * self.momentum + gradient
        self.weights -= LR * (gradient + MOMENTUM * self.momentum if nesterov else self.momentum)

    def update(self, gradient, fraction):
        before, ones = self.mask.ravel() == 1, int(self.mask.sum())
        pruned = int(np.float32(ones) * fraction)
        drop = np.where(before, np.abs(self.masked).ravel(), -1)
        kept = np.zeros_like(before)
        kept[best(drop, ones - pruned)] = True
        grow = np.abs(gradient).ravel()
        grown = np.zeros_like(before)
        grown[best(np.where(kept, grow.min() - 1, grow), pruned)] = True
        new = (grown & ~before).reshape(self.mask.shape)
        self.weights[new] = self.momentum[new] = 0
        self.mask = (kept | grown).astype(float).reshape(self.mask.shape)


def gradients(layers, images, classes):
    """Gradients of the mean cross-entropy of a network with one hidden layer, by the masked weights."""
    first, second = (layer.masked for layer in layers)
    hidden = np.maximum(images @ first, 0)
    logits = hidden @ second
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    error = (p / p.sum(axis=1, keepdims=True) - np.eye(10)[classes]) / len(classes)
    return images.T @ ((error @ second.T) * (hidden > 0)), hidden.T @ error


def batches(digits, steps, seed):
    images, classes = digits
    draw = np.random.default_rng(seed)
    for _ in range(steps):
        rows = draw.integers(0, len(classes), BATCH)
        yield images[rows], classes[rows]


def made(seed, method, sparsity, steps, nesterov=False, hidden=32, **hyperparameters):
    """A network in double precision, its optimizer under a sparsifier, and the same as arrays."""
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(64, hidden, bias=False), nn.ReLU(), nn.Linear(hidden, 10, bias=False))
    model.double()
    optimizer = torch.optim.SGD(model.parameters(), LR, MOMENTUM, weight_decay=DECAY, nesterov=nesterov)
    Sparsifier(
        model, optimizer, method=method, sparsity=sparsity, total_steps=steps, seed=seed,
        hyperparameters=hyperparameters,
    )  # fmt: skip
    linear = [model[0], model[2]]
    arrays = [
        Connections(layer.weight.detach().numpy().T, layer.weight_mask.numpy().T.astype(float))
        for layer in linear
    ]
    return model, optimizer, linear, arrays


def train_step(model, optimizer, images, classes):
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(torch.from_numpy(images)), torch.from_numpy(classes)).backward()
    optimizer.step()


def compare_rigl(digits, seed, sparsity, steps, nesterov, interval, drop_fraction, until):
    model, optimizer, linear, theirs = made(
        seed, "rigl", sparsity, steps, nesterov,
        interval=interval / steps, drop_fraction=drop_fraction, until=until / steps,
    )  # fmt: skip
    moved = 0
    for step, (images, classes) in enumerate(batches(digits, steps, seed)):
        train_step(model, optimizer, images, classes)
        is_update = 0 < step < until and step % interval == 0
        for layer, gradient in zip(theirs, gradients(theirs, images, classes), strict=True):
            if is_update:
                before = layer.mask
                layer.update(gradient, cosine_decay(drop_fraction, step, until))
                moved += int(np.abs(layer.mask - before).sum())
            else:
                layer.step(gradient, nesterov)
        for ours, layer in zip(linear, theirs, strict=True):
            assert np.array_equal(ours.weight_mask.numpy().T, layer.mask == 1), f"step {step}"
            if not is_update and step + 1 < steps:
                continue
            np.testing.assert_allclose(ours.weight.detach().numpy().T, layer.masked, rtol=1e-6, atol=1e-9)
            buffer = optimizer.state[ours.weight]["momentum_buffer"].numpy().T
            np.testing.assert_allclose(buffer, layer.momentum * layer.mask, rtol=1e-6, atol=1e-9)
    return moved


def test_rigl_is_that_of_its_authors(digits):
    assert compare_rigl(digits, 0, 0.8, 200, False, 12, 0.3, 151) > 1000


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sparsity", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize(
    ("interval", "drop_fraction", "until"), [(10, 0.3, 451), (37, 0.5, 600), (100, 0.9, 451)]
)
def test_rigl_is_that_of_its_authors_through_long_trainings(
    digits, seed, sparsity, nesterov, interval, drop_fraction, until
):
    assert compare_rigl(digits, seed, sparsity, 600, nesterov, interval, drop_fraction, until) > 20


@pytest.mark.parametrize(
    "ends", [(25_000,), pytest.param((75_000, 100_000, 1_407_600), marks=pytest.mark.slow)], ids=str
)
def test_the_drop_fraction_is_the_cosine_decay_of_tensorflow(ends):
    """Up to single precision, in which the counts differ by at most one of a million non-zeros."""
    for end in ends:
        for step in range(0, end + 1, 97):
            theirs = cosine_decay(0.3, step, end)
            ours = cosine_drop_fraction(step, 0.3, end)
            assert ours == pytest.approx(float(theirs), abs=1e-7)
            assert abs(int(np.float32(1_000_000) * theirs) - int(1_000_000 * ours)) <= 1


def set_core(weights, zeta):
    """Which weights the authors of SET keep before they grow: sorted with all the zeros, cut at two values."""
    values = np.sort(weights.ravel())
    first_zero = np.abs(values).argmin()
    after_zeros = len(values) - np.abs(values)[::-1].argmin()
    lowest = values[int((1 - zeta) * first_zero)]
    highest = values[min(len(values) - 1, int(after_zeros + zeta * (len(values) - after_zeros)))]
    return (weights > highest) | (weights < lowest)


def compare_set(digits, seed, sparsity, zeta, steps, interval):
    model, optimizer, linear, _ = made(
        seed, "set", sparsity, steps, interval=interval / steps, drop_fraction=zeta, until=1.0
    )
    regrown = [np.zeros(0)] * 2
    for step, (images, classes) in enumerate(batches(digits, steps, seed)):
        before = [
            (layer.weight.detach().numpy().copy(), layer.weight_mask.numpy().copy()) for layer in linear
        ]
        train_step(model, optimizer, images, classes)
        if step == 0 or step % interval:
            continue
        for i, (layer, (weights, was_active)) in enumerate(zip(linear, before, strict=True)):
            active, core = layer.weight_mask.numpy(), set_core(weights, zeta)
            assert active.sum() == was_active.sum()
            # They cut at the value of a weight, and that weight falls as well: one more of each sign at most.
            lost = core & ~active
            assert not lost.any(), (step, weights[lost])
            zeros = (was_active & (weights == 0)).sum()
            fell = was_active.sum() - int(zeta * was_active.sum())
            assert 0 <= fell - core.sum() <= 2 + zeros
            new = active & ~was_active
            assert not layer.weight.detach().numpy()[new].any()
            assert np.array_equal(layer.weight.detach().numpy()[core], weights[core])
            regrown[i] = np.append(regrown[i], new.sum() / (active & ~core).sum())
    return regrown


def test_set_drops_what_its_authors_drop(digits):
    compare_set(digits, 0, 0.8, 0.3, 60, 6)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("sparsity", [0.5, 0.8, 0.95])
@pytest.mark.parametrize("zeta", [0.1, 0.3, 0.5])
def test_set_drops_what_its_authors_drop_through_long_trainings(digits, seed, sparsity, zeta):
    """And grows at random among all that is not kept: of the larger layer, most of it is new."""
    shares = compare_set(digits, seed, sparsity, zeta, 500, 10)
    assert shares[0].mean() > 0.3
