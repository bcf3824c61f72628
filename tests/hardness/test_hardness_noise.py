import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hsl.errors import DataError
from hsl.hardness import keyed
from hsl.hardness.noise import symmetric

N = 20_000
KEY = keyed.key(1, "label_noise")


@pytest.mark.parametrize("rate", [0.1, 0.2, 0.4, 0.6])
def test_share_of_wrong_labels_is_the_rate(rate):
    labels = torch.arange(N) % 10
    noisy, is_wrong = symmetric(labels, torch.arange(N), rate, 10, KEY)
    assert torch.equal(is_wrong, noisy != labels)
    assert stats.binomtest(int(is_wrong.sum()), N, rate).pvalue > 1e-4


def test_every_other_class_is_equally_likely():
    labels = torch.full((N,), 3)
    noisy, is_wrong = symmetric(labels, torch.arange(N), 0.5, 5, KEY)
    counts = torch.bincount(noisy[is_wrong], minlength=5)
    assert counts[3] == 0
    assert stats.chisquare(counts[[0, 1, 2, 4]].numpy()).pvalue > 1e-4


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 2**64 - 1), st.randoms())
def test_what_happens_to_a_sample_depends_on_its_id_alone(classes, rate, key, random):
    ids = torch.tensor(random.sample(range(1000), 60))
    labels = ids % classes
    noisy, is_wrong = symmetric(labels, ids, rate, classes, key)
    part = torch.randperm(60)[:25]
    noisy_part, is_wrong_part = symmetric(labels[part], ids[part], rate, classes, key)
    assert torch.equal(noisy_part, noisy[part]) and torch.equal(is_wrong_part, is_wrong[part])
    assert noisy.min() >= 0 and noisy.max() < classes and torch.equal(is_wrong, noisy != labels)


def test_more_noise_adds_wrong_labels_and_takes_none_back():
    labels, ids = torch.arange(N) % 10, torch.arange(N)
    _, few = symmetric(labels, ids, 0.1, 10, KEY)
    _, many = symmetric(labels, ids, 0.4, 10, KEY)
    assert bool((many | ~few).all())


def test_wrong_input_is_refused():
    labels = torch.tensor([0, 1])
    with pytest.raises(DataError, match="at least 2 classes"):
        symmetric(labels * 0, labels, 0.1, 1, KEY)
    with pytest.raises(DataError, match="allowed is 0-2"):
        symmetric(labels + 3, labels, 0.1, 3, KEY)
