import sys

import numpy as np
import published_corruptions as published
import pytest
import torch
from corruption_draws import DRAWS, KEY, SEVERITIES, SIDES, rough, waves
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from hsl.errors import DataError, UnknownNameError
from hsl.hardness import CORRUPTIONS, keyed
from hsl.hardness.corruptions.constants import TABLES, check_corruption
from hsl.hardness.corruptions.corrupt import choice, correlated_choice, corrupt, mixed
from hsl.hardness.corruptions.weather import ice_textures


@pytest.fixture(scope="module")
def images():
    return waves(16, 32)


@pytest.fixture(scope="module")
def ids():
    return torch.arange(16) * 7 + 100


TOLERANCE = {"gaussian_noise": 1e-6, "speckle_noise": 1e-6, "spatter": 1e-9, "elastic_transform": 1e-9}
"""Distance of values in [0, 1] before they are cut; 1e-12 where none is given."""

COMPARED = [name for name in CORRUPTIONS if hasattr(published, name)]
DRAWN_OTHERWISE = {"impulse_noise", "shot_noise", "frost_procedural"}


def test_every_published_corruption_has_a_test_of_its_values():
    assert set(COMPARED) | DRAWN_OTHERWISE == set(TABLES) <= set(CORRUPTIONS)


def results(name, severity, side, images, ids):
    """Ours and the published one, in [0, 1], not clipped."""
    ours = CORRUPTIONS[name](images.float(), ids, severity, KEY).double().numpy() / 255
    draws = DRAWS[name](ids, side, severity) if name in DRAWS else []
    pictures = images.permute(0, 2, 3, 1).double().numpy() / 255
    theirs = [
        getattr(published, name)(picture, severity, *(draw[i] for draw in draws))
        for i, picture in enumerate(pictures)
    ]
    return ours, np.stack(theirs).transpose(0, 3, 1, 2)


@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("side", SIDES)
def test_values_are_those_of_the_published_script(name, severity, side):
    images = torch.cat([waves(3, side), rough(1, side)])
    ids = torch.arange(4) * 7 + 100
    ours, theirs = results(name, severity, side, images, ids)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE.get(name, 1e-12))
    cut = torch.from_numpy(np.clip(theirs, 0, 1) * 255).to(torch.uint8).int()
    distance = (corrupt(images, ids, name, severity, KEY).int() - cut).abs()
    # A value that is a whole number can come out of a sum a rounding error lower, and is cut to the next.
    whole = np.abs(theirs * 255 - np.round(theirs * 255)) < 1e-3
    assert distance.max() <= 1
    assert not bool(distance[torch.from_numpy(~whole)].any())


@pytest.mark.parametrize("name", ["glass_blur", "spatter", "motion_blur", "elastic_transform"])
def test_many_draws_agree_with_the_published_script(name):
    ids = torch.arange(24)
    for severity in SEVERITIES:
        ours, theirs = results(name, severity, 32, waves(24, 32), ids)
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_has_its_standard_deviation_on_grey(severity):
    grey = torch.full((200, 3, 16, 16), 128, dtype=torch.uint8)
    noise = corrupt(grey, torch.arange(200), "gaussian_noise", severity, KEY).double() - 128
    n = noise.numel()
    # Cutting adds the variance of a uniform value, 1/12, and shifts the mean by -1/2.
    variance = (255 * published.CONSTANTS[32]["gaussian_noise"][severity - 1]) ** 2 + 1 / 12
    assert noise.var() == pytest.approx(variance, rel=5 * (2 / n) ** 0.5)
    assert noise.mean() == pytest.approx(-0.5, abs=5 * (variance / n) ** 0.5)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("side", SIDES)
def test_impulse_noise_makes_the_given_share_black_or_white(severity, side):
    share = published.CONSTANTS[side]["impulse_noise"][severity - 1]
    grey = torch.full((40, 3, side, side), 100, dtype=torch.uint8)
    damaged = corrupt(grey, torch.arange(40), "impulse_noise", severity, KEY)
    n = grey.numel()
    black, white = int((damaged == 0).sum()), int((damaged == 255).sum())
    assert stats.binomtest(black + white, n, share).pvalue > 1e-4
    assert stats.binomtest(black, black + white, 0.5).pvalue > 1e-4
    assert black + white + int((damaged == 100).sum()) == n


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("value", [0, 1, 40, 128, 255])
def test_shot_noise_counts_photons(severity, side, value):
    photons = published.CONSTANTS[side]["shot_noise"][severity - 1]
    grey = torch.full((12, 3, side, side), float(value))
    damaged = CORRUPTIONS["shot_noise"](grey, torch.arange(12), severity, KEY).double().view(-1)
    counts = damaged * photons / 255
    mean, n = photons * value / 255, len(counts)
    torch.testing.assert_close(counts, counts.round(), rtol=0, atol=1e-3)
    assert counts.mean() == pytest.approx(mean, abs=5 * (mean / n) ** 0.5)
    assert counts.var() == pytest.approx(mean, rel=5 * ((2 + 1 / max(mean, 0.1)) / n) ** 0.5, abs=1e-9)
    edges = stats.poisson.ppf([0.1, 0.3, 0.5, 0.7, 0.9], mean)
    for edge in edges:
        below = int((counts.round() <= edge).sum())
        assert stats.binomtest(below, n, min(1, stats.poisson.cdf(edge, mean))).pvalue > 1e-5


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("side", SIDES)
def test_frost_mixes_the_image_with_a_cut_of_a_texture(severity, side):
    share, ice = published.CONSTANTS[side]["frost"][severity - 1]
    images, ids = waves(8, side), torch.arange(8)
    layer = CORRUPTIONS["frost_procedural"](images.float(), ids, severity, KEY) - share * images.double()
    cuts = (layer / ice)[:, :1] / 208
    torch.testing.assert_close(layer[:, 2:], layer[:, :1] * 240 / 208)
    textures = ice_textures(4 * side)
    for cut in cuts[:, 0]:
        places = (textures[:, : -side + 1, : -side + 1] - cut[0, 0]).abs() < 1e-9
        found = [textures[i, r : r + side, c : c + side] for i, r, c in places.nonzero().tolist()]
        assert any(torch.allclose(cut, texture) for texture in found)


def test_ice_has_structure():
    textures = ice_textures(128)
    assert textures.shape == (5, 128, 128)
    assert textures.min() >= 0
    assert textures.max() <= 1
    assert bool((textures.std(dim=(1, 2)) > 0.1).all())
    assert torch.corrcoef(textures.flatten(1)).fill_diagonal_(0).abs().max() < 0.9


def test_contrast_leaves_a_plain_image_alone():
    plain = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 1, 4, 4).contiguous()
    for severity in SEVERITIES:
        assert torch.equal(corrupt(plain, torch.arange(256), "contrast", severity, KEY), plain)


PLAIN_STAYS = ["gaussian_blur", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur", "elastic_transform"]


@pytest.mark.parametrize("name", [*PLAIN_STAYS, "pixelate"])
def test_moving_values_changes_no_plain_image(name):
    plain = torch.arange(0, 256, 5, dtype=torch.uint8)[:, None, None, None].repeat(1, 3, 32, 32)
    for severity in SEVERITIES:
        assert torch.equal(corrupt(plain, torch.arange(len(plain)), name, severity, KEY), plain)


GROWING = ["gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "contrast", "brightness"]


@pytest.mark.parametrize("name", [*GROWING, "fog", "jpeg_compression", "pixelate", "zoom_blur"])
@pytest.mark.parametrize("side", SIDES)
def test_damage_grows_with_severity(name, side):
    images = waves(16, side)
    highest = CORRUPTIONS.facts(name).severities[side == 64]
    damage = [
        (corrupt(images, torch.arange(16), name, severity, KEY).float() - images.float()).abs().mean()
        for severity in range(1, highest + 1)
    ]
    assert damage == sorted(damage)
    assert damage[0] > 0
    assert len(set(damage)) == highest


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("severity", SEVERITIES)
class TestEveryCorruption:
    def test_result_depends_on_neither_chunk_nor_order(self, images, ids, name, severity):
        whole = corrupt(images, ids, name, severity, KEY)
        order = torch.randperm(16)
        assert torch.equal(corrupt(images, ids, name, severity, KEY, chunk=3), whole)
        assert torch.equal(corrupt(images[order], ids[order], name, severity, KEY, chunk=5), whole[order])

    def test_result_has_the_form_of_its_input_and_differs(self, images, ids, name, severity):
        before = images.clone()
        for form in (images, images[:, :1], images[:, :, :20, :28], images[:, :, :28, :17]):
            if form.shape[1] not in (CORRUPTIONS.facts(name).channels or (1, 3)):
                continue
            damaged = corrupt(form, ids, name, severity, KEY)
            assert damaged.dtype == torch.uint8
            assert damaged.shape == form.shape
            assert (damaged != form).float().mean() > 0.005
        assert torch.equal(images, before)

    def test_draws_follow_the_key_and_the_id_or_there_are_none(self, images, ids, name, severity):
        damaged = corrupt(images, ids, name, severity, KEY)
        other_key = corrupt(images, ids, name, severity, KEY + 1)
        other_ids = corrupt(images, ids + 1, name, severity, KEY)
        is_deterministic = not CORRUPTIONS.facts(name).is_random
        assert torch.equal(damaged, other_key) is torch.equal(damaged, other_ids) is is_deterministic

    def test_the_smallest_images_on_which_it_is_defined_work(self, images, ids, name, severity):
        for side in (1, 8, 16):
            try:
                check_corruption(name, (3, side, side), severity)
            except DataError:
                continue
            assert corrupt(images[:, :, :side, :side], ids, name, severity, KEY).shape == (16, 3, side, side)

    def test_grey_as_colour_is_grey_damage(self, images, ids, name, severity):
        if name in {"saturate", "jpeg_compression"} or CORRUPTIONS[name].__module__.endswith("noise"):
            return
        grey = images[:, :1]
        one = corrupt(grey, ids, name, severity, KEY).float()
        three = corrupt(grey.repeat(1, 3, 1, 1), ids, name, severity, KEY).float()
        weights = torch.tensor([0.299, 0.587, 0.114])[:, None, None]
        assert ((three * weights).sum(1, keepdim=True) - one).abs().mean() < 2


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(CORRUPTIONS)), st.integers(1, 5), st.integers(0, 2**64 - 1), st.integers(1, 9))
def test_an_image_is_damaged_the_same_alone(name, severity, key, chunk):
    images, ids = torch.cat([waves(8, 20), rough(4, 20)]), torch.arange(12) * 3 + 5
    whole = corrupt(images, ids, name, severity, key, chunk=chunk)
    for i in (0, 7, 11):
        assert torch.equal(corrupt(images[i : i + 1], ids[i : i + 1], name, severity, key)[0], whole[i])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_white_and_black_images_are_damaged_within_the_range(name):
    extreme = torch.stack([torch.zeros(3, 32, 32), torch.full((3, 32, 32), 255.0)]).to(torch.uint8)
    for severity in SEVERITIES:
        values = CORRUPTIONS[name](extreme.float(), torch.arange(2), severity, KEY)
        assert bool(torch.isfinite(values).all())


def test_a_mix_damages_each_image_by_one_of_its_corruptions(images):
    names, many = ["contrast", "fog", "gaussian_noise"], torch.arange(1500)
    shares = choice(many, 3, KEY).bincount(minlength=3)
    assert stats.chisquare(shares.numpy()).pvalue > 1e-4
    ids = torch.arange(16)
    chosen, result = choice(ids, 3, KEY), mixed(images, ids, names, 3, KEY)
    assert len(set(chosen.tolist())) == 3
    for i, name in enumerate(names):
        alone = corrupt(images, ids, name, 3, keyed.key(KEY, name, 3))
        assert torch.equal(result[chosen == i], alone[chosen == i])
    order = torch.randperm(16)
    assert torch.equal(mixed(images[order], ids[order], names, 3, KEY), result[order])


@pytest.mark.parametrize(("classes", "options"), [(10, 10), (10, 3), (4, 7), (2, 2)])
@pytest.mark.parametrize("skew", [0.05, 0.5, 0.9])
def test_corruptions_go_with_classes_but_for_a_share(classes, options, skew):
    ids, labels = torch.arange(20_000) * 3, torch.arange(20_000) % classes
    chosen = correlated_choice(labels, ids, options, skew, KEY)
    assert chosen.min() >= 0
    assert chosen.max() < options
    aligned = chosen == labels % options
    assert stats.binomtest(int((~aligned).sum()), len(ids), skew).pvalue > 1e-4
    for label in range(classes):
        others = chosen[~aligned & (labels == label)].bincount(minlength=options)
        assert others[label % options] == 0
        counted = [int(n) for i, n in enumerate(others) if i != label % options]
        assert len(counted) == 1 or stats.chisquare(counted).pvalue > 1e-5
    order = torch.randperm(len(ids))
    assert torch.equal(correlated_choice(labels[order], ids[order], options, skew, KEY), chosen[order])


def test_constants_of_severity_six_are_documented_extrapolations():
    extrapolated = {name for name, table in TABLES.items() if len(table.small) == 6}
    sixth = {name: TABLES[name].small[5] for name in extrapolated}
    assert sixth == {
        "gaussian_noise": (0.11,),
        "speckle_noise": (0.24,),
        "impulse_noise": (0.09,),
        "shot_noise": (36,),
        "gaussian_blur": (1.2,),
        "defocus_blur": (2, 0.1),
        "brightness": (0.4,),
        "contrast": (0.12,),
    }
    for name in extrapolated - {"contrast", "shot_noise"}:
        for table in (TABLES[name].small, TABLES[name].large):
            assert table[5][0] == pytest.approx(2 * table[4][0] - table[3][0])
    for table in (TABLES["shot_noise"].small, TABLES["shot_noise"].large):
        fourth, fifth, sixth_sigma = (entry[0] ** -0.5 for entry in table[3:])
        assert sixth_sigma == pytest.approx(2 * fifth - fourth, rel=0.01)


@pytest.mark.parametrize("name", TABLES)
def test_there_are_constants_for_every_severity_that_the_facts_name(name):
    table = TABLES[name]
    assert CORRUPTIONS.facts(name).severities == (len(table.small), len(table.large))


def test_the_shorter_side_decides_on_the_constants():
    for shape, side in (((3, 47, 90), 32), ((3, 48, 90), 64)):
        noise = corrupt(
            torch.full((4, *shape), 128, dtype=torch.uint8), torch.arange(4), "gaussian_noise", 5, KEY
        )
        sigma = published.CONSTANTS[side]["gaussian_noise"][4]
        assert (noise.double() - 127.5).std() == pytest.approx(255 * sigma, rel=0.03)


@pytest.mark.parametrize("name", TABLES)
def test_digits_are_damaged_where_defined_and_refused_elsewhere(name):
    digits = torch.randint(0, 256, (3, 1, 8, 8), dtype=torch.uint8)
    defined = {"gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise", "brightness", "contrast"}
    defined |= {"gaussian_blur", "defocus_blur", "jpeg_compression", "pixelate"}
    if name in defined:
        assert corrupt(digits, torch.arange(3), name, 5, KEY).shape == digits.shape
    else:
        with pytest.raises(DataError, match=r"not defined on images of 8 x 8|of 3 channels, these have 1"):
            corrupt(digits, torch.arange(3), name, 5, KEY)


def test_the_corruptions_that_are_defined_are_named():
    with pytest.raises(DataError, match="for these there are: brightness, contrast, defocus_blur") as caught:
        check_corruption("fog", (1, 8, 8))
    assert "saturate" not in str(caught.value)
    assert "snow" not in str(caught.value)


def test_no_images_are_no_images(ids):
    for name in CORRUPTIONS:
        empty = torch.empty(0, 3, 32, 32, dtype=torch.uint8)
        assert corrupt(empty, ids[:0], name, 1, KEY).shape == empty.shape
        assert mixed(empty, ids[:0], [name, "contrast"], 1, KEY).shape == empty.shape


def test_wrong_input_is_refused(images, ids):
    with pytest.raises(UnknownNameError, match="did you mean 'contrast'"):
        corrupt(images, ids, "contrats", 1, KEY)
    with pytest.raises(DataError, match="severity 6 of fog does not exist at 32 pixels; allowed is 1-5"):
        corrupt(images, ids, "fog", 6, KEY)
    with pytest.raises(DataError, match="severity 7 of contrast does not exist at 32 pixels; allowed is 1-6"):
        corrupt(images, ids, "contrast", 7, KEY)
    with pytest.raises(DataError, match="severity 6 of contrast does not exist at 64 pixels"):
        check_corruption("contrast", (3, 64, 64), 6)
    with pytest.raises(DataError, match="uint8"):
        corrupt(images.float(), ids, "contrast", 1, KEY)
    with pytest.raises(DataError, match="16 images have 3 ids"):
        corrupt(images, ids[:3], "contrast", 1, KEY)
    with pytest.raises(DataError, match="defined on images of 1 or 3 channels, these have 2"):
        corrupt(images[:, :2], ids, "jpeg_compression", 1, KEY)
    check_corruption("my.package:rain", (2, 3, 3), 5)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("shape", [(32, 48), (48, 32)])
def test_constants_are_those_of_the_shorter_side(name, shape, monkeypatch):
    function = CORRUPTIONS[name]
    module = sys.modules[function.__module__]
    asked, real = [], module.constants_of

    def noting(of, side, severity):
        asked.append((of, side, severity))
        return real(of, side, severity)

    monkeypatch.setattr(module, "constants_of", noting)
    pixels = torch.rand(2, 3, *shape, generator=torch.Generator().manual_seed(0)) * 255
    changed = function(pixels, torch.arange(2), 2, KEY)
    assert changed.shape == pixels.shape
    assert set(asked) == {(name, 32, 2)}


def test_a_flake_as_bright_as_the_threshold_stays(monkeypatch):
    """As published: ``snow_layer[snow_layer < c[3]] = 0``; mean 0.1, spread 0.2 and threshold 0.6 at severity 1."""
    black, ids = torch.zeros(1, 3, 32, 32), torch.arange(1)
    for drawn, flakes in ((2.5, 2 * 153), (2.49, 0), (20.0, 2 * 255)):
        noise = torch.full((1, 32, 32), drawn)
        monkeypatch.setattr(keyed, "normal", lambda *_, noise=noise: noise)
        damaged = CORRUPTIONS["snow"](black, ids, 1, KEY)
        torch.testing.assert_close(damaged, torch.full_like(damaged, 0.05 * 127.5 + flakes))
