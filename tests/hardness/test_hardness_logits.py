from itertools import combinations

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import roc_auc_score

from hsl.errors import DataError
from hsl.hardness import SCORES, keyed
from hsl.hardness.label_noise import symmetric
from hsl.hardness.scores.logits import (
    confidence,
    el2n,
    el2n_squared,
    entropy,
    loss,
    margin,
    mean_over_models,
    random,
)
from hsl.hardness.selection import select


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


@pytest.fixture
def logits():
    return torch.from_numpy(np.random.default_rng(1).normal(0, 3, (50, 7)))


@pytest.fixture
def labels():
    return torch.arange(50) % 7


def test_el2n_is_the_distance_of_softmax_and_label(logits, labels):
    expected = np.linalg.norm(softmax(logits.numpy()) - np.eye(7)[labels.numpy()], ord=2, axis=1)
    np.testing.assert_allclose(el2n(logits, labels).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_loss_is_the_cross_entropy(logits, labels):
    expected = -np.log(softmax(logits.numpy())[np.arange(50), labels.numpy()])
    np.testing.assert_allclose(loss(logits, labels).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_el2n_of_sure_models_is_zero_or_root_two():
    sure = torch.tensor([[1000.0, 0.0], [1000.0, 0.0]])
    assert el2n(sure, torch.tensor([0, 1])).tolist() == pytest.approx([0, 2**0.5])


def test_random_is_uniform_and_follows_ids(logits, labels):
    ids = torch.arange(5000)
    scores = random(torch.empty(5000, 3), ids % 3, ids=ids, key=4)
    assert stats.kstest(scores.numpy(), "uniform").pvalue > 1e-4
    assert torch.equal(random(logits, labels, ids=ids[7:57], key=4), scores[7:57])
    assert torch.equal(random(logits, labels), random(logits, labels, ids=ids[:50]))


def test_el2n_squared_is_the_brier_score(logits, labels):
    expected = ((softmax(logits.numpy()) - np.eye(7)[labels.numpy()]) ** 2).sum(axis=1)
    np.testing.assert_allclose(el2n_squared(logits, labels).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_margin_entropy_and_confidence_are_those_of_the_softmax(logits, labels):
    p = softmax(logits.numpy())
    margins = [max(q for k, q in enumerate(row) if k != y) - row[y] for row, y in zip(p, labels, strict=True)]
    np.testing.assert_allclose(margin(logits, labels).numpy(), margins, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        entropy(logits, labels).numpy(), stats.entropy(p, axis=1), rtol=1e-4, atol=1e-6
    )
    np.testing.assert_allclose(confidence(logits, labels).numpy(), 1 - p.max(axis=1), rtol=1e-5, atol=1e-6)
    with pytest.raises(DataError, match="needs at least 2 classes, there are 1"):
        margin(logits[:, :1], labels * 0)


EXACT = {  # of the probability of the other classes over that of the label
    "loss": np.log1p,
    "confidence": lambda others: others / (1 + others),
}
OF_LOGITS = [name for name in SCORES if SCORES.facts(name).recorded == "logits"]


@pytest.mark.parametrize("name", OF_LOGITS)
def test_every_score_of_logits_is_finite_per_sample_in_double_precision(name, logits, labels):
    for values in (logits, logits.half(), logits.float(), logits * 100):
        scores = SCORES[name](values, labels)
        assert scores.dtype == (torch.float64 if SCORES.facts(name).ranks else torch.float32)
        assert scores.shape == labels.shape
        assert bool(torch.isfinite(scores).all())
        assert SCORES.facts(name).is_signed or scores.min() >= 0


@pytest.mark.parametrize("name", [name for name in OF_LOGITS if SCORES.facts(name).ranks])
class TestEveryScoreOfLogits:
    def test_higher_is_harder(self, name, logits, labels):
        # Where it does not look at the label, a score is higher for the less decided prediction.
        is_blind = torch.equal(SCORES[name](logits, labels), SCORES[name](logits, labels.roll(1)))
        lowest = 0 if is_blind else -4
        margins = torch.linspace(lowest, 4, 9)
        logits = torch.stack([margins, torch.zeros(9), torch.zeros(9)], dim=1)
        scores = SCORES[name](logits, torch.zeros(9, dtype=torch.long))
        assert bool((scores.diff() < 0).all())

    @pytest.mark.parametrize("bad", [float("nan"), float("inf")])
    def test_diverged_models_are_refused(self, name, logits, labels, bad):
        logits[3, 2] = bad
        with pytest.raises(DataError, match="not finite"):
            SCORES[name](logits, labels)

    def test_wrong_shapes_are_refused(self, name, logits, labels):
        with pytest.raises(DataError, match="shapes"):
            SCORES[name](logits, labels[:3])


SATURATED = torch.linspace(17, 36, 400)
"""Margins in nats of samples that are learnt long ago; 1 - 1e-16 is the largest float64 below 1."""


@pytest.mark.parametrize("name", [name for name in OF_LOGITS if SCORES.facts(name).ranks])
def test_samples_that_are_learnt_well_keep_their_order(name):
    """Against formulas without 1 - p, of three logits (m, 0, -1) whose label is the first."""
    logits = torch.stack([SATURATED, SATURATED * 0, SATURATED * 0 - 1], dim=1)
    labels = torch.zeros(len(logits), dtype=torch.long)
    scores = SCORES[name](logits.float(), labels)
    assert bool((scores.diff() <= 0).all())
    # The resolution of numbers below 1 is 1e-16: the last samples, at 1e-15 from it, may be equal to a neighbour.
    assert len(scores.unique()) > 0.75 * len(scores)
    if name in EXACT:
        m = logits[:, 0].float().double().numpy()
        expected = EXACT[name](np.exp(-m) + np.exp(-1 - m))
        np.testing.assert_allclose(scores.numpy(), expected, rtol=1e-4, atol=1e-15)


def test_single_precision_is_that_of_version_0_1(logits, labels):
    """The formulas of 0.1.0, in which everything beyond 16 nats is equal."""
    functional, single = torch.nn.functional, logits.float()
    p = functional.softmax(single, dim=1)
    right = functional.one_hot(labels, 7).bool()
    logs = functional.log_softmax(single, dim=1)
    former = {
        "el2n": torch.linalg.vector_norm(p - functional.one_hot(labels, 7), dim=1),
        "loss": functional.cross_entropy(single, labels, reduction="none"),
        "margin": p.masked_fill(right, 0).amax(dim=1) - p[right],
        "entropy": -(logs.exp() * logs).sum(dim=1),
        "confidence": 1 - p.amax(dim=1),
    }
    for name, expected in former.items():
        assert torch.equal(SCORES[name](single, labels, dtype=torch.float32), expected), name
    saturated = torch.stack([SATURATED, SATURATED * 0], dim=1)
    first = torch.zeros(len(saturated), dtype=torch.long)
    assert len(loss(saturated, first, dtype=torch.float32).unique()) < 5
    assert len(loss(saturated, first).unique()) > 300


def test_mean_over_models():
    scores = [torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.0])]
    assert mean_over_models(scores).tolist() == [0.5, 1.0]
    with pytest.raises(DataError, match="no scores"):
        mean_over_models([])
    with pytest.raises(DataError, match="not finite"):
        mean_over_models([torch.tensor([0.0, float("nan")])])


@pytest.fixture(scope="module")
def clean_scores(digits, trained):
    labels = digits[1]
    return [el2n(logits, labels) for logits in trained(labels, 3)]


def test_el2n_of_different_seeds_agree(clean_scores):
    for first, second in combinations(clean_scores, 2):
        assert stats.spearmanr(first, second).statistic >= 0.8


def test_el2n_and_loss_agree(digits, trained):
    logits = trained(digits[1], 1)[0]
    ranks = stats.spearmanr(el2n(logits, digits[1]), loss(logits, digits[1]))
    assert ranks.statistic >= 0.99


def test_el2n_finds_wrong_labels(digits, trained):
    ids = torch.arange(len(digits[1]))
    noisy, is_wrong = symmetric(digits[1], ids, 0.1, 10, keyed.key(0))
    scores = mean_over_models([el2n(logits, noisy) for logits in trained(noisy, 2)])
    assert roc_auc_score(is_wrong, scores) >= 0.97
    top = select(scores, noisy, ids, 0.1)
    assert is_wrong[top].float().mean() >= 0.85


def test_hardest_digits_are_skewed_unless_balanced(digits, clean_scores):
    labels, ids = digits[1], torch.arange(len(digits[1]))
    scores = mean_over_models(clean_scores)
    skewed = labels[select(scores, labels, ids, 0.3)].bincount()
    balanced = labels[select(scores, labels, ids, 0.3, class_balanced=True)].bincount()
    assert skewed.max() / skewed.min() >= 3
    assert balanced.max() / balanced.min() <= 1.1
    assert skewed.sum() == balanced.sum() == round(0.3 * len(ids))
