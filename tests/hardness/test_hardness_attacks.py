import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from hsl.errors import HslError
from hsl.hardness import ATTACKS, keyed
from hsl.hardness.attacks import pgd, random_start

EPS, STEP = 16 / 255, 4 / 255
ROUNDING = 1e-6


def small_network(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        convolution = nn.Conv2d(2, 6, 3)
        return nn.Sequential(convolution, nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 4))


def batch(n=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(n, 2, 6, 6, generator=generator).mul(1.4).sub(0.2).clamp(0, 1)
    return images, torch.randint(0, 4, (n,), generator=generator)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first, second):
    return all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", ATTACKS)
@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0.001, 1), st.integers(1, 5), st.booleans(), st.integers(0, 1000))
def test_every_attack_stays_in_the_ball_and_in_range(name, eps, step, steps, starts_at_random, seed):
    images, labels = batch(seed=seed)
    before = images.clone()
    start = random_start(keyed.key(seed), torch.arange(12), (2, 6, 6), eps) if starts_at_random else None
    model = small_network(seed).eval()
    attacked = ATTACKS[name](
        model, images, labels, eps=eps, step=step, steps=steps, norm="linf", start=start, bn_mode="eval"
    )
    assert attacked.dtype == torch.float32 and attacked.shape == images.shape and not attacked.requires_grad
    assert attacked.min() >= 0 and attacked.max() <= 1
    assert (attacked - images).abs().max() <= eps + ROUNDING
    assert torch.equal(images, before)


def test_no_perturbation_is_allowed_where_eps_is_zero():
    images, labels = batch()
    attacked = pgd(small_network(), images, labels, eps=0, step=STEP, steps=3, start=torch.zeros_like(images))
    assert torch.equal(attacked, images)
    assert attacked.data_ptr() != images.data_ptr()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
def test_the_loss_is_not_lower_on_average(seed, steps, starts_at_random):
    images, labels = batch(n=64, seed=seed)
    model = small_network(seed).eval()
    start = random_start(seed, torch.arange(64), (2, 6, 6), 8 / 255) if starts_at_random else None
    attacked = pgd(model, images, labels, eps=8 / 255, step=8 / 255, steps=steps, start=start)
    with torch.no_grad():
        assert functional.cross_entropy(model(attacked), labels) >= functional.cross_entropy(
            model(images), labels
        )


def test_a_linear_model_of_two_classes_is_attacked_to_the_optimum():
    images, labels = batch()
    labels = labels % 2
    model = nn.Sequential(nn.Flatten(), nn.Linear(72, 2))
    weight = model[1].weight.detach()
    towards_other = (weight[1 - labels] - weight[labels]).view_as(images)
    optimum = (images + EPS * towards_other.sign()).clamp(0, 1)
    start = random_start(1, torch.arange(12), (2, 6, 6), EPS)
    attacked = pgd(model, images, labels, eps=EPS, step=STEP, steps=8, start=start)
    torch.testing.assert_close(attacked, optimum)


def test_every_step_is_the_textbook_step():
    images, labels = batch()
    model = small_network().eval()
    start = random_start(1, torch.arange(12), (2, 6, 6), EPS)
    x = (images + start).clamp(0, 1)
    for _ in range(3):
        x = x.clone().requires_grad_()
        functional.cross_entropy(model(x), labels).backward()
        x = (x + STEP * x.grad.sign()).detach()
        x = (images + (x - images).clamp(-EPS, EPS)).clamp(0, 1)
    attacked = pgd(model, images, labels, eps=EPS, step=STEP, steps=3, start=start)
    torch.testing.assert_close(attacked, x, rtol=0, atol=1e-6)


@pytest.mark.parametrize("bn_mode", ["eval", "train"])
def test_flags_weights_and_gradients_are_left_alone(bn_mode):
    model = small_network().train()
    model[1].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    model[0].weight.grad = None
    flags, weights = [m.training for m in model.modules()], copy.deepcopy(dict(model.named_parameters()))
    pgd(model, *batch(), eps=EPS, step=STEP, steps=2, bn_mode=bn_mode)
    assert [m.training for m in model.modules()] == flags
    assert same(weights, dict(model.named_parameters()))
    assert model[0].weight.grad is None
    assert all(bool((p.grad == 1).all()) for n, p in model.named_parameters() if n != "0.weight")


def test_flags_are_restored_when_the_model_fails():
    model = small_network().train()
    with pytest.raises(RuntimeError):
        pgd(model, torch.rand(2, 5, 6, 6), torch.tensor([0, 1]), eps=EPS, step=STEP, steps=1)
    assert all(module.training for module in model.modules())


def test_running_statistics_move_in_train_mode_alone():
    model = small_network().train()
    before = state(model)
    pgd(model, *batch(), eps=EPS, step=STEP, steps=5)
    assert same(before, state(model))
    pgd(model, *batch(), eps=EPS, step=STEP, steps=5, bn_mode="train")
    assert int(model[1].num_batches_tracked) == 5
    assert not torch.equal(before["1.running_mean"], model[1].running_mean)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_an_evaluator_without_gradients_gets_the_same_attack(context):
    images, labels = batch()
    model = small_network().eval()
    expected = pgd(model, images, labels, eps=EPS, step=STEP, steps=3)
    with context():
        attacked = pgd(model, images.clone(), labels.clone(), eps=EPS, step=STEP, steps=3)
    assert torch.equal(attacked, expected)


def test_the_attack_works_in_float32_under_autocast():
    images, labels = batch()
    model = small_network().eval()
    expected = pgd(model, images, labels, eps=EPS, step=STEP, steps=3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(pgd(model, images, labels, eps=EPS, step=STEP, steps=3), expected)


def test_a_sample_is_attacked_the_same_in_any_batch():
    images, labels = batch()
    model = small_network().eval()
    whole = pgd(model, images, labels, eps=EPS, step=STEP, steps=1)
    parts = [
        pgd(model, images[i : i + 5], labels[i : i + 5], eps=EPS, step=STEP, steps=1) for i in (0, 5, 10)
    ]
    torch.testing.assert_close(torch.cat(parts), whole)


def test_more_steps_are_a_stronger_attack(digits, network):
    images, labels = digits[0].float() / 255, digits[1]

    def accuracy(x):
        with torch.no_grad():
            return (network(x).argmax(dim=1) == labels).float().mean().item()

    one = accuracy(pgd(network, images, labels, eps=EPS, step=STEP, steps=1))
    twenty = accuracy(pgd(network, images, labels, eps=EPS, step=STEP, steps=20))
    assert twenty <= one <= accuracy(images)
    assert twenty < accuracy(images) - 0.05


def test_a_random_start_fills_the_ball():
    start = random_start(keyed.key(2), torch.arange(300), (3, 8, 8), EPS)
    assert start.abs().max() <= EPS and start.min() < -0.99 * EPS and start.max() > 0.99 * EPS
    assert start.std().item() == pytest.approx(EPS / 3**0.5, rel=0.02)
    assert torch.equal(random_start(keyed.key(2), torch.tensor([7]), (3, 8, 8), EPS)[0], start[7])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"eps": 8}, "pixel units, for example 8/255"),
        ({"eps": -0.1}, "pixel units, for example 8/255"),
        ({"step": 0}, "step above 0"),
        ({"steps": 0}, "at least 1"),
        ({"norm": "l2"}, "known: linf"),
        ({"bn_mode": "off"}, "known: eval, train"),
    ],
)
def test_wrong_parameters_are_refused(wrong, message):
    with pytest.raises(HslError, match=message):
        pgd(small_network(), *batch(), **{"eps": EPS, "step": STEP, "steps": 1, **wrong})
