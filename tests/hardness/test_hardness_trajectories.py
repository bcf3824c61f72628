import numpy as np
import pytest
import torch
from scipy import special
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from hsl.errors import DataError
from hsl.hardness import keyed
from hsl.hardness.label_noise import symmetric
from hsl.hardness.scores.trajectories import (
    QUANTITIES,
    aum,
    correct,
    datamap_confidence,
    datamap_variability,
    forgetting,
    learning_speed,
    margins,
    probabilities,
)

OF_CORRECT = [forgetting, learning_speed]
OF_VALUES = [aum, datamap_confidence, datamap_variability]


@pytest.fixture
def values():
    return torch.from_numpy(np.random.default_rng(2).uniform(0, 1, (9, 40)))


def test_quantities_are_those_of_their_definitions():
    logits = torch.from_numpy(np.random.default_rng(1).normal(0, 3, (50, 7)))
    labels = torch.arange(50) % 7
    p = special.softmax(logits.numpy(), axis=1)
    rows = list(zip(logits.tolist(), p, labels.tolist(), strict=True))
    expected = [row[y] - max(z for k, z in enumerate(row) if k != y) for row, _, y in rows]
    np.testing.assert_allclose(margins(logits, labels), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(probabilities(logits, labels), [q[y] for _, q, y in rows], rtol=1e-5)
    assert correct(logits, labels).tolist() == [q.argmax() == y for _, q, y in rows]
    assert torch.equal(correct(logits, labels), margins(logits, labels) > 0)


@pytest.mark.parametrize("quantity", QUANTITIES.values())
def test_quantities_of_diverged_models_are_refused(quantity):
    logits = torch.full((3, 2), torch.nan)
    with pytest.raises(DataError, match="not finite"):
        quantity(logits, torch.tensor([0, 1, 1]))
    with pytest.raises(DataError, match="shapes"):
        quantity(torch.zeros(3, 2), torch.tensor([0]))


def test_forgetting_counts_falls_and_the_never_learnt_are_hardest():
    paths = {"1111": 0, "0001": 0, "1101": 1, "1010": 2, "0110": 1, "0000": 4}
    looks = torch.tensor([[bit == "1" for bit in path] for path in paths]).T
    assert forgetting(looks).tolist() == list(paths.values())
    assert learning_speed(looks).tolist() == [0, 0.75, 0.25, 0.5, 0.5, 1]


def test_means_and_deviations_are_those_of_numpy(values):
    array = values.numpy()
    np.testing.assert_allclose(aum(values - 0.5), 0.5 - array.mean(axis=0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(datamap_confidence(values), 1 - array.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(datamap_variability(values), array.std(axis=0), rtol=1e-5)


@pytest.mark.parametrize("score", [aum, datamap_confidence])
def test_higher_is_harder(score):
    sure = torch.linspace(0, 1, 9).repeat(4, 1)
    assert bool((score(sure).diff() < 0).all())


def test_higher_variability_is_more_ambiguous():
    swings = torch.stack([0.5 + torch.linspace(0, 0.5, 9), 0.5 - torch.linspace(0, 0.5, 9)])
    scores = datamap_variability(swings)
    assert bool((scores.diff() > 0).all())
    assert scores[-1] == 0.5
    learnt_at = torch.arange(6)[:, None] >= torch.arange(7)
    assert bool((learning_speed(learnt_at).diff() > 0).all())


@pytest.mark.parametrize("score", OF_CORRECT + OF_VALUES)
def test_every_score_is_finite_per_sample_in_the_precision_of_what_was_recorded(score, values):
    for recorded in (values.double(), values.float()):
        scores = score(recorded > 0.5 if score in OF_CORRECT else recorded)
        assert scores.dtype == (torch.float64 if score in OF_CORRECT else recorded.dtype)
    assert scores.shape == (40,)
    assert bool(torch.isfinite(scores).all())


@pytest.mark.parametrize("score", OF_CORRECT + OF_VALUES)
def test_wrong_trajectories_are_refused(score, values):
    looks = values > 0.5 if score in OF_CORRECT else values
    for wrong in (looks[0], looks[:0]):
        with pytest.raises(DataError, match=r"give \[T, N\] with T at least"):
            score(wrong)
    with pytest.raises(DataError, match=r"\[T, N\]"):
        score(values > 0.5 if score in OF_VALUES else values)
    if score in OF_VALUES:
        values[2, 3] = torch.nan
        with pytest.raises(DataError, match="not finite"):
            score(values)


@pytest.mark.parametrize("score", [forgetting, datamap_variability])
def test_one_look_shows_no_change(score, values):
    with pytest.raises(DataError, match="T at least 2"):
        score((values > 0.5 if score is forgetting else values)[:1])


@pytest.fixture(scope="module")
def noisy_run(digits):
    """Quantities of one model at the end of each of 15 epochs on digits, a tenth of them mislabelled."""
    labels, is_wrong = symmetric(digits[1], torch.arange(len(digits[1])), 0.1, 10, keyed.key(0))
    images, generator = digits[0].float() / 255, torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    looks = {name: [] for name in QUANTITIES}
    for _ in range(15):
        for batch in torch.randperm(len(labels), generator=generator).split(64):
            optimizer.zero_grad()
            functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
        with torch.no_grad():
            logits = model(images)
        for name, quantity in QUANTITIES.items():
            looks[name].append(quantity(logits, labels))
    return {name: torch.stack(values) for name, values in looks.items()}, is_wrong


@pytest.mark.parametrize(
    ("score", "quantity"),
    [
        (aum, "margins"),
        (datamap_confidence, "probabilities"),
        (learning_speed, "correct"),
        (forgetting, "correct"),
    ],
)
def test_wrong_labels_are_found(noisy_run, score, quantity):
    looks, is_wrong = noisy_run
    assert roc_auc_score(is_wrong, score(looks[quantity])) >= 0.97
