"""TRADES, MART and free adversarial training against their published formulas, with every gradient by hand in NumPy.

A network with one hidden layer, in double precision: its attack, its loss and the gradients of its weights follow the
papers' formulas, differentiated on paper. hsl does the same by autograd in single precision. An attack goes by signs;
so only images are compared on which no slope is as small as the rounding of single precision.
"""

import numpy as np
import pytest
import torch
from torch import nn

from hsl.hardness import Attack, keyed
from hsl.hardness.attacks.adversarial import training_loss
from hsl.hardness.attacks.losses import mart_loss, trades_loss

HIDDEN, CLASSES, EPS = 20, 10, 16 / 255


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def one_hot(labels):
    return np.eye(CLASSES)[labels]


def divergence(p, q):
    return (p * np.log(p / q)).sum(axis=1, keepdims=True)


def through_softmax(p, gradient):
    """Gradient of the logits from that of the probabilities."""
    return p * (gradient - (p * gradient).sum(axis=1, keepdims=True))


def trades(clean, moved, labels, beta):
    """Loss and its gradients by the logits of the clean and of the attacked images: CE(clean) + beta KL(p || q)."""
    p, q, n = softmax(clean), softmax(moved), len(labels)
    kl = divergence(p, q)
    value = -np.log(p[np.arange(n), labels]).mean() + beta * kl.mean()
    by_clean = (p - one_hot(labels)) + beta * through_softmax(p, np.log(p / q) + 1)
    return value, by_clean / n, beta * (q - p) / n


def mart(clean, moved, labels, beta):
    """BCE(attacked) + beta KL(p || q) (1 - p of the label); BCE adds -log(1.0001 - q of the likeliest wrong class)."""
    p, q, n, y = softmax(clean), softmax(moved), len(labels), one_hot(labels)
    wrong = one_hot((q - 2 * y).argmax(axis=1))
    of_wrong, doubt = (q * wrong).sum(axis=1, keepdims=True), 1 - (p * y).sum(axis=1, keepdims=True)
    kl = divergence(p, q)
    value = (
        -np.log((q * y).sum(axis=1, keepdims=True)) - np.log(1.0001 - of_wrong) + beta * kl * doubt
    ).mean()
    by_clean = beta * through_softmax(p, (np.log(p / q) + 1) * doubt - kl * y)
    by_moved = (q - y) + through_softmax(q, wrong / (1.0001 - of_wrong)) + beta * doubt * (q - p)
    return value, by_clean / n, by_moved / n


LOSSES = {"trades": (trades, trades_loss), "mart": (mart, mart_loss)}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
@pytest.mark.parametrize(
    ("count", "scale"), [(64, 2.0), *(pytest.param(2000, s, marks=pytest.mark.slow) for s in (0.1, 1.0, 5.0))]
)
def test_gradients_are_those_of_the_published_formula(name, beta, count, scale):
    """And the formula's derivative on paper is right: it agrees with differences of the formula."""
    literal, ours = LOSSES[name]
    draw = np.random.default_rng(count)
    both = draw.normal(0, scale, (2, count, CLASSES))
    labels = draw.integers(0, CLASSES, count)
    value, *expected = literal(*both, labels, beta)
    tensors = [torch.from_numpy(logits).requires_grad_() for logits in both]
    loss = ours(*tensors, torch.from_numpy(labels), beta)
    loss.backward()
    assert loss.item() == pytest.approx(value, rel=1e-5)
    # Of an image of which the model is sure 1.0001 - q is coarse in single precision, by 6e-8 of 1e-4.
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if scale <= 2 else {"rtol": 3e-3, "atol": 1e-4}
    for tensor, by_hand in zip(tensors, expected, strict=True):
        np.testing.assert_allclose(tensor.grad.numpy() * count, by_hand * count, **tolerance)
    for side in (0, 1):
        direction = draw.normal(size=both[side].shape)
        ends = []
        for sign in (1, -1):
            shifted = both.copy()
            shifted[side] += sign * 1e-5 * direction
            ends.append(literal(*shifted, labels, beta)[0])
        slope = (ends[0] - ends[1]) / 2e-5
        assert slope == pytest.approx((expected[side] * direction).sum(), rel=1e-4, abs=1e-7)


class Network:
    """Weights [64, hidden] and [hidden, classes] with biases, and gradients by hand."""

    def __init__(self, model):
        first, last = model[1], model[3]
        self.parts = [
            value.detach().double().numpy().T.copy()
            for value in (first.weight, first.bias, last.weight, last.bias)
        ]

    def forward(self, images):
        hidden = np.maximum(images @ self.parts[0] + self.parts[1], 0)
        return hidden, hidden @ self.parts[2] + self.parts[3]

    def backward(self, images, error):
        """Gradients of the weights, and of the images, from those of the logits."""
        hidden, _ = self.forward(images)
        inner = (error @ self.parts[2].T) * (hidden > 0)
        of_parts = [images.T @ inner, inner.sum(axis=0), hidden.T @ error, error.sum(axis=0)]
        return of_parts, inner @ self.parts[0].T


def made(seed):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))


def attacked(network, images, start, error_of, steps, step):
    """Images after sign steps in the ball, and the smallest slope of each image on the way."""
    x = np.clip(images + np.clip(start, -EPS, EPS), 0, 1)
    smallest = np.full(len(images), np.inf)
    for _ in range(steps):
        slopes = network.backward(x, error_of(network.forward(x)[1]))[1]
        smallest = np.minimum(smallest, np.abs(slopes).min(axis=1))
        x = np.clip(images + np.clip(x + step * np.sign(slopes) - images, -EPS, EPS), 0, 1)
    return x, smallest


def compare_training(name, digits, seed, steps, beta):
    model, labels = made(seed), digits[1]
    network, ids = Network(model), np.arange(len(labels))
    images = digits[0].astype(np.float32).astype(np.float64)
    start = 0.001 * keyed.normal(keyed.key(seed, "attack", 2), torch.from_numpy(ids), (1, 8, 8))
    p = softmax(network.forward(images)[1])
    ascended = {
        "trades": lambda logits: softmax(logits) - p,
        "mart": lambda logits: softmax(logits) - one_hot(labels),
    }[name]
    moved, smallest = attacked(network, images, start.flatten(1).double().numpy(), ascended, steps, 4 / 255)
    sure = (smallest > 1e-7).nonzero()[0]
    assert len(sure) >= 30
    x, moved, y = images[sure], moved[sure], labels[sure]
    value, by_clean, by_moved = LOSSES[name][0](network.forward(x)[1], network.forward(moved)[1], y, beta)
    expected = [
        a + b
        for a, b in zip(network.backward(x, by_clean)[0], network.backward(moved, by_moved)[0], strict=True)
    ]
    attack = Attack.model_validate({"name": name, "eps": EPS, "step": 4 / 255, "steps": steps, "beta": beta})
    given = torch.from_numpy(x).float().view(-1, 1, 8, 8), torch.from_numpy(y), torch.from_numpy(sure)
    _, loss = training_loss(attack, seed)(model, *given, 2)
    loss.backward()
    assert loss.item() == pytest.approx(value, rel=1e-5)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        np.testing.assert_allclose(parameter.grad.numpy().T, gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_a_training_step_attacks_and_learns_as_published(name, digits):
    compare_training(name, (digits[0][:300], digits[1][:300]), seed=0, steps=5, beta=6.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beta", [1.0, 6.0])
def test_training_steps_of_the_published_length(name, digits, seed, beta):
    compare_training(name, digits, seed, steps=10, beta=beta)


def compare_free(digits, seed, replays, epochs, lr=0.1, step=EPS, size=50):
    """Free training (Shafahi et al., algorithm 1): each gradient moves weights and perturbation, which lasts."""
    model, classes = made(seed), digits[1]
    network, images = Network(model), digits[0].astype(np.float32).astype(np.float64)
    attack = Attack.model_validate({"name": "free", "eps": EPS, "step": step, "replays": replays})
    free = training_loss(attack, seed)
    assert free.replays == replays
    optimizer = torch.optim.SGD(model.parameters(), lr)
    for _ in range(epochs):
        free.begin_epoch()
        noise = np.zeros((size, 64))
        for first in range(0, len(classes), size):
            x, y = images[first : first + size], classes[first : first + size]
            for _ in range(replays):
                shifted = x + noise[: len(x)]
                seen = np.clip(shifted, 0, 1)
                error = (softmax(network.forward(seen)[1]) - one_hot(y)) / len(y)
                of_parts, slopes = network.backward(seen, error)
                slopes = slopes * ((shifted >= 0) & (shifted <= 1))
                noise[: len(x)] = np.clip(noise[: len(x)] + step * np.sign(slopes), -EPS, EPS)
                for part, gradient in zip(network.parts, of_parts, strict=True):
                    np.subtract(part, lr * gradient, out=part)
                given = (
                    torch.from_numpy(x).float().view(-1, 1, 8, 8),
                    torch.from_numpy(y),
                    torch.arange(len(y)),
                )
                optimizer.zero_grad()
                free(model, *given, 1)[1].backward()
                optimizer.step()
    for parameter, part in zip(model.parameters(), network.parts, strict=True):
        np.testing.assert_allclose(parameter.detach().numpy().T, part, rtol=1e-3, atol=2e-5)


def off_the_bounds(digits, count):
    """Pixels from 0.03 to 0.97: a perturbation brings them beyond 0 and 1, but never to 0 or 1 exactly."""
    return 0.03 + 0.94 * digits[0][:count], digits[1][:count]


def test_free_training_is_that_of_its_authors(digits):
    """But for the end of an epoch, where theirs keeps the perturbation and ours starts from none."""
    compare_free(off_the_bounds(digits, 230), seed=0, replays=4, epochs=2)


def test_free_training_perturbs_black_and_white_pixels(digits):
    """PyTorch let the gradient through clamp at 0 and 1 from pull request 7049 (2018) to 191142 (2026)."""
    compare_free((digits[0][:230], digits[1][:230]), seed=0, replays=4, epochs=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("replays", [2, 8])
def test_free_training_through_more_epochs(digits, seed, replays):
    compare_free(off_the_bounds(digits, 400), seed, replays, epochs=3, step=EPS / 4)
