import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from hsl.errors import HslError
from hsl.hardness import ATTACKS, keyed
from hsl.hardness.attacks.attacks import fgsm_rs, pgd, pgd_margin, random_start
from hsl.hardness.attacks.modes import frozen

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


FORMS = [(name, norm) for name in ATTACKS for norm in ("linf", "l2") if (name, norm) != ("fgsm_rs", "l2")]


def size(change, norm):
    return change.abs().amax(dim=(1, 2, 3)) if norm == "linf" else change.flatten(1).norm(dim=1)


@pytest.mark.parametrize(("name", "norm"), FORMS)
@settings(max_examples=25, deadline=None)
@given(st.floats(0, 1), st.floats(0.001, 1), st.integers(1, 5), st.booleans(), st.integers(0, 1000))
def test_every_attack_stays_in_the_ball_and_in_range(name, norm, eps, step, steps, starts_at_random, seed):
    images, labels = batch(seed=seed)
    before = images.clone()
    start = random_start(keyed.key(seed), torch.arange(12), (2, 6, 6), eps) if starts_at_random else None
    model = small_network(seed).eval()
    attacked = ATTACKS[name](
        model, images, labels, eps=eps, step=step, steps=steps, norm=norm, start=start, bn_mode="eval"
    )
    assert attacked.dtype == torch.float32
    assert attacked.shape == images.shape
    assert not attacked.requires_grad
    assert attacked.min() >= 0
    assert attacked.max() <= 1
    assert size(attacked - images, norm).max() <= eps + ROUNDING
    assert torch.equal(images, before)


@pytest.mark.parametrize(("name", "norm"), FORMS)
def test_eps_zero_is_the_clean_image(name, norm):
    images, labels = batch()
    attacked = ATTACKS[name](
        small_network(), images, labels, eps=0, step=STEP, steps=3, norm=norm, start=torch.ones_like(images)
    )
    assert torch.equal(attacked, images)
    assert attacked.data_ptr() != images.data_ptr()


@pytest.mark.parametrize(("name", "norm"), [form for form in FORMS if form[0] != "pgd_divergence"])
@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 6), st.booleans())
def test_the_loss_is_not_lower_on_average(name, norm, seed, steps, starts_at_random):
    images, labels = batch(n=64, seed=seed)
    model = small_network(seed).eval()
    eps = 8 / 255 if norm == "linf" else 0.3
    start = random_start(seed, torch.arange(64), (2, 6, 6), eps) if starts_at_random else None
    attacked = ATTACKS[name](
        model, images, labels, eps=eps, step=eps, steps=steps, norm=norm, start=start, bn_mode="eval"
    )
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


def test_every_step_in_l2_is_the_textbook_step():
    images, labels = batch()
    model = small_network().eval()
    start = random_start(1, torch.arange(12), (2, 6, 6), 0.5)
    x = images + start / (start.flatten(1).norm(dim=1) / 0.5).clamp(min=1)[:, None, None, None]
    x = x.clamp(0, 1)
    for _ in range(4):
        x = x.clone().requires_grad_()
        functional.cross_entropy(model(x), labels).backward()
        steps = []
        for image, moved, gradient in zip(images, x.detach(), x.grad, strict=True):
            change = moved + 0.2 * gradient / gradient.norm() - image
            steps.append((image + change * min(1, 0.5 / change.norm())).clamp(0, 1))
        x = torch.stack(steps)
    attacked = pgd(model, images, labels, eps=0.5, step=0.2, steps=4, norm="l2", start=start)
    torch.testing.assert_close(attacked, x, rtol=0, atol=1e-5)
    assert size(attacked - images, "l2").max() > 0.45


def test_the_margin_attack_follows_the_margin():
    images, labels = batch()
    model = small_network().eval()
    x = images.clone().requires_grad_()
    logits = model(x)
    others = logits.clone()
    others[torch.arange(12), labels] = -1e9
    (others.max(dim=1).values - logits[torch.arange(12), labels]).sum().backward()
    expected = (images + STEP * x.grad.sign()).clamp(0, 1)
    attacked = pgd_margin(model, images, labels, eps=EPS, step=STEP, steps=1)
    torch.testing.assert_close(attacked, expected)
    sure = copy.deepcopy(model)
    sure[
        4
    ].weight.data *= 1e8  # of several wrong classes the likeliest decides: both attacks follow the margin
    right = sure(images).argmax(dim=1).detach()
    attacked = pgd_margin(sure, images, right, eps=EPS, step=STEP, steps=1)
    assert not torch.equal(attacked, images)
    assert torch.equal(pgd(sure, images, right, eps=EPS, step=STEP, steps=1), attacked)


def test_a_point_without_gradient_is_left_alone():
    images, labels = batch()
    constant = nn.Sequential(nn.Flatten(), nn.Linear(72, 4))
    constant[1].weight.data.zero_()
    for norm in ("linf", "l2"):
        assert torch.equal(pgd(constant, images, labels, eps=0.5, step=0.1, steps=2, norm=norm), images)


def test_fgsm_rs_is_one_large_step_from_a_random_start_and_evaluated_by_pgd():
    images, labels = batch()
    model = small_network().eval()
    start = random_start(1, torch.arange(12), (2, 6, 6), EPS)
    x = (images + start).clamp(0, 1).requires_grad_()
    functional.cross_entropy(model(x), labels).backward()
    moved = images + (x + 1.25 * EPS * x.grad.sign() - images).clamp(-EPS, EPS)
    attacked = fgsm_rs(model, images, labels, eps=EPS, step=1.25 * EPS, start=start)
    torch.testing.assert_close(attacked, moved.clamp(0, 1).detach(), rtol=0, atol=1e-6)
    evaluated = fgsm_rs(model, images, labels, eps=EPS, step=1.25 * EPS, steps=10, start=start)
    expected = pgd(model, images, labels, eps=EPS, step=EPS / 4, steps=10, start=start)
    assert torch.equal(evaluated, expected)
    with pytest.raises(HslError, match="defined for norm linf, not for 'l2'; use pgd"):
        fgsm_rs(model, images, labels, eps=EPS, step=EPS, norm="l2")


@pytest.mark.parametrize("bn_mode", ["eval", "train"])
def test_flags_weights_and_gradients_are_left_alone(bn_mode):
    model = small_network().train()
    model[1].eval()
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    model[0].weight.grad = None
    model[4].bias.requires_grad_(False)
    flags, weights = [m.training for m in model.modules()], copy.deepcopy(dict(model.named_parameters()))
    pgd(model, *batch(), eps=EPS, step=STEP, steps=2, bn_mode=bn_mode)
    assert [m.training for m in model.modules()] == flags
    assert [n for n, p in model.named_parameters() if not p.requires_grad] == ["4.bias"]
    assert same(weights, dict(model.named_parameters()))
    assert model[0].weight.grad is None
    assert all(bool((p.grad == 1).all()) for n, p in model.named_parameters() if n != "0.weight")


def test_flags_are_restored_when_the_model_fails():
    model = small_network().train()
    with pytest.raises(RuntimeError):
        pgd(model, torch.rand(2, 5, 6, 6), torch.tensor([0, 1]), eps=EPS, step=STEP, steps=1)
    assert all(module.training for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())


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
    fgsm = accuracy(pgd(network, images, labels, eps=EPS, step=EPS, steps=1))
    twenty = accuracy(pgd(network, images, labels, eps=EPS, step=STEP, steps=20))
    margin = accuracy(pgd_margin(network, images, labels, eps=EPS, step=STEP, steps=20))
    assert twenty <= fgsm <= accuracy(images)
    assert twenty <= one <= accuracy(images)
    assert twenty < accuracy(images) - 0.05
    assert abs(margin - twenty) < 0.02
    small, large = (
        accuracy(pgd(network, images, labels, eps=eps, step=eps / 4, steps=10, norm="l2"))
        for eps in (0.1, 0.5)
    )
    assert large < small - 0.05
    assert small <= accuracy(images)


def test_a_random_start_fills_the_ball():
    start = random_start(keyed.key(2), torch.arange(300), (3, 8, 8), EPS)
    assert start.abs().max() <= EPS
    assert start.min() < -0.99 * EPS
    assert start.max() > 0.99 * EPS
    assert start.std().item() == pytest.approx(EPS / 3**0.5, rel=0.02)
    assert torch.equal(random_start(keyed.key(2), torch.tensor([7]), (3, 8, 8), EPS)[0], start[7])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"eps": 8}, "pixel units, for example 8/255"),
        ({"eps": -0.1}, "pixel units, for example 8/255"),
        ({"step": 0}, "step above 0"),
        ({"steps": 0}, "at least 1"),
        ({"norm": "l1"}, "known: linf, l2"),
        ({"bn_mode": "off"}, "known: eval, train"),
    ],
)
def test_wrong_parameters_are_refused(wrong, message):
    with pytest.raises(HslError, match=message):
        pgd(small_network(), *batch(), **{"eps": EPS, "step": STEP, "steps": 1, **wrong})


def test_parameters_are_constants_while_an_attack_runs():
    model = small_network()
    model[1].bias.requires_grad_(False)
    before = [parameter.requires_grad for parameter in model.parameters()]
    with frozen(model):
        assert not any(parameter.requires_grad for parameter in model.parameters())
    assert [parameter.requires_grad for parameter in model.parameters()] == before
