import numpy as np
import pytest
import torch
from scipy import special, stats

from hsl.errors import DataError
from hsl.hardness.attacks.losses import divergence, mart_loss, trades_loss


@pytest.fixture
def logits():
    values = np.random.default_rng(0).normal(0, 3, (2, 20, 5))
    return torch.from_numpy(values)


@pytest.fixture
def labels():
    return torch.arange(20) % 5


@pytest.mark.parametrize("beta", [0.0, 1.0, 6.0])
def test_trades_is_cross_entropy_and_divergence(logits, labels, beta):
    p, q = special.softmax(logits.numpy(), axis=2)
    entropy = -np.log(p[np.arange(20), labels]).mean()
    expected = entropy + beta * np.mean([stats.entropy(a, b) for a, b in zip(p, q, strict=True)])
    assert trades_loss(*logits, labels, beta).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 5.0])
def test_mart_is_the_mean_of_its_terms(logits, labels, beta):
    p, q = special.softmax(logits.numpy(), axis=2)
    terms = []
    for clean, attacked, y in zip(p, q, labels.tolist(), strict=True):
        wrong = max(value for k, value in enumerate(attacked) if k != y)
        boosted = -np.log(attacked[y]) - np.log(1.0001 - wrong)
        terms.append(boosted + beta * stats.entropy(clean, attacked) * (1 - clean[y]))
    assert mart_loss(*logits, labels, beta).item() == pytest.approx(np.mean(terms), rel=1e-5)


def test_equal_predictions_do_not_diverge(logits, labels):
    clean = logits[0]
    assert divergence(clean, clean).abs().max() == 0
    assert trades_loss(clean, clean, labels, 6.0) == trades_loss(clean, clean, labels, 0.0)
    assert bool((divergence(*logits) > 0).all())


@pytest.mark.parametrize("loss", [trades_loss, mart_loss])
def test_gradients_are_finite_where_the_model_is_sure(loss, labels):
    sure = torch.zeros(20, 5).index_put_((torch.arange(20), (labels + 1) % 5), torch.tensor(200.0))
    both = [sure.clone().requires_grad_(), (-sure).requires_grad_()]
    value = loss(*both, labels)
    value.backward()
    assert bool(torch.isfinite(value))
    assert all(bool(torch.isfinite(x.grad).all()) for x in both)


@pytest.mark.parametrize("loss", [trades_loss, mart_loss])
def test_wrong_shapes_are_refused(loss, logits, labels):
    with pytest.raises(DataError, match=r"shapes \[20, 5\], \[19, 5\], \[20\]"):
        loss(logits[0], logits[1, :19], labels)
    with pytest.raises(DataError, match="shapes"):
        loss(*logits, labels[:3])
