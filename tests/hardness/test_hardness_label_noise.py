import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hsl.errors import DataError
from hsl.hardness import LABEL_NOISES, keyed
from hsl.hardness.label_noise import asymmetric, detection_auroc, pair, permutation, symmetric

N = 20_000
KEY = keyed.key(1, "label_noise")
CIFAR10 = {9: 1, 2: 0, 4: 7, 3: 5, 5: 3}
BY_ID_ALONE = [symmetric, pair, asymmetric]


def options(kind, mapping=CIFAR10):
    return {"mapping": tuple(mapping.items())} if kind is asymmetric else {}


@pytest.fixture(scope="module")
def labels():
    return torch.arange(N) % 10


@pytest.mark.parametrize("kind", [symmetric, pair])
@pytest.mark.parametrize("rate", [0.1, 0.2, 0.45, 0.6])
def test_share_of_wrong_labels_is_the_rate(kind, rate, labels):
    noisy, is_wrong = kind(labels, torch.arange(N), rate, 10, KEY)
    assert torch.equal(is_wrong, noisy != labels)
    assert stats.binomtest(int(is_wrong.sum()), N, rate).pvalue > 1e-4


def test_every_other_class_is_equally_likely():
    labels = torch.full((N,), 3)
    noisy, is_wrong = symmetric(labels, torch.arange(N), 0.5, 5, KEY)
    counts = torch.bincount(noisy[is_wrong], minlength=5)
    assert counts[3] == 0
    assert stats.chisquare(counts[[0, 1, 2, 4]].numpy()).pvalue > 1e-4


def transitions(labels, noisy):
    """Share of each pair of classes among the samples of the right one."""
    counts = np.zeros((10, 10))
    np.add.at(counts, (labels.numpy(), noisy.numpy()), 1)
    return counts / counts.sum(axis=1, keepdims=True)


def test_pair_and_asymmetric_noise_have_their_transition_matrices(labels):
    ids = torch.arange(N)
    next_class, mistaken = 0.8 * np.eye(10), np.eye(10)
    for right in range(10):
        next_class[right, (right + 1) % 10] = 0.2
    for right, wrong in CIFAR10.items():
        mistaken[right, right], mistaken[right, wrong] = 0.6, 0.4
    found = transitions(labels, pair(labels, ids, 0.2, 10, KEY)[0])
    np.testing.assert_allclose(found, next_class, atol=5 * (0.2 * 0.8 / 2000) ** 0.5)
    found = transitions(labels, asymmetric(labels, ids, 0.4, 10, KEY, mapping=CIFAR10.items())[0])
    np.testing.assert_allclose(found, mistaken, atol=5 * (0.4 * 0.6 / 2000) ** 0.5)
    assert ((found > 0) == (mistaken > 0)).all()


@pytest.mark.parametrize("rate", [0.1, 0.5, 1.0])
def test_permutation_keeps_the_number_of_samples_of_every_class(rate):
    labels = (torch.arange(N) % 55).sqrt().long()  # classes of different sizes
    noisy, is_wrong = permutation(labels, torch.arange(N), rate, 8, KEY)
    assert torch.equal(noisy.bincount(), labels.bincount())
    shares = labels.bincount() / N
    expected = rate * float(1 - shares.square().sum())
    assert is_wrong.float().mean().item() == pytest.approx(expected, abs=5 * (0.25 / N) ** 0.5)
    assert torch.equal(is_wrong, noisy != labels)


def test_permutation_does_not_depend_on_the_order_of_the_samples(labels):
    ids, order = torch.randperm(10 * N)[:N], torch.randperm(N)
    noisy, _ = permutation(labels, ids, 0.3, 10, KEY)
    assert torch.equal(permutation(labels[order], ids[order], 0.3, 10, KEY)[0], noisy[order])
    assert not torch.equal(permutation(labels, ids, 0.3, 10, KEY + 1)[0], noisy)


@pytest.mark.parametrize("kind", BY_ID_ALONE)
@settings(max_examples=20, deadline=None)
@given(st.integers(2, 12), st.floats(0, 1), st.integers(0, 2**64 - 1), st.randoms())
def test_what_happens_to_a_sample_depends_on_its_id_alone(kind, classes, rate, key, random):
    ids = torch.tensor(random.sample(range(1000), 60))
    labels, given = ids % classes, options(kind, {0: 1})
    noisy, is_wrong = kind(labels, ids, rate, classes, key, **given)
    part = torch.randperm(60)[:25]
    noisy_part, is_wrong_part = kind(labels[part], ids[part], rate, classes, key, **given)
    assert torch.equal(noisy_part, noisy[part])
    assert torch.equal(is_wrong_part, is_wrong[part])


@pytest.mark.parametrize("name", LABEL_NOISES)
@settings(max_examples=20, deadline=None)
@given(st.floats(0, 1), st.integers(0, 2**64 - 1), st.integers(0, 80))
def test_every_kind_marks_the_labels_it_changed(name, rate, key, n):
    kind, ids = LABEL_NOISES[name], torch.arange(n) * 3
    labels = ids % 10
    before = labels.clone()
    noisy, is_wrong = kind(labels, ids, rate, 10, key, **options(kind))
    assert noisy.dtype == torch.int64
    assert is_wrong.dtype == torch.bool
    assert torch.equal(is_wrong, noisy != labels)
    assert torch.equal(labels, before)
    assert bool(((noisy >= 0) & (noisy < 10)).all())


@pytest.mark.parametrize("kind", BY_ID_ALONE)
def test_more_noise_adds_wrong_labels_and_takes_none_back(kind, labels):
    _, few = kind(labels, torch.arange(N), 0.1, 10, KEY, **options(kind))
    _, many = kind(labels, torch.arange(N), 0.4, 10, KEY, **options(kind))
    assert bool((many | ~few).all())


@pytest.mark.parametrize("name", LABEL_NOISES)
def test_wrong_input_is_refused(name):
    kind, labels = LABEL_NOISES[name], torch.tensor([0, 1])
    with pytest.raises(DataError, match="at least 2 classes"):
        kind(labels * 0, labels, 0.1, 1, KEY)
    with pytest.raises(DataError, match="allowed is 0-2"):
        kind(labels + 3, labels, 0.1, 3, KEY)


def test_wrong_maps_are_refused():
    labels = torch.tensor([0, 1])
    with pytest.raises(DataError, match="has 2: 0; the classes are 0-1"):
        asymmetric(labels, labels, 0.1, 2, KEY, mapping=[(2, 0)])
    for mapping in ([], [(1, 1)]):
        with pytest.raises(DataError, match="no class to change"):
            asymmetric(labels, labels, 0.1, 2, KEY, mapping=mapping)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=2, max_size=40))
def test_auroc_is_the_share_of_pairs_in_order(samples):
    scores, is_wrong = torch.tensor([float(s) for s, _ in samples]), torch.tensor([w for _, w in samples])
    wrong, right = scores[is_wrong].tolist(), scores[~is_wrong].tolist()
    if not wrong or not right:
        with pytest.raises(DataError, match="takes some of both"):
            detection_auroc(scores, is_wrong)
        return
    pairs = [1.0 if a > b else 0.5 if a == b else 0.0 for a in wrong for b in right]
    assert detection_auroc(scores, is_wrong) == pytest.approx(np.mean(pairs))
