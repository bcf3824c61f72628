"""Every difficulty score against the formula of its paper, sample by sample, from one training that NumPy does itself.

A network with one hidden layer is trained by gradients written out by hand; its logits, features and per-sample
gradients go into the formulas as Python numbers in double precision, and as tensors in single precision into hsl.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from hsl.hardness import SCORES
from hsl.hardness.scores.trajectories import QUANTITIES

CLASSES, HIDDEN = 10, 24
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


class Network:
    """Weights of two layers with biases, and what follows from them; float64 throughout."""

    def __init__(self, seed):
        draw = np.random.default_rng(seed)
        self.parts = [
            draw.normal(0, 0.2, (64, HIDDEN)),
            np.zeros(HIDDEN),
            draw.normal(0, 0.3, (HIDDEN, CLASSES)),
            np.zeros(CLASSES),
        ]

    def forward(self, images):
        first, bias, second, last_bias = self.parts
        features = np.maximum(images @ first + bias, 0)
        return features, features @ second + last_bias

    def gradients(self, images, classes):
        """Of the summed cross-entropy, in the order of `parts`."""
        features, logits = self.forward(images)
        error = np.array([softmax(row) for row in logits]) - np.eye(CLASSES)[classes]
        hidden = (error @ self.parts[2].T) * (features > 0)
        return [images.T @ hidden, hidden.sum(0), features.T @ error, error.sum(0)]

    def as_torch(self):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, CLASSES))
        values = (self.parts[0].T, self.parts[1], self.parts[2].T, self.parts[3])
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), values, strict=True):
                parameter.copy_(torch.from_numpy(value))
        return model


def softmax(row):
    largest = max(row)
    powers = [math.exp(value - largest) for value in row]
    return [power / sum(powers) for power in powers]


class Run:
    """A training: the logits after every epoch [epochs, N, classes], and the network at its end."""

    def __init__(self, digits, count, epochs, seed, lr=0.3):
        self.images, self.classes = digits[0][:count], digits[1][:count].copy()
        draw = np.random.default_rng(seed)
        wrong = draw.random(count) < 0.1
        self.classes[wrong] = draw.integers(0, CLASSES, wrong.sum())
        self.network, history = Network(seed), []
        for _ in range(epochs):
            for rows in np.array_split(draw.permutation(count), max(1, count // 32)):
                gradients = self.network.gradients(self.images[rows], self.classes[rows])
                for part, gradient in zip(self.network.parts, gradients, strict=True):
                    np.subtract(part, lr * gradient / len(rows), out=part)
            history.append(self.network.forward(self.images)[1])
        self.history = np.stack(history)
        self.features, self.logits = self.network.forward(self.images)

    def rows(self):
        return zip(self.logits.tolist(), self.classes.tolist(), strict=True)

    def looks(self):
        """Of each sample its class and its logits after every epoch."""
        return zip(self.classes.tolist(), self.history.transpose(1, 0, 2).tolist(), strict=True)


def el2n(run):
    return [math.dist(softmax(z), [float(k == y) for k in range(CLASSES)]) for z, y in run.rows()]


def el2n_squared(run):
    return [sum((p - (k == y)) ** 2 for k, p in enumerate(softmax(z))) for z, y in run.rows()]


def loss(run):
    return [-math.log(softmax(z)[y]) for z, y in run.rows()]


def margin(run):
    return [max(p for k, p in enumerate(softmax(z)) if k != y) - softmax(z)[y] for z, y in run.rows()]


def entropy(run):
    return [-sum(p * math.log(p) for p in softmax(z) if p > 0) for z, _ in run.rows()]


def confidence(run):
    return [1 - max(softmax(z)) for z, _ in run.rows()]


def gradients_of(run, parts):
    norms = []
    for image, label in zip(run.images, run.classes, strict=True):
        gradients = run.network.gradients(image[None], [label])
        norms.append(math.sqrt(sum(float((gradients[i] ** 2).sum()) for i in parts)))
    return norms


def grand(run):
    return gradients_of(run, range(4))


def grand_last(run):
    return gradients_of(run, (2, 3))


def prototypicality(run):
    means = {y: run.features[run.classes == y].mean(axis=0) for y in set(run.classes.tolist())}
    return [math.dist(f, means[y]) for f, y in zip(run.features, run.classes.tolist(), strict=True)]


def is_right(logits, label):
    return logits.index(max(logits)) == label


def forgetting(run):
    """Toneva et al.: events of right, then wrong; what was never right counts as forgotten at every presentation."""
    counts = []
    for label, looks in run.looks():
        events, before, ever = 0, False, False
        for logits in looks:
            now = is_right(logits, label)
            events += before and not now
            before, ever = now, ever or now
        counts.append(events if ever else len(looks))
    return counts


def learning_speed(run):
    return [1 - sum(is_right(z, y) for z in looks) / len(looks) for y, looks in run.looks()]


def aum(run):
    """Pleiss et al.: the mean over the epochs of the assigned logit less the largest other, with its sign turned."""
    return [
        -sum(z[y] - max(v for k, v in enumerate(z) if k != y) for z in looks) / len(looks)
        for y, looks in run.looks()
    ]


def datamap_confidence(run):
    return [1 - sum(softmax(z)[y] for z in looks) / len(looks) for y, looks in run.looks()]


def datamap_variability(run):
    found = []
    for y, looks in run.looks():
        values = [softmax(z)[y] for z in looks]
        mean = sum(values) / len(values)
        found.append(math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)))
    return found


ORIGINALS = {
    original.__name__: original
    for original in (
        *(el2n, el2n_squared, loss, margin, entropy, confidence, grand, grand_last, prototypicality),
        *(forgetting, learning_speed, aum, datamap_confidence, datamap_variability),
    )
}


def ours(name, run):
    """The score of the registry, from what its facts say that it takes."""
    facts, labels = SCORES.facts(name), torch.from_numpy(run.classes)
    recorded = {
        "logits": torch.from_numpy(run.logits).float(),
        "labels": labels,
        "features": torch.from_numpy(run.features).float(),
        "model": run.network.as_torch(),
        "images": torch.from_numpy(run.images).float().view(-1, 1, 8, 8),
    }
    if facts.recorded == "trajectory":
        quantity = QUANTITIES[facts.arguments[0]]
        looks = torch.from_numpy(run.history).float()
        return SCORES[name](torch.stack([quantity(logits, labels) for logits in looks]))
    return SCORES[name](*(recorded[argument] for argument in facts.arguments))


@pytest.fixture(scope="module")
def run(digits):
    return Run(digits, 300, 8, seed=0)


@pytest.mark.parametrize("name", ORIGINALS)
def test_a_score_is_that_of_its_paper(name, run):
    expected = ORIGINALS[name](run)
    np.testing.assert_allclose(ours(name, run), expected, **TOLERANCE)
    assert np.ptp(expected) > 0.1, "samples differ"


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "lr"), [(1, 0.1), (2, 0.3), (3, 1.0)])
def test_scores_of_whole_trainings_are_those_of_their_papers(digits, seed, lr):
    """All digits, 40 epochs; the last until the network is sure of nearly all, where single precision is coarse."""
    long = Run(digits, 1797, 40, seed, lr)
    for name, original in ORIGINALS.items():
        np.testing.assert_allclose(ours(name, long), original(long), **TOLERANCE, err_msg=name)


def test_every_score_that_ranks_is_compared():
    assert set(ORIGINALS) == {name for name in SCORES if SCORES.facts(name).ranks}
