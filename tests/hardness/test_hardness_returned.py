"""Plug-ins that return something else than their registry says are refused where they run."""

import pytest
import torch

from hsl.errors import DataError
from hsl.hardness.apply import Samples, mislabelled
from hsl.hardness.attacks.adversarial import evaluation_attack, training_loss
from hsl.hardness.attacks.robustness import still_right
from hsl.hardness.corruptions.corrupt import corrupt
from hsl.hardness.schema.regimes import Attack, LabelNoise
from hsl.hardness.selection import select

N = 40


def in_unit_range(pixels, ids, severity, key):
    return pixels / 255


def not_a_number(pixels, ids, severity, key):
    return pixels * float("nan")


def of_one_channel(pixels, ids, severity, key):
    return pixels[:, :1]


def whole_numbers(pixels, ids, severity, key):
    return pixels.to(torch.uint8)


def darker(pixels, ids, severity, key):
    return pixels * 0.1


def half_of_them(scores, ids, key):
    return torch.arange(len(ids) // 2)


def a_mask(scores, ids, key):
    return scores > scores.median()


def one_twice(scores, ids, key):
    return torch.zeros(len(ids), dtype=torch.int64)


def all_of_class_nine(labels, ids, rate, classes, key):
    return torch.full_like(labels, 9), torch.ones_like(labels, dtype=torch.bool)


def silent(labels, ids, rate, classes, key):
    return (labels + 1) % classes, torch.zeros_like(labels, dtype=torch.bool)


def too_far(model, images, labels, *, eps, step, steps, norm, start, bn_mode="eval"):
    return (images + 2 * eps).clamp(0, 1)


def outside(model, images, labels, *, eps, step, steps, norm, start, bn_mode="eval"):
    return images - eps


def within(model, images, labels, *, eps, step, steps, norm, start, bn_mode="eval"):
    return (images + eps).clamp(0, 1)


def in_place(model, images, labels, *, eps, step, steps, norm, start, bn_mode="eval"):
    images += 20 * eps
    return images


def careless(model, images, labels, *, eps, step, steps, norm, start, bn_mode="eval"):
    """Overwrites the labels, leaves gradients of its own and a frozen model behind."""
    labels.fill_(0)
    moved = images.requires_grad_()
    torch.nn.functional.cross_entropy(model(moved), labels).backward()
    model.requires_grad_(False)
    return (moved + eps * moved.grad.sign()).clamp(0, 1)


def share_right(model, images, labels, ids, *, eps, norm, seed):
    return torch.rand(len(images))


def images(value=200):
    return torch.full((N, 3, 8, 8), value, dtype=torch.uint8)


IDS = torch.arange(N)


def here(name):
    return f"{__name__}:{name}"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("in_unit_range", "0 to 255, not 0 to 1"),
        ("not_a_number", "not finite"),
        ("of_one_channel", r"returned \[40, 1, 8, 8\]"),
        ("whole_numbers", "torch.uint8"),
    ],
)
def test_a_corruption_returns_pixels(name, message):
    with pytest.raises(DataError, match=message):
        corrupt(images(), IDS, here(name), 1, 0)


def test_black_images_and_darkness_are_no_fault():
    assert corrupt(images(0), IDS, here("in_unit_range"), 1, 0).max() == 0
    assert corrupt(images(), IDS, here("darker"), 1, 0).max() == 20


@pytest.mark.parametrize(
    ("name", "message"),
    [("half_of_them", r"returned \[20\]"), ("a_mask", "torch.bool"), ("one_twice", "stands once")],
)
def test_a_selection_returns_an_order(name, message):
    with pytest.raises(DataError, match=message):
        select(torch.rand(N), torch.zeros(N, dtype=torch.int64), IDS, 0.5, here(name))


@pytest.mark.parametrize(
    ("name", "message"), [("all_of_class_nine", "outside 0-2"), ("silent", "call wrong")]
)
def test_a_label_noise_returns_labels(name, message):
    samples = Samples(images(), IDS % 3, IDS)
    with pytest.raises(DataError, match=message):
        mislabelled(samples, LabelNoise(kind=here(name), rate=0.3), torch.arange(3), 0)


def logits_of_means():
    class Means(torch.nn.Module):
        def forward(self, pixels):
            return pixels.mean((2, 3))

    return Means()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize(
    ("name", "message"), [("too_far", "and eps is 0.1"), ("outside", r"outside \[0, 1\]")]
)
def test_an_attack_keeps_to_its_bounds(name, message, norm):
    attack = Attack(name=here(name), eps=0.1, step=0.1, steps=1, norm=norm)
    pixels = torch.zeros(N, 3, 8, 8)
    with pytest.raises(DataError, match=message):
        training_loss(attack, 0)(logits_of_means(), pixels, IDS % 3, IDS, 1)
    evaluate = evaluation_attack(attack, 0)
    with pytest.raises(DataError, match=message):
        evaluate(logits_of_means(), pixels, IDS % 3, IDS)


def test_an_attack_may_not_move_the_images_that_it_is_compared_with():
    attack = Attack(name=here("in_place"), eps=0.01, step=0.01, steps=1)
    pixels = torch.full((N, 3, 8, 8), 0.5)
    with pytest.raises(DataError, match=r"eps is 0\.01"):
        training_loss(attack, 0)(logits_of(), pixels, IDS % 3, IDS, 1)
    assert (pixels == 0.5).all()


def logits_of():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))


def test_what_an_attack_does_to_its_inputs_does_not_count():
    """Labels stay, the gradients of the step are those of its loss alone, and the model is trained."""
    attack = Attack(name=here("careless"), eps=0.1, step=0.1, steps=1)
    model, labels, pixels = logits_of(), IDS % 3, torch.rand(N, 3, 8, 8)
    _, loss = training_loss(attack, 0)(model, pixels, labels, IDS, 1)
    assert torch.equal(labels, IDS % 3)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    loss.backward()
    assert model[1].weight.grad.abs().sum() > 0
    before = [parameter.grad.clone() for parameter in model.parameters()]
    evaluation_attack(attack, 0)(model, pixels, labels, IDS)
    assert all(
        torch.equal(parameter.grad, old) for parameter, old in zip(model.parameters(), before, strict=True)
    )


def test_an_attack_within_its_bounds_is_taken():
    attack = Attack(name=here("within"), eps=0.1, step=0.1, steps=1)
    moved = evaluation_attack(attack, 0)(logits_of_means(), torch.zeros(N, 3, 8, 8), IDS % 3, IDS)
    assert moved.max() == pytest.approx(0.1)


def test_a_measure_of_robustness_returns_which_are_right():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    with pytest.raises(DataError, match=r"torch\.bool"):
        still_right(here("share_right"), model, images(), IDS % 3, IDS, eps=0.1)
