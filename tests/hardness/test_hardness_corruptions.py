import numpy as np
import pytest
import torch

from hsl.errors import DataError, UnknownNameError
from hsl.hardness import CORRUPTIONS, keyed
from hsl.hardness.corruptions import contrast, corrupt, gaussian_noise
from hsl.hardness.registries import DETERMINISTIC_CORRUPTIONS

KEY = keyed.key(3, "corruption")
SEVERITIES = range(1, 6)
SIGMA = dict(zip(SEVERITIES, (0.04, 0.06, 0.08, 0.09, 0.10), strict=True))
FACTOR = dict(zip(SEVERITIES, (0.75, 0.5, 0.4, 0.3, 0.15), strict=True))


@pytest.fixture(scope="module")
def images():
    """Sixteen smooth colour images of 32 x 32 that use the whole range."""
    y, x = np.mgrid[0:32, 0:32] / 31
    phases = np.random.default_rng(0).uniform(0, 2 * np.pi, (16, 3, 2))
    waves = [[np.sin(4 * x + a) * np.cos(5 * y + b) for a, b in image] for image in phases]
    return torch.from_numpy(np.uint8(np.stack(waves) * 127.5 + 127.5))


@pytest.fixture(scope="module")
def ids():
    return torch.arange(16) * 7 + 100


def cut(x):
    """What the published script does with a float image."""
    return np.uint8(np.clip(x, 0, 1) * 255)


def literal_gaussian_noise(image, severity, noise):
    return image.numpy() / 255.0 + noise * SIGMA[severity]


def literal_contrast(image, severity):
    x = image.numpy().transpose(1, 2, 0) / 255.0
    means = np.mean(x, axis=(0, 1), keepdims=True)
    return ((x - means) * FACTOR[severity] + means).transpose(2, 0, 1)


def assert_same_up_to_the_cut(ours, theirs, share):
    """A value that lies on a whole number to 15 digits may be cut to either side."""
    distance = (ours.int() - torch.from_numpy(theirs).int()).abs()
    assert distance.max() <= 1
    assert (distance > 0).float().mean() <= share


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_is_that_of_the_published_script(images, ids, severity):
    noise = keyed.normal(KEY, ids, (3, 32, 32)).double().numpy()
    pixels = gaussian_noise(images.float(), ids, severity, KEY).numpy()
    expected = literal_gaussian_noise(images, severity, noise)
    np.testing.assert_allclose(pixels / 255, expected, atol=2e-7)
    assert_same_up_to_the_cut(corrupt(images, ids, "gaussian_noise", severity, KEY), cut(expected), 1e-4)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_contrast_is_that_of_the_published_script(images, ids, severity):
    expected = np.stack([literal_contrast(image, severity) for image in images])
    pixels = contrast(images.float(), ids, severity, KEY).numpy()
    np.testing.assert_allclose(pixels / 255, expected, atol=2e-13)
    assert_same_up_to_the_cut(corrupt(images, ids, "contrast", severity, KEY), cut(expected), 1e-3)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_gaussian_noise_has_its_standard_deviation_on_grey(severity):
    grey = torch.full((200, 3, 16, 16), 128, dtype=torch.uint8)
    noise = corrupt(grey, torch.arange(200), "gaussian_noise", severity, KEY).double() - 128
    n = noise.numel()
    # Cutting adds the variance of a uniform value, 1/12, and shifts the mean by -1/2.
    variance = (255 * SIGMA[severity]) ** 2 + 1 / 12
    assert noise.var() == pytest.approx(variance, rel=5 * (2 / n) ** 0.5)
    assert noise.mean() == pytest.approx(-0.5, abs=5 * (variance / n) ** 0.5)


def test_contrast_leaves_a_plain_image_alone(ids):
    plain = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, 1, 4, 4).contiguous()
    for severity in SEVERITIES:
        assert torch.equal(corrupt(plain, torch.arange(256), "contrast", severity, KEY), plain)


@pytest.mark.parametrize("name", ["gaussian_noise", "contrast"])
def test_damage_grows_with_severity(images, ids, name):
    damage = [
        (corrupt(images, ids, name, severity, KEY).float() - images.float()).abs().mean()
        for severity in SEVERITIES
    ]
    assert damage == sorted(damage) and damage[0] > 0 and len(set(damage)) == 5


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
        for form in (images, images[:, :1], images[:, :, :8, :12]):
            damaged = corrupt(form, ids, name, severity, KEY)
            assert damaged.dtype == torch.uint8 and damaged.shape == form.shape
            assert not torch.equal(damaged, form)
        assert torch.equal(images, before)

    def test_draws_follow_the_key_and_the_id_or_there_are_none(self, images, ids, name, severity):
        damaged = corrupt(images, ids, name, severity, KEY)
        other_key = corrupt(images, ids, name, severity, KEY + 1)
        other_ids = corrupt(images, ids + 1, name, severity, KEY)
        is_deterministic = name in DETERMINISTIC_CORRUPTIONS
        assert torch.equal(damaged, other_key) is torch.equal(damaged, other_ids) is is_deterministic


def test_no_images_are_no_images(ids):
    assert corrupt(torch.empty(0, 3, 8, 8, dtype=torch.uint8), ids[:0], "contrast", 1, KEY).shape == (
        0,
        3,
        8,
        8,
    )


def test_wrong_input_is_refused(images, ids):
    with pytest.raises(UnknownNameError, match="did you mean 'contrast'"):
        corrupt(images, ids, "contrats", 1, KEY)
    with pytest.raises(DataError, match="severity 6 does not exist; allowed is 1-5"):
        corrupt(images, ids, "contrast", 6, KEY)
    with pytest.raises(DataError, match="uint8"):
        corrupt(images.float(), ids, "contrast", 1, KEY)
    with pytest.raises(DataError, match="16 images have 3 ids"):
        corrupt(images, ids[:3], "contrast", 1, KEY)
