import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from hsl.hardness import TRAININGS, Attack, keyed
from hsl.hardness.attacks.adversarial import Attacked, TrainingLoss, evaluation_attack, training_loss
from hsl.hardness.attacks.attacks import pgd, pgd_divergence, random_start

EPS = 0.1


def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 36, 10)
        ).train()


@pytest.fixture
def batch(digits):
    return digits[0][:30].float() / 255, digits[1][:30], torch.arange(30)


def loss_of(name, seed=3, **given):
    return training_loss(Attack.model_validate({"name": name, "eps": EPS, **given}), seed)


def literal_ascent(model, images, start, gradient_of, steps, step):
    """Sign steps by autograd of a function of the logits, in the mode that the model is in.

    Returns the images, and of each the smallest slope that a step went by.
    """
    x = (images + start.clamp(-EPS, EPS)).clamp(0, 1)
    smallest = torch.full((len(images),), torch.inf)
    for _ in range(steps):
        x = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(gradient_of(model(x)), x)
        smallest = torch.minimum(smallest, gradient.abs().flatten(1).amin(dim=1).float())
        x = (images + (x.detach() + step * gradient.sign() - images).clamp(-EPS, EPS)).clamp(0, 1)
    return x, smallest


ROUNDING = 1e-8
"""What single precision makes of a slope of zero, a few times over."""


def literal_attack(name, model, images, labels, ids):
    """Images as the papers' attacks of three steps leave them, and of each the smallest slope on the way."""
    start = 0.001 * keyed.normal(keyed.key(3, "attack", 2), ids, (1, 8, 8))
    divergence = nn.KLDivLoss(reduction="sum")
    target = functional.softmax(model(images), dim=1).detach()
    ascended = {
        "trades": lambda logits: divergence(functional.log_softmax(logits, dim=1), target),
        "mart": lambda logits: functional.cross_entropy(logits, labels, reduction="sum"),
    }
    return literal_ascent(model, images, start, ascended[name], 3, 2 / 255)


@pytest.mark.parametrize("name", ["trades", "mart"])
def test_the_loss_is_that_of_the_published_training(name, digits):
    """Written out again after the papers, with KLDivLoss and one softmax at a time.

    On images where double precision says that no slope is as small as the rounding of single precision: there two
    right ways to write a gradient may step to different sides.
    """
    images, labels, ids = digits[0][:120].double() / 255, digits[1][:120], torch.arange(120)
    _, smallest = literal_attack(name, network().double().eval(), images, labels, ids)
    sure = (smallest > ROUNDING).nonzero()[:30, 0]
    assert len(sure) == 30
    images, labels, ids = images[sure].float(), labels[sure], ids[sure]
    model = network()
    found, loss = loss_of(name, steps=3)(model, images, labels, ids, 2)
    literal = network()
    attacked, _ = literal_attack(name, literal.eval(), images, labels, ids)
    literal.train()
    clean, moved = literal(images), literal(attacked)
    p, q = functional.softmax(clean, dim=1), functional.softmax(moved, dim=1)
    rows = torch.arange(30)
    kl = (p * (p.log() - q.log())).sum(dim=1)
    if name == "trades":
        expected = functional.cross_entropy(clean, labels) + 6 * kl.mean()
    else:
        wrong = q.clone()
        wrong[rows, labels] = 0
        boosted = -q[rows, labels].log() - (1.0001 - wrong.max(dim=1).values).log()
        expected = boosted.mean() + 5 * (kl * (1 - p[rows, labels])).mean()
    torch.testing.assert_close(found, moved)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    for ours, theirs in zip(model.parameters(), literal.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model[1].running_mean, literal[1].running_mean)


def literal_free(model, images, labels, replays, batches):
    """Free adversarial training, batch after batch, as an explicit loop over one noise tensor."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    noise = torch.zeros_like(images[: len(batches[0])])
    for batch in batches:
        for _ in range(replays):
            delta = noise[: len(batch)].clone().requires_grad_()
            shifted = images[batch] + delta
            inside = (shifted >= 0) & (shifted <= 1)
            seen = torch.where(inside, shifted, (shifted > 1).float())
            loss = functional.cross_entropy(model(seen), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            noise[: len(batch)] = (noise[: len(batch)] + EPS * delta.grad.sign()).clamp(-EPS, EPS)
            optimizer.step()


def test_free_training_moves_weights_and_perturbation_at_once(batch):
    images, labels, ids = batch
    batches = [torch.arange(0, 12), torch.arange(12, 24), torch.arange(24, 30)]
    ours, theirs = network(), network()
    free = loss_of("free", replays=3)
    assert free.replays == 3
    for begun in range(2):  # a new epoch starts from no perturbation
        free.begin_epoch()
        optimizer = torch.optim.SGD(ours.parameters(), lr=0.1)
        for part in batches:
            for _ in range(3):
                _, loss = free(ours, images[part], labels[part], ids[part], 1 + begun)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        literal_free(theirs, images, labels, 3, batches)
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name])


def after_one_step(at_bounds, images, labels, ids):
    """What a network sees of a batch in the second step of free training."""
    free, model, seen = loss_of("free", at_bounds=at_bounds), network(), []
    model[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach()))
    for _ in range(2):
        free(model, images, labels, ids, 1)[1].backward()
    return seen[1]


def test_free_training_moves_black_and_white_pixels_or_follows_clamp(batch):
    images, labels, ids = batch
    at_bound = torch.zeros(1, requires_grad=True)
    at_bound.clamp(0, 1).backward()
    is_bound = (images == 0) | (images == 1)
    assert 0.3 < is_bound.float().mean() < 0.9
    moved, clamped = (after_one_step(rule, images, labels, ids) for rule in ("moved", "clamp"))
    assert torch.equal(moved[~is_bound], clamped[~is_bound])
    assert (moved != images)[is_bound].float().mean() > 0.3
    assert ((clamped != images)[is_bound].any() == (at_bound.grad == 1)).all()
    assert torch.equal(after_one_step(None, images, labels, ids), moved)


def test_free_training_takes_a_larger_batch_after_a_smaller_one(batch):
    images, labels, ids = batch
    free, model = loss_of("free"), network()
    for size in (5, 9, 3):
        _, loss = free(model, images[:size], labels[:size], ids[:size], 1)
        loss.backward()
    seen = {}
    with_hook = copy.deepcopy(model)
    with_hook[0].register_forward_pre_hook(lambda _, inputs: seen.update(images=inputs[0].detach()))
    free(with_hook, torch.full_like(images, 0.5)[:30], labels, ids, 1)
    moved = (seen["images"] - 0.5).abs().flatten(1).amax(dim=1)
    torch.testing.assert_close(moved[:9], torch.full((9,), EPS))
    assert bool((moved[9:] == 0).all())


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_free_training_stays_in_the_ball(batch, norm):
    images, labels, ids = batch
    free, model = loss_of("free", norm=norm), network()
    sizes = []
    model[0].register_forward_pre_hook(lambda _, inputs: sizes.append((inputs[0] - images).detach()))
    for _ in range(5):
        free(model, images, labels, ids, 1)[1].backward()
    largest = [s.abs().amax() if norm == "linf" else s.flatten(1).norm(dim=1).amax() for s in sizes]
    assert largest[0] == 0
    assert 0.5 * EPS < max(largest) <= EPS + 1e-6


def test_without_an_attack_it_is_the_cross_entropy(batch):
    images, labels, ids = batch
    model = network()
    logits, loss = training_loss(None, 0)(model, images, labels, ids, 1)
    expected = network()(images)
    assert torch.equal(logits, expected)
    assert torch.equal(loss, functional.cross_entropy(expected, labels))
    assert training_loss(None, 0).replays == 1


def test_a_plain_attack_is_trained_on_its_images(batch):
    images, labels, ids = batch
    model = network()
    logits, _ = loss_of("pgd", steps=2)(model, images, labels, ids, 4)
    start = random_start(keyed.key(3, "attack", 4), ids, (1, 8, 8), EPS)
    attacked = pgd(network(), images, labels, eps=EPS, step=2 / 255, steps=2, start=start)
    torch.testing.assert_close(logits, network()(attacked))


@pytest.mark.parametrize("name", ["pgd", "trades", "mart"])
@pytest.mark.parametrize(("bn_mode", "updates"), [("eval", 0), ("train", 4)])
def test_crafting_leaves_running_statistics_alone_unless_asked(name, bn_mode, updates, batch):
    images, labels, ids = batch
    model = network()
    loss = loss_of(name, steps=4, bn_mode=bn_mode)
    loss(model, images, labels, ids, 1)
    forwards = {"pgd": 1, "trades": 2, "mart": 2}[name]  # those of the loss itself
    extra = 1 if (name, bn_mode) == ("trades", "train") else 0  # the clean prediction
    assert int(model[1].num_batches_tracked) == forwards + updates + extra


@pytest.mark.parametrize("name", ["pgd", "trades", "mart"])
def test_a_sample_is_attacked_the_same_in_any_batch(name, batch):
    images, labels, ids = batch
    model = network().eval()
    whole, _ = loss_of(name)(model, images, labels, ids, 1)
    part, _ = loss_of(name)(model, images[7:12], labels[7:12], ids[7:12], 1)
    torch.testing.assert_close(whole[7:12], part, rtol=1e-3, atol=1e-3)


def test_the_divergence_grows_from_a_start(batch):
    images, labels, _ = batch
    model = network().eval()
    start = 0.001 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))

    def distance(attacked):
        p, q = (functional.softmax(model(x).double(), dim=1) for x in (images, attacked))
        return (p * (p.log() - q.log())).sum(dim=1)

    moved = distance(pgd_divergence(model, images, labels, eps=EPS, step=0.02, steps=10, start=start))
    assert bool((moved > distance(images + start)).all())


def test_trainings_are_evaluated_by_pgd(batch):
    images, labels, ids = batch
    model = network().eval()
    for name in TRAININGS:
        attack = Attack.model_validate({"name": name, "eps": EPS, "eval_steps": 5})
        start = random_start(9, ids, (1, 8, 8), EPS)
        step = EPS / 2 if name == "free" else 2 / 255
        expected = pgd(model, images, labels, eps=EPS, step=step, steps=5, start=start)
        assert torch.equal(evaluation_attack(attack, 9)(model, images, labels, ids), expected)
    assert evaluation_attack(None, 9) is None


def test_every_training_is_a_training_loss():
    for name in TRAININGS:
        assert issubclass(TRAININGS[name], TrainingLoss)
        assert not isinstance(loss_of(name), Attacked) or loss_of(name).replays == 1
