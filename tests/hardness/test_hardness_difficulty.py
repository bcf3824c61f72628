import warnings
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score

from hsl.errors import DataError, UnknownNameError
from hsl.hardness import SCORES, SELECTIONS, keyed
from hsl.hardness.difficulty import el2n, loss, mean_over_models, random, select
from hsl.hardness.noise import symmetric


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


@pytest.mark.parametrize("name", SCORES)
def test_every_score_is_finite_float32_per_sample(name, logits, labels):
    for values in (logits, logits.half(), logits * 100):
        scores = SCORES[name](values, labels)
        assert scores.dtype == torch.float32 and scores.shape == labels.shape
        assert bool(torch.isfinite(scores).all())


@pytest.mark.parametrize("name", [name for name in SCORES if name != "random"])
class TestEveryScoreOfAModel:
    def test_higher_is_harder(self, name):
        margins = torch.linspace(-4, 4, 9)
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


@st.composite
def populations(draw):
    n = draw(st.integers(1, 40))
    scores = draw(st.lists(st.integers(0, 5), min_size=n, max_size=n))  # few values: many ties
    labels = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    ids = draw(st.permutations(range(100, 100 + 3 * n, 3)))
    return torch.tensor(scores).float(), torch.tensor(labels), torch.tensor(ids)


fractions = st.integers(1, 100).map(lambda percent: percent / 100)


def percent_of(fraction, n):
    """round(fraction * n), half to even, in whole numbers."""
    whole, rest = divmod(round(fraction * 100) * n, 100)
    return whole + (rest > 50 or (rest == 50 and whole % 2 == 1))


def ranked(population, sign):
    scores, _, ids = population
    return [i for _, i in sorted(zip((sign * scores).tolist(), ids.tolist(), strict=True))]


@settings(max_examples=100, deadline=None)
@given(populations(), fractions, st.sampled_from(sorted(SELECTIONS)), st.randoms())
def test_every_selection_keeps_the_right_number_in_any_order(population, fraction, which, shuffle):
    scores, labels, ids = population
    n = percent_of(fraction, len(ids))
    if n == 0:
        with pytest.raises(DataError, match="is none; raise the fraction"):
            select(scores, labels, ids, fraction, which)
        return
    order = list(range(len(ids)))
    shuffle.shuffle(order)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = select(scores, labels, ids, fraction, which, key=3)
        again = select(scores[order], labels[order], ids[order], fraction, which, key=3)
    assert torch.equal(kept, again)
    assert kept.tolist() == sorted(set(kept.tolist()) & set(ids.tolist())) and len(kept) == n


@settings(max_examples=100, deadline=None)
@given(populations(), fractions)
@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_hardest_easiest_and_middle_are_windows_of_the_sorted_samples(population, fraction):
    scores, labels, ids = population
    n = percent_of(fraction, len(ids))
    if n == 0:
        return
    hardest = select(scores, labels, ids, fraction, "hardest").tolist()
    easiest = select(scores, labels, ids, fraction, "easiest").tolist()
    middle = select(scores, labels, ids, fraction, "middle").tolist()
    hard_first = ranked(population, -1)
    start = (len(ids) - n) // 2
    assert hardest == sorted(hard_first[:n])
    assert easiest == sorted(ranked(population, 1)[:n])
    assert middle == sorted(hard_first[start : start + n])


@settings(max_examples=100, deadline=None)
@given(populations(), fractions, st.sampled_from(sorted(SELECTIONS)))
def test_class_balanced_keeps_the_same_share_of_every_class(population, fraction, which):
    scores, labels, ids = population
    n, sizes = percent_of(fraction, len(ids)), labels.bincount()
    try:
        kept = select(scores, labels, ids, fraction, which, class_balanced=True, key=9)
    except DataError as error:
        assert n == 0 or ("leaves no sample of class" in str(error) and fraction * sizes[sizes > 0].min() < 1)
        return
    counts = labels[torch.isin(ids, kept)].bincount(minlength=len(sizes))
    floors = sizes * round(fraction * 100) // 100
    assert len(kept) == n
    assert bool((counts >= floors).all()) and bool((counts <= floors + 1).all())


def test_class_balanced_takes_the_hardest_of_each_class_and_the_remainder_by_score():
    ids = torch.arange(9)
    labels = torch.tensor([0, 0, 0, 1, 1, 1, 2, 2, 2])
    scores = torch.tensor([9.0, 8, 7, 3, 2, 1, 6, 5, 4])
    # 0.5 of 9 is 4 (half to even): one of each class, and one more: the hardest of those that come next.
    assert select(scores, labels, ids, 0.5, class_balanced=True).tolist() == [0, 1, 3, 6]


def test_a_random_selection_is_uniform_and_follows_its_key():
    ids, labels = torch.arange(20), torch.zeros(20, dtype=torch.long)
    kept = [select(None, labels, ids, 0.25, "random", key=keyed.key(k)) for k in range(1000)]
    counts = torch.cat(kept).bincount(minlength=20)
    # Without replacement the counts vary less than a multinomial's, by the factor 1 - 5/20.
    statistic = ((counts - 250) ** 2 / 250).sum() / 0.75 * 19 / 20
    assert stats.chi2.sf(float(statistic), 19) > 1e-4 and stats.chi2.cdf(float(statistic), 19) > 1e-4


def test_a_lost_class_warns_and_is_refused_where_balance_was_asked():
    ids, labels = torch.arange(10), torch.tensor([0] * 8 + [1] * 2)
    scores = torch.arange(10, 0, -1).float()
    with pytest.warns(
        UserWarning, match=r"leaves no sample of class 1; raise the fraction or set class_balanced"
    ):
        select(scores, labels, ids, 0.3)
    few = torch.tensor([0] * 4 + [1] * 3 + [2] * 3)
    with pytest.raises(DataError, match="no sample of class 2, although class_balanced"):
        select(scores, few, ids, 0.2, class_balanced=True)


def test_wrong_input_is_refused():
    ids = torch.arange(4)
    scores = torch.tensor([1.0, 2, 3, 4])
    with pytest.raises(UnknownNameError, match="did you mean 'hardest'"):
        select(scores, ids, ids, 0.5, "hardes")
    with pytest.raises(DataError, match="needs a difficulty score"):
        select(None, ids, ids, 0.5)
    with pytest.raises(DataError, match="not finite"):
        select(scores / 0 * 0, ids, ids, 0.5)
    with pytest.raises(DataError, match=r"outside \(0, 1\]"):
        select(scores, ids, ids, 1.5)
    with pytest.raises(DataError, match="one of each per sample"):
        select(scores[:3], ids, ids, 0.5)
