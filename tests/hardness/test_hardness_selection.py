import warnings
from decimal import Decimal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hsl.errors import DataError, UnknownNameError
from hsl.hardness import SELECTIONS, keyed
from hsl.hardness.orders import probabilistic, stratified, window
from hsl.hardness.selection import long_tail, select

KEY = keyed.key(5, "keep")


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
    assert kept.tolist() == sorted(set(kept.tolist()) & set(ids.tolist()))
    assert len(kept) == n


@settings(max_examples=100, deadline=None)
@given(populations(), fractions)
@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_hardest_easiest_and_middle_are_windows_of_the_sorted_samples(population, fraction):
    scores, labels, ids = population
    n = percent_of(fraction, len(ids))
    if n == 0:
        return
    hardest = select(scores, labels, ids, fraction, "hardest", ties="id").tolist()
    easiest = select(scores, labels, ids, fraction, "easiest", ties="id").tolist()
    middle = select(scores, labels, ids, fraction, "middle", ties="id").tolist()
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
    assert bool((counts >= floors).all())
    assert bool((counts <= floors + 1).all())


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
    assert stats.chi2.sf(float(statistic), 19) > 1e-4
    assert stats.chi2.cdf(float(statistic), 19) > 1e-4


def test_a_lost_class_warns_and_is_refused_where_balance_was_asked():
    ids, labels = torch.arange(10), torch.tensor([0] * 8 + [1] * 2)
    scores = torch.arange(10, 0, -1).float()
    with pytest.warns(UserWarning, match=r"leaves no sample of class 1; keep more or set class_balanced"):
        select(scores, labels, ids, 0.3)
    few = torch.tensor([0] * 4 + [1] * 3 + [2] * 3)
    with pytest.raises(DataError, match="no sample of class 2, although class_balanced"):
        select(scores, few, ids, 0.2, class_balanced=True)


def test_a_class_that_falls_below_a_tenth_of_its_share_is_warned_of():
    """Half of 400 samples: the share of 200 of a class is 100, so that 9 are too few and 10 are not."""
    ids, labels = torch.arange(400), torch.arange(400) % 2
    for kept_of_one, warned in ((9, True), (10, False)):
        scores = torch.rand(400) / 2 + (labels == 0).float()
        scores[(labels == 1).nonzero().view(-1)[:kept_of_one]] = 2.0
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            kept = select(scores, labels, ids, 0.5)
            select(scores, labels, ids, 0.5, class_balanced=True)
        assert labels[kept].sum() == kept_of_one
        expected = ["keep.fraction 0.5 leaves less than a tenth of its share of class 1; set class_balanced"]
        assert [str(one.message) for one in caught] == (expected if warned else [])


def test_of_many_lost_classes_some_are_named():
    labels, scores = torch.arange(30), torch.arange(30).float()
    with pytest.warns(UserWarning, match=r"no sample of class 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 5 more; keep"):
        select(scores, labels, torch.arange(30), 0.5)


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


@settings(max_examples=100, deadline=None)
@given(populations(), fractions, st.integers(0, 99))
@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_a_window_leaves_out_the_hardest(population, fraction, percent):
    scores, labels, ids = population
    n, start = percent_of(fraction, len(ids)), percent_of(percent / 100, len(ids))
    if n == 0 or start + n > len(ids):
        return
    kept = select(scores, labels, ids, fraction, "window", ties="id", options={"offset": percent / 100})
    assert kept.tolist() == sorted(ranked(population, -1)[start : start + n])


def test_orders_put_what_they_leave_out_last():
    scores, ids = torch.arange(10).float(), torch.arange(10)
    assert window(scores, ids, offset=0.3).tolist() == [6, 5, 4, 3, 2, 1, 0, 7, 8, 9]
    order = stratified(scores, ids, KEY, mislabel_cut=0.3, bins=2).tolist()
    assert order[7:] == [7, 8, 9]
    assert sorted(order[:7]) == list(range(7))


@settings(max_examples=100, deadline=None)
@given(populations(), fractions, st.integers(0, 60), st.integers(1, 8))
@pytest.mark.filterwarnings("ignore:keep.fraction")
def test_stratified_fills_all_strata_to_the_same_level(population, fraction, cut, bins):
    scores, labels, ids = population
    n, dropped = percent_of(fraction, len(ids)), percent_of(cut / 100, len(ids))
    if n == 0 or n + dropped > len(ids):
        return
    options = {"mislabel_cut": cut / 100, "bins": bins}
    given = {"key": KEY, "ties": "id", "options": options}
    kept = select(scores, labels, ids, fraction, "stratified", **given).tolist()
    left = ranked(population, -1)[dropped:]
    assert set(kept) <= set(left)
    score_of = dict(zip(ids.tolist(), scores.tolist(), strict=True))
    low, high = min(score_of[i] for i in left), max(score_of[i] for i in left)
    strata = {i: min(bins - 1, int((score_of[i] - low) / ((high - low) or 1) * bins)) for i in left}
    # Water filling: a stratum has fewer samples than another one only if it is used up, but for one.
    sizes = [sum(s == b for s in strata.values()) for b in range(bins)]
    taken = [sum(strata[i] == b for i in kept) for b in range(bins)]
    level = max(taken)
    assert all(t == size or level - 1 <= t for t, size in zip(taken, sizes, strict=True))


def test_stratified_draws_by_chance_within_a_stratum():
    ids, labels, scores = torch.arange(40), torch.zeros(40, dtype=torch.long), torch.tensor([0.0, 1.0] * 20)
    kept = [select(scores, labels, ids, 0.25, "stratified", key=keyed.key(k)) for k in range(400)]
    assert all((scores[k] == 0).sum() == 5 for k in kept)
    counts = torch.cat(kept).bincount(minlength=40)
    assert stats.chi2.sf(float(((counts - 100) ** 2 / 100 / 0.75).sum()), 38) > 1e-4


@pytest.mark.parametrize("power", [0.5, 1.0, 3.0])
def test_a_probabilistic_draw_has_the_weights_of_the_scores(power):
    ids, labels = torch.arange(5), torch.zeros(5, dtype=torch.long)
    scores = torch.arange(5).double()
    first, both = torch.zeros(5).double(), torch.zeros(5, 5)
    for k in range(1500):
        order = probabilistic(scores, ids, keyed.key(k), power=power)
        first[order[0]] += 1
        both[order[0], order[1]] += 1
    shares = scores**power / (scores**power).sum()
    assert first[0] == 0
    assert stats.chisquare(first[1:].numpy(), 1500 * shares[1:].numpy()).pvalue > 1e-4
    # The second is drawn from what is left with the same weights.
    after_four = both[4, 1:4].double()
    expected = shares[1:4].double() / shares[1:4].double().sum() * after_four.sum()
    assert stats.chisquare(after_four.numpy(), expected.numpy()).pvalue > 1e-4
    assert select(scores, labels, ids, 0.2, "probabilistic", key=7).shape == (1,)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.5, 4.0, 60.0, 400.0, 1e6, 1e300]))
def test_a_probabilistic_draw_has_its_weights_however_large_the_power(seed, power):
    """Against decimal numbers, whose exponents have no end."""
    generator = torch.Generator().manual_seed(seed)
    scores = 10.0 ** (-12 * torch.rand(40, generator=generator).double())
    scores[torch.rand(40, generator=generator) < 0.1] = 0
    ids = torch.arange(40)
    uniform = keyed.uniform(seed, ids).double() + 2.0**-25

    def distance(i):
        share = Decimal(float(scores[i] / scores.max()))
        return (-Decimal(float(uniform[i])).ln()).ln() / Decimal(power) - share.ln()

    there = [i for i in range(40) if scores[i] > 0]
    found = probabilistic(scores, ids, seed, power=power)
    assert found[: len(there)].tolist() == sorted(there, key=distance)
    former = probabilistic(scores, ids, seed, power=power, underflow=True)
    weights = (scores / scores.max()) ** power
    finite = int((uniform.log().neg() / weights).isfinite().sum())
    assert torch.equal(former[:finite], found[:finite])
    assert power > 4 or finite == len(there)


def test_a_probabilistic_draw_of_zeros_is_a_random_one_and_of_negative_scores_refused():
    ids = torch.arange(6)
    orders = {tuple(probabilistic(torch.zeros(6), ids, k).tolist()) for k in range(30)}
    assert len(orders) > 20
    with pytest.raises(DataError, match=r"at least 0, the lowest is -1\.0"):
        probabilistic(torch.tensor([1.0, -1.0]), ids[:2], 0)


@settings(max_examples=60, deadline=None)
@given(populations(), st.sampled_from(sorted(SELECTIONS)), st.integers(1, 45), st.booleans())
@pytest.mark.filterwarnings("ignore:keep.count")
def test_a_count_keeps_as_many(population, which, count, class_balanced):
    scores, labels, ids = population
    if count > len(ids):
        with pytest.raises(DataError, match=rf"keep.count {count} of {len(ids)} samples is not possible"):
            select(scores, labels, ids, which=which, count=count)
        return
    try:
        kept = select(scores, labels, ids, which=which, count=count, class_balanced=class_balanced, key=KEY)
    except DataError as error:
        assert class_balanced
        assert "leaves no sample of class" in str(error)
        return
    assert len(kept) == count
    assert set(kept.tolist()) <= set(ids.tolist())
    if class_balanced:
        counts = labels[torch.isin(ids, kept)].bincount(minlength=4)
        floors = labels.bincount(minlength=4) * count // len(ids)
        assert bool((counts >= floors).all())
        assert bool((counts <= floors + 1).all())


def test_a_long_tail_has_the_published_sizes():
    labels = torch.arange(10).repeat_interleave(5000)
    ids = torch.randperm(50_000) + 7
    kept = long_tail(labels, ids, 0.01)
    sizes = labels[torch.isin(ids, kept)].bincount().tolist()
    assert sizes == [5000, 2997, 1797, 1077, 646, 387, 232, 139, 83, 50]
    step = labels[torch.isin(ids, long_tail(labels, ids, 0.1, "step"))].bincount().tolist()
    assert step == [5000] * 5 + [500] * 5
    assert torch.equal(kept, kept.sort().values)
    assert set(kept.tolist()) <= set(ids.tolist())


@pytest.mark.filterwarnings("ignore:keep.long_tail")
@settings(max_examples=60, deadline=None)
@given(populations(), st.integers(1, 100), st.sampled_from(["exponential", "step"]), st.randoms())
def test_a_long_tail_keeps_every_class_in_any_order(population, percent, profile, shuffle):
    _, labels, ids = population
    kept = long_tail(labels, ids, percent / 100, profile, key=KEY)
    before, after = labels.bincount(minlength=4), labels[torch.isin(ids, kept)].bincount(minlength=4)
    assert bool(((after > 0) == (before > 0)).all())
    assert bool((after <= before).all())
    order = list(range(len(ids)))
    shuffle.shuffle(order)
    assert torch.equal(kept, long_tail(labels[order], ids[order], percent / 100, profile, key=KEY))


def test_without_a_key_the_draws_are_those_of_key_0():
    labels, ids = torch.arange(200) % 2, torch.arange(200) * 3
    assert torch.equal(long_tail(labels, ids, 0.3), long_tail(labels, ids, 0.3, key=0))
    assert not torch.equal(long_tail(labels, ids, 0.3), long_tail(labels, ids, 0.3, key=1))
    kept = [
        select(torch.rand(200), labels, ids, 0.5, "random", **given) for given in ({}, {"key": 0}, {"key": 1})
    ]
    assert torch.equal(kept[0], kept[1])
    assert not torch.equal(kept[0], kept[2])


def test_a_long_tail_of_classes_that_are_too_small_for_it_is_warned_of():
    labels = torch.tensor([0] * 5 + [1] * 50 + [2] * 5)
    with pytest.warns(
        UserWarning, match=r"there are only 5 of 50 of class 0, so the imbalance is not the one"
    ):
        kept = long_tail(labels, torch.arange(60), 0.1)
    assert labels[kept].bincount().tolist() == [5, 16, 5]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        long_tail(torch.tensor([0] * 46 + [1] * 50 + [2] * 48), torch.arange(144), 0.1)


def test_wrong_long_tails_are_refused():
    labels = torch.tensor([0, 1])
    for imbalance, profile in ((0, "step"), (1.5, "step"), (0.1, "linear")):
        with pytest.raises(DataError, match="one of exponential, step and a number in"):
            long_tail(labels, labels, imbalance, profile)
