from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsl.errors import DataError
from hsl.hardness import Regime, keyed
from hsl.hardness.apply import Samples, check_regime, matched_samples, mislabelled, redrawn, training_samples
from hsl.hardness.label_noise import symmetric

N = 400
NOISE = {"name": "gaussian_noise", "severity": 3}


@pytest.fixture(scope="module")
def samples():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (N, 3, 8, 8), dtype=torch.uint8, generator=generator)
    return Samples(images, torch.arange(N) % 5, torch.randperm(10 * N, generator=generator)[:N])


@pytest.fixture(scope="module")
def scores():
    return torch.rand(N, generator=torch.Generator().manual_seed(1))


def regime(**parts):
    return Regime.model_validate(parts)


def equal(first, second):
    return all(
        torch.equal(getattr(first, name), getattr(second, name)) for name in ("images", "labels", "ids")
    )


def only(samples, ids):
    return samples.where(torch.isin(samples.ids, ids))


def test_a_clean_regime_changes_nothing(samples):
    assert equal(training_samples(samples, regime(), 0), samples)
    assert equal(matched_samples(samples, regime(), split="val"), samples)
    attacked = regime(attack={"eps": "8/255", "step": "2/255", "steps": 3})
    assert equal(training_samples(samples, attacked, 0), samples)
    assert equal(matched_samples(samples, attacked, split="test"), samples)


def test_the_hardest_quarter_is_kept_in_the_old_order(samples, scores):
    hardest = regime(keep={"fraction": 0.25, "by": "el2n"})
    kept = training_samples(samples, hardest, 0, scores)
    assert len(kept) == 100
    assert equal(kept, samples.where(scores >= scores.sort().values[-100]))
    assert equal(training_samples(samples, hardest, 1, scores), kept)


def test_a_random_part_follows_the_seed(samples, scores):
    half = regime(keep={"fraction": 0.5})
    first = training_samples(samples, half, 1)
    assert len(first) == 200
    assert equal(first, training_samples(samples, half, 1, scores))
    assert not torch.equal(first.ids, training_samples(samples, half, 2).ids)


def test_every_way_to_keep_reaches_the_samples(samples, scores):
    order = scores.argsort(descending=True)
    window = regime(keep={"by": "el2n", "percentiles": [50, 75]})
    expected = samples.ids[order[100:200]].sort().values
    assert torch.equal(training_samples(samples, window, 0, scores).ids.sort().values, expected)
    matched = matched_samples(samples, window, scores, split="val")
    assert torch.equal(matched.ids.sort().values, expected)
    cut = regime(keep={"by": "el2n", "fraction": 0.5, "which": "stratified", "mislabel_cut": 0.25})
    strata = training_samples(samples, cut, 3, scores)
    assert len(strata) == 200
    assert not bool(torch.isin(strata.ids, samples.ids[order[:100]]).any())
    drawn = regime(keep={"by": "el2n", "fraction": 0.5, "which": "probabilistic", "power": 4.0})
    first, second = (training_samples(samples, drawn, seed, scores) for seed in (1, 2))
    assert len(first) == 200
    assert not torch.equal(first.ids, second.ids)
    assert scores[torch.isin(samples.ids, first.ids)].mean() > scores.mean() + 0.1


@pytest.mark.parametrize(("precision", "is_steep"), [(None, True), ("double", True), ("single", False)])
def test_a_steep_draw_is_that_of_0_1_under_its_identity_alone(samples, precision, is_steep):
    """Version 0.1.0 took what is below 1e-308 for 0, here all but the hardest, and drew them at random."""
    steep = 10.0 ** (-12 * torch.arange(400).double() / 400)
    own = {"by": "el2n", "fraction": 0.5, "which": "probabilistic", "power": 400.0, "precision": precision}
    kept = training_samples(samples, regime(keep=own), 1, steep).ids
    share = torch.isin(samples.ids[:200], kept).float().mean()
    assert (share > 0.99) == is_steep
    assert share > 0.4


def test_a_count_or_a_long_tail_is_kept_by_chance_and_leaves_matched_samples_whole(samples):
    counted = regime(keep={"count": 33})
    assert len(training_samples(samples, counted, 1)) == 33
    tail = regime(keep={"long_tail": {"imbalance": 0.1, "profile": "step"}})
    assert training_samples(samples, tail, 1).labels.bincount().tolist() == [80, 80, 80, 8, 8]
    for parts in (counted, tail):
        first, second = (training_samples(samples, parts, seed).ids for seed in (1, 2))
        assert not torch.equal(first, second)
        assert matched_samples(samples, parts, split="test") is samples
    with pytest.raises(DataError, match=r"keep\.count 401 of 400 samples is not possible"):
        training_samples(samples, regime(keep={"count": 401}), 1)


def test_class_balance_reaches_the_selection(samples):
    unfair = samples.labels.float()
    kept = training_samples(
        samples, regime(keep={"fraction": 0.5, "by": "loss", "class_balanced": True}), 0, unfair
    )
    assert kept.labels.bincount().tolist() == [40] * 5


def test_labels_are_made_wrong_at_the_given_rate(samples):
    noisy = training_samples(samples, regime(label_noise={"rate": 0.3}), 0)
    assert torch.equal(noisy.images, samples.images)
    assert torch.equal(noisy.ids, samples.ids)
    assert (noisy.labels != samples.labels).float().mean().item() == pytest.approx(0.3, abs=0.1)
    assert noisy.labels.min() >= 0
    assert noisy.labels.max() == 4
    assert not torch.equal(
        noisy.labels, training_samples(samples, regime(label_noise={"rate": 0.3}), 1).labels
    )


def test_every_kind_of_label_noise_reaches_the_samples_and_is_known_of_them(samples):
    for kind, options in (("pair", {}), ("permutation", {}), ("asymmetric", {"map": {1: 3}})):
        parts = regime(label_noise={"kind": kind, "rate": 0.4, **options})
        noisy = training_samples(samples, parts, 2).labels
        labels, is_wrong = mislabelled(samples, parts.label_noise, torch.arange(5), 2)
        assert torch.equal(noisy, labels)
        assert torch.equal(is_wrong, labels != samples.labels)
        if kind == "pair":
            assert torch.equal(noisy[is_wrong], (samples.labels[is_wrong] + 1) % 5)
        if kind == "permutation":
            assert torch.equal(noisy.bincount(), samples.labels.bincount())
        if kind == "asymmetric":
            assert set(noisy[is_wrong].tolist()) == {3}
            assert set(samples.labels[is_wrong].tolist()) == {1}
    unknown = regime(label_noise={"kind": "asymmetric", "rate": 0.4, "map": {1: 7}})
    with pytest.raises(DataError, match="the classes are 0-4"):
        training_samples(samples, unknown, 0)


GAPS = st.lists(st.integers(0, 30), min_size=2, max_size=6, unique=True).map(sorted)


@settings(max_examples=40, deadline=None)
@given(GAPS, st.sampled_from(["symmetric", "pair", "permutation", "asymmetric"]), st.integers(0, 1000))
def test_labels_with_gaps_are_made_wrong_as_those_without(samples, present, kind, seed):
    """Renumbered, they are the same; so a class without samples gets none."""
    classes, dense = torch.tensor(present), samples.labels % len(present)
    gaps = replace(samples, labels=classes[dense])
    compact = replace(samples, labels=dense)
    of = {"map": {present[0]: present[1]}}, {"map": {0: 1}}
    noises = [
        regime(label_noise={"kind": kind, "rate": 0.6, **(each if kind == "asymmetric" else {})})
        for each in of
    ]
    noisy, expected = training_samples(gaps, noises[0], seed), training_samples(compact, noises[1], seed)
    assert torch.equal(noisy.labels, classes[expected.labels])
    assert not torch.equal(expected.labels, dense)


def test_without_gaps_the_wrong_labels_are_those_of_the_kinds(samples):
    """The numbers of data sets that have every class, such as all that are published, are what they were."""
    key = keyed.key(3, "label_noise", "symmetric")
    expected, _ = symmetric(samples.labels, samples.ids, 0.3, 5, key)
    assert torch.equal(training_samples(samples, regime(label_noise={"rate": 0.3}), 3).labels, expected)


def test_a_map_is_of_classes_that_have_samples(samples):
    gaps = replace(samples, labels=samples.labels * 2)
    for mapping in ({0: 1}, {1: 2}, {8: 10}):
        parts = regime(label_noise={"kind": "asymmetric", "rate": 0.4, "map": mapping})
        with pytest.raises(DataError, match="the classes are 0, 2, 4, 6, 8"):
            training_samples(gaps, parts, 0)


def test_a_label_of_no_class_is_refused(samples):
    with pytest.raises(DataError, match="a label is 4; the classes are 0-3"):
        mislabelled(samples, regime(label_noise={"rate": 0.3}).label_noise, torch.arange(4), 0)


def test_gaps_do_not_untie_skewed_corruptions_from_classes(samples):
    """Labels that are all even would share one of two corruptions, and nothing would tell the classes apart."""
    mix = regime(corruption={"name": ["contrast", "brightness"], "severity": 4, "skew": 0.1})
    gaps = replace(samples, labels=samples.labels * 2)
    assert torch.equal(training_samples(gaps, mix, 2).images, training_samples(samples, mix, 2).images)


def test_wrong_labels_know_every_class_after_a_selection(samples):
    only_first_classes = (samples.labels < 2).float() + 0.01 * torch.arange(N) / N
    parts = regime(keep={"fraction": 0.25, "by": "el2n"}, label_noise={"rate": 0.9})
    with pytest.warns(UserWarning, match="no sample of class 2, 3, 4"):
        noisy = training_samples(samples, parts, 0, only_first_classes)
    assert set(noisy.labels.tolist()) == {0, 1, 2, 3, 4}


def test_what_happens_to_a_sample_does_not_depend_on_the_others(samples, scores):
    parts = {"label_noise": {"rate": 0.3}, "corruption": NOISE}
    whole = training_samples(samples, regime(**parts), 5)
    kept = training_samples(samples, regime(keep={"fraction": 0.4, "by": "el2n"}, **parts), 5, scores)
    assert len(kept) == 160
    assert equal(kept, only(whole, kept.ids))
    order = torch.randperm(N)
    shuffled = Samples(samples.images[order], samples.labels[order], samples.ids[order])
    again = training_samples(shuffled, regime(**parts), 5)
    assert equal(again, Samples(whole.images[order], whole.labels[order], whole.ids[order]))


def test_training_damage_follows_the_seed_and_matched_damage_does_not(samples):
    damaged = regime(corruption=NOISE)
    first = training_samples(samples, damaged, 1)
    assert torch.equal(first.labels, samples.labels)
    assert equal(first, training_samples(samples, damaged, 1))
    sets = [
        first,
        training_samples(samples, damaged, 2),
        matched_samples(samples, damaged, split="val"),
        matched_samples(samples, damaged, split="test"),
        training_samples(samples, regime(corruption={**NOISE, "severity": 4}), 1),
    ]
    noises = [(s.images.float() - samples.images.float()).flatten() for s in sets]
    between = torch.corrcoef(torch.stack(noises)).fill_diagonal_(0)
    # Clipping depends on the image alone, and correlates all of them a little.
    assert between.abs().max() < 0.2


def test_matched_samples_are_as_hard_and_rightly_labelled(samples, scores):
    parts = regime(keep={"fraction": 0.3, "by": "el2n"}, label_noise={"rate": 0.5}, corruption=NOISE)
    matched = matched_samples(samples, parts, scores, split="val")
    kept = training_samples(samples, regime(keep={"fraction": 0.3, "by": "el2n"}), 9, scores)
    assert torch.equal(matched.ids, kept.ids)
    assert torch.equal(matched.labels, kept.labels)
    whole = matched_samples(samples, regime(corruption=NOISE), split="val")
    assert equal(matched, only(whole, matched.ids))


def test_a_random_part_leaves_matched_samples_whole(samples):
    assert equal(matched_samples(samples, regime(keep={"fraction": 0.1}), split="test"), samples)


def test_redrawn_damage_is_new_every_epoch_and_repeatable(samples):
    again = regime(corruption={**NOISE, "redraw": True})
    before = training_samples(samples, again, 3)
    assert equal(before, samples)
    epochs = [redrawn(before, again, 3, epoch) for epoch in (0, 1)]
    assert equal(epochs[1], redrawn(before, again, 3, 1))
    assert not torch.equal(epochs[0].images, epochs[1].images)
    assert not torch.equal(epochs[0].images, redrawn(before, again, 4, 0).images)
    assert not equal(matched_samples(samples, again, split="val"), samples)


def test_frozen_damage_is_not_drawn_again(samples):
    frozen = regime(corruption=NOISE)
    before = training_samples(samples, frozen, 3)
    assert redrawn(before, frozen, 3, 1) is before
    assert redrawn(samples, regime(), 3, 1) is samples


def test_a_corruption_damages_what_it_says(samples):
    only_train, only_test = (regime(corruption={**NOISE, "where": where}) for where in ("train", "test"))
    both = regime(corruption=NOISE)
    assert equal(training_samples(samples, only_train, 1), training_samples(samples, both, 1))
    assert equal(
        matched_samples(samples, only_test, split="val"), matched_samples(samples, both, split="val")
    )
    assert equal(training_samples(samples, only_test, 1), samples)
    assert equal(matched_samples(samples, only_train, split="val"), samples)


def test_matched_samples_have_the_severity_of_the_test(samples):
    harder = regime(corruption={**NOISE, "test_severity": 5})
    assert equal(training_samples(samples, harder, 1), training_samples(samples, regime(corruption=NOISE), 1))
    five = regime(corruption={**NOISE, "severity": 5})
    matched = matched_samples(samples, harder, split="test")
    assert equal(matched, matched_samples(samples, five, split="test"))
    assert not equal(matched, matched_samples(samples, regime(corruption=NOISE), split="test"))


def test_a_mix_damages_a_sample_as_its_corruption_alone_does(samples):
    names = ["gaussian_noise", "contrast", "shot_noise"]
    mixed = training_samples(samples, regime(corruption={"name": names, "severity": 3}), 1).images
    plain = training_samples(samples, regime(corruption={"name": "contrast", "severity": 3}), 1).images
    shared = (mixed == plain).flatten(1).all(dim=1)
    assert 0.2 < shared.float().mean() < 0.5
    again = regime(corruption={"name": names, "severity": 3, "redraw": True})
    first, second = (redrawn(samples, again, 1, epoch).images for epoch in (1, 2))
    assert ((first == second).flatten(1).all(dim=1)).float().mean() < 0.3


@pytest.mark.parametrize("where", ["train", "test", "both"])
def test_a_corruption_that_is_undefined_on_the_images_is_refused_before_anything_runs(samples, where):
    fog = regime(corruption={"name": ["contrast", "fog"], "severity": 1, "where": where})
    for make in (
        lambda: training_samples(samples, fog, 0),
        lambda: matched_samples(samples, fog, split="val"),
        lambda: check_regime((3, 8, 8), fog),
    ):
        with pytest.raises(DataError, match="fog is not defined on images of 8 x 8"):
            make()
    six = {"name": "contrast", "severity": 1, "test_severity": 6, "allow_extrapolated": True, "where": "both"}
    check_regime((3, 32, 32), regime(corruption=six))
    with pytest.raises(DataError, match="severity 6 of contrast does not exist at 64 pixels"):
        check_regime((3, 64, 64), regime(corruption=six))


def test_missing_scores_are_refused(samples):
    hardest = regime(keep={"fraction": 0.25, "by": "el2n"})
    with pytest.raises(DataError, match="needs a difficulty score"):
        training_samples(samples, hardest, 0)
    with pytest.raises(DataError, match="needs a difficulty score"):
        matched_samples(samples, hardest, split="val")
    whole = regime(keep={"fraction": 1, "by": "el2n"})
    assert equal(training_samples(samples, whole, 0), samples)


def test_samples_check_their_parts(samples):
    images, labels, ids = samples.images, samples.labels, samples.ids
    with pytest.raises(DataError, match=r"torch\.uint8"):
        Samples(images.float(), labels, ids)
    with pytest.raises(DataError, match="labels are"):
        Samples(images, labels.int(), ids)
    with pytest.raises(DataError, match=r"ids are torch\.int64 \[3\]; give torch\.int64 \[400\]"):
        Samples(images, labels, ids[:3])
    with pytest.raises(DataError, match="same id"):
        Samples(images, labels, ids // 2)


def test_skewed_corruptions_go_with_the_right_class_of_the_image(samples):
    mix = {"name": ["gaussian_noise", "contrast", "brightness"], "severity": 4, "skew": 0.1}
    skewed = training_samples(samples, regime(corruption=mix), 2)
    noisy = training_samples(samples, regime(label_noise={"rate": 0.4, "kind": "pair"}, corruption=mix), 2)
    assert torch.equal(noisy.images, skewed.images)
    assert not torch.equal(noisy.labels, skewed.labels)
    alone = [
        training_samples(samples, regime(corruption={"name": name, "severity": 4}), 2).images
        for name in ("brightness", "contrast")  # which draw nothing at random
    ]
    own = torch.stack([(skewed.images == images).flatten(1).all(1) for images in alone])
    aligned = torch.where(samples.labels % 3 == 0, own[0], own[1])[samples.labels % 3 != 2]
    assert aligned.float().mean().item() == pytest.approx(0.9, abs=0.06)
    matched, plain = (
        matched_samples(samples, regime(corruption=part), split="test")
        for part in (mix, {name: value for name, value in mix.items() if name != "skew"})
    )
    assert equal(matched, plain)


@pytest.mark.parametrize(
    "parts", [{"images": torch.zeros(2, 3, 4, dtype=torch.uint8)}, {"ids": torch.zeros(2)}]
)
def test_parts_of_the_wrong_rank_or_type_are_refused(parts):
    fine = {
        "images": torch.zeros(2, 1, 3, 4, dtype=torch.uint8),
        "labels": torch.zeros(2, dtype=torch.int64),
        "ids": torch.arange(2),
    }
    assert len(Samples(**fine)) == 2
    with pytest.raises(DataError, match=next(iter(parts))):
        Samples(**{**fine, **parts})


def test_the_training_asks_for_both_severities_of_images_of_any_shape():
    """Contrast has a severity 6 where images have 32 pixels a side, and none at 64."""
    six = regime(
        corruption={"name": "contrast", "severity": 1, "test_severity": 6, "allow_extrapolated": True}
    )
    harder = regime(corruption={"name": "contrast", "severity": 6, "allow_extrapolated": True})
    for shape, asked in (((3, 64, 64), six), ((1, 64, 64), harder)):
        images = torch.zeros(2, *shape, dtype=torch.uint8)
        samples = Samples(images, torch.tensor([0, 1]), torch.arange(2))
        with pytest.raises(DataError, match="severity 6 of contrast does not exist at 64 pixels"):
            training_samples(samples, asked, 0)


def test_height_and_width_are_distinguished_from_the_channels():
    """Fog needs 16 pixels a side: height and width count, the channels do not."""
    fog = regime(corruption={"name": "fog", "severity": 1})
    for shape, side in (((3, 8, 32), "8 x 32"), ((3, 32, 8), "32 x 8")):
        samples = Samples(torch.zeros(1, *shape, dtype=torch.uint8), torch.tensor([0]), torch.arange(1))
        with pytest.raises(DataError, match=f"fog is not defined on images of {side}"):
            training_samples(samples, fog, 0)
    wide = Samples(torch.full((1, 3, 32, 48), 99, dtype=torch.uint8), torch.tensor([0]), torch.arange(1))
    assert training_samples(wide, fog, 0).images.shape == (1, 3, 32, 48)


def test_without_samples_there_are_no_classes():
    nothing = Samples(
        torch.zeros(0, 1, 8, 8, dtype=torch.uint8), torch.zeros(0, dtype=torch.int64), torch.arange(0)
    )
    assert len(training_samples(nothing, regime(), 0)) == 0
