"""Methods that move, grow or alternate their non-zeros, against literal versions and published schedules."""

import copy
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hsl.errors import MethodError
from hsl.sparsity import METHODS, Sparsifier, check_hyperparameters
from hsl.sparsity.criteria import Signals
from hsl.sparsity.distributions.allocate import share_out
from hsl.sparsity.layers import Layers
from hsl.sparsity.masks import drop_and_grow
from hsl.sparsity.methods.weight_scores import CRITERIA
from hsl.sparsity.schedules import (
    AlternatingSchedule,
    DropAndGrowSchedule,
    GradualSchedule,
    cosine_drop_fraction,
    stepwise_fraction,
)

GENERATOR = torch.Generator().manual_seed(0)


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9} | options)


def take_step(model, optimizer, digits, step):
    images, classes = digits
    rows = slice(32 * step, 32 * step + 32)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(images[rows]), classes[rows]).backward()
    optimizer.step()


def layers_of(model):
    return [layer for layer in model if isinstance(layer, nn.Linear)]


def counts_of(model):
    return [int(layer.weight_mask.sum()) for layer in layers_of(model)]


def test_set_drops_the_positive_and_negative_weights_closest_to_zero():
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.5, -0.1, -0.2, -0.3, -0.4, -0.5, 0.0, 0.0])
    mask = torch.arange(12) < 10
    scores = CRITERIA["signed_magnitude"](Signals(weights, None, GENERATOR, mask))
    found = torch.logical_or(*drop_and_grow(mask, scores, torch.zeros(12), 4))
    # Grow scores tie, so the dropped weights of lowest index come back; what is kept is what matters.
    assert sorted(scores[mask].argsort()[:4].tolist()) == [0, 1, 5, 6]
    assert found[[2, 3, 4, 7, 8, 9]].all()


@given(st.lists(st.sampled_from([-3.0, -2.0, -0.5, 0.0, 0.25, 1.0, 4.0]), min_size=1, max_size=30), st.data())
def test_signed_drop_takes_of_each_sign_in_proportion(values, data):
    weights = torch.tensor(values)
    n = data.draw(st.integers(0, len(values)))
    scores = CRITERIA["signed_magnitude"](Signals(weights, None, GENERATOR))
    dropped = set(scores.argsort(stable=True)[:n].tolist())
    for sign in (weights >= 0, weights < 0):
        group = sign.nonzero().flatten().tolist()
        taken = [index for index in group if index in dropped]
        assert abs(len(taken) - n * len(group) / len(values)) <= 1
        kept = [abs(values[index]) for index in group if index not in dropped]
        assert all(abs(values[index]) <= smallest for index in taken for smallest in kept)


def test_set_moves_the_same_fraction_to_the_end(mlp, digits):
    optimizer = sgd(mlp)
    Sparsifier(mlp, optimizer, method="set", sparsity=0.8, total_steps=40, hyperparameters={"interval": 0.1})
    expected = counts_of(mlp)
    for step in range(40):
        before = [layer.weight_mask.clone() for layer in layers_of(mlp)]
        weights = [layer.weight.detach().clone() for layer in layers_of(mlp)]
        take_step(mlp, optimizer, digits, step)
        assert counts_of(mlp) == expected
        for layer, mask, weight in zip(layers_of(mlp), before, weights, strict=True):
            n = int(0.3 * int(mask.sum()))
            lost = mask & ~layer.weight_mask
            if step % 4 or step == 0:
                assert torch.equal(layer.weight_mask, mask)
                continue
            assert 0 < int(lost.sum()) <= n
            for sign in (weight >= 0, weight < 0):
                if not (lost & sign).any():
                    continue
                limit = math.ceil(n * int((mask & sign).sum()) / int(mask.sum())) + 1
                smallest = weight[mask & sign].abs().sort().values[:limit]
                assert (weight[lost & sign].abs() <= smallest.max()).all()


def test_rigl_itop_explores_more_than_rigl(mlp, digits):
    explored = []
    for method in ("rigl", "rigl_itop"):
        model = copy.deepcopy(mlp)
        optimizer = sgd(model)
        Sparsifier(model, optimizer, method=method, sparsity=0.9, total_steps=50)
        union = model[0].weight_mask.clone()
        for step in range(50):
            take_step(model, optimizer, digits, step)
            union |= model[0].weight_mask
        explored.append(int(union.sum()))
    assert explored[1] > explored[0]
    assert check_hyperparameters("rigl_itop", {}) == {"drop_fraction": 0.5, "interval": 0.04, "until": 1.0}


def test_mest_drops_by_weight_and_gradient_in_two_steps():
    weight, gradient = torch.tensor([1.0, -0.5, 0.2]), torch.tensor([0.0, 0.1, -0.6])
    scores = CRITERIA["magnitude_and_gradient"](Signals(weight, 2 * gradient, GENERATOR))
    assert scores.tolist() == pytest.approx([1.0, 0.7, 1.4])
    # Sparsity .92, .91, .90 at 90 and 120 of 160 epochs: 20 %, 10 % and nothing of what is active.
    fractions = [stepwise_fraction(epoch, 0.2, 120) for epoch in (0, 89, 90, 119, 120, 159)]
    assert [0.9 + 0.1 * fraction for fraction in fractions] == pytest.approx(
        [0.92, 0.92, 0.91, 0.91, 0.9, 0.9]
    )


def test_mest_reads_its_gradient_weight(mlp, digits):
    masks = []
    for weight in (0.0, 1e5):
        model = copy.deepcopy(mlp)
        optimizer = sgd(model, lr=0.0)
        Sparsifier(
            model,
            optimizer,
            method="mest",
            sparsity=0.8,
            total_steps=20,
            hyperparameters={"interval": 0.1, "gradient_weight": weight},
        )
        before, values = model[0].weight_mask.clone(), model[0].weight.detach().clone()
        for step in range(3):
            take_step(model, optimizer, digits, step)
        scores = values.abs() + weight * model[0].weight.grad.abs()
        kept, lost = before & model[0].weight_mask, before & ~model[0].weight_mask
        limit = scores[before].sort().values[int(0.2 * int(before.sum()))]
        assert (scores[lost] <= limit).all()
        masks.append(kept)
    assert not torch.equal(masks[0], masks[1])


def test_mest_soft_trains_half_as_many_weights_again_then_a_quarter_then_the_target(mlp, digits):
    # Density .15, .125, .1 as in the paper's .85, .875, .9 of sparsity.
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(
        mlp, optimizer, method="mest_soft", sparsity=0.9, total_steps=160, distribution="uniform"
    )
    goal = [row.weights // 10 for row in sparsifier.report()]
    seen = {}
    for step in range(160):
        take_step(mlp, optimizer, digits, step % 40)
        seen[step + 1] = sum(counts_of(mlp)) / sum(goal)
        assert sparsifier.target_reached == (step + 1 >= 120)
    assert [seen[step] for step in (1, 90, 91, 119, 120, 160)] == pytest.approx(
        [1.5, 1.5, 1.25, 1.25, 1.0, 1.0], abs=0.01
    )
    assert sum(counts_of(mlp)) == round(0.1 * (2048 + 1024 + 320))


@given(st.data())
def test_shares_are_exact_proportional_and_within_limits(data):
    names = [f"l{index}" for index in range(data.draw(st.integers(1, 6)))]
    weights = {name: data.draw(st.sampled_from([0.0, 0.5, 1.0, 3.0, 100.0])) for name in names}
    ceilings = {name: data.draw(st.integers(0, 50)) for name in names}
    total = data.draw(st.integers(0, sum(ceilings.values())))
    shares = share_out(total, weights, ceilings)
    assert sum(shares.values()) == total
    assert all(0 <= shares[name] <= ceilings[name] for name in names)
    free = [name for name in names if shares[name] < ceilings[name] - 1 and weights[name] > 0]
    rates = (
        [(shares[name] - 1) / weights[name] for name in free],
        [(shares[name] + 1) / weights[name] for name in free],
    )
    assert not free or max(rates[0]) <= min(rates[1]) + 1e-9


def test_snfs_is_its_paper(digits):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
    optimizer = sgd(model, lr=0.0)  # weights change by growth alone, so that momentum is easy to follow
    Sparsifier(
        model, optimizer, method="snfs", sparsity=0.8, total_steps=20, hyperparameters={"interval": 0.25}
    )
    layers = layers_of(model)
    momentum = [torch.zeros_like(layer.weight) for layer in layers]
    for step in range(6):
        masks = [layer.weight_mask.clone() for layer in layers]
        weights = [layer.weight.detach().clone() for layer in layers]
        total = sum(counts_of(model))
        images, classes = digits
        rows = slice(32 * step, 32 * step + 32)
        loss = nn.functional.cross_entropy(model(images[rows]), classes[rows])
        gradients = torch.autograd.grad(loss, [layer.weight for layer in layers])
        take_step(model, optimizer, digits, step)
        for mean, gradient in zip(momentum, gradients, strict=True):
            mean.copy_(0.9 * mean + 0.1 * gradient)
        assert sum(counts_of(model)) == total
        assert (step == 5) != all(torch.equal(a, b.weight_mask) for a, b in zip(masks, layers, strict=True))
    fraction = cosine_drop_fraction(5, 0.5, 20)
    dropped = [int(fraction * int(mask.sum())) for mask in masks]
    means = [float(mean[mask].abs().mean()) for mean, mask in zip(momentum, masks, strict=True)]
    for layer, mask, weight, mean, n, of_layer in zip(
        layers, masks, weights, momentum, dropped, means, strict=True
    ):
        share = sum(dropped) * of_layer / sum(means)
        assert abs(int(layer.weight_mask.sum()) - (int(mask.sum()) - n + share)) < 1
        order = weight.abs().masked_fill(~mask, math.inf).flatten().argsort()
        kept = mask.flatten().clone()
        kept[order[:n]] = False
        grown = layer.weight_mask.flatten() & ~kept
        never = ~layer.weight_mask.flatten()
        assert layer.weight_mask.flatten()[kept].all()
        assert mean.flatten().abs()[grown].min() >= mean.flatten().abs()[never].max()


def test_snfs_waits_for_finite_gradients_and_keeps_layers_dense(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(
        mlp,
        optimizer,
        method="snfs",
        sparsity=0.6,
        total_steps=20,
        hyperparameters={"interval": 0.1},
        layers=Layers(last_dense=True),
    )
    for step in range(20):
        take_step(mlp, optimizer, digits, step)
        if step == 4:
            optimizer.zero_grad()
            mlp(digits[0][:8]).sum().backward()
            mlp[0].weight.grad[0, 0] = math.inf
            masks = mlp[0].weight_mask.clone()
            sparsifier._driver.before_step(2)
            assert torch.equal(masks, mlp[0].weight_mask)
    assert sparsifier.layer_densities()["4"] == 1.0
    assert sparsifier.layer_densities()["0"] != sparsifier.layer_densities()["2"]


def test_granet_schedule():
    # From .5 to .95 in ten prunings: .62195 after the first, .89375 after the fifth.
    schedule = GradualSchedule(start=0, end=10, interval=1, initial=0.5 / 0.95)
    found = {k: 0.95 * schedule.progress(k) for k in (0, 1, 5, 10)}
    assert found == pytest.approx({0: 0.5, 1: 0.62195, 5: 0.89375, 10: 0.95}, abs=1e-9)
    regrowth = DropAndGrowSchedule.from_fractions(0.5, 0.1, 1.0, 100, final=0.005)
    assert regrowth.fraction(0) == 0.5
    assert regrowth.fraction(50) == pytest.approx(0.2525)
    assert cosine_drop_fraction(100, 0.5, 100, 0.005) == 0.005


def test_granet_starts_at_its_initial_sparsity_and_moves_after_pruning(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(
        mlp,
        optimizer,
        method="granet",
        sparsity=0.9,
        total_steps=20,
        hyperparameters={"initial_sparsity": 0.5, "interval": 0.1},
    )
    assert sum(counts_of(mlp)) == round(0.5 * 3392)
    history = []
    for step in range(20):
        before = mlp[0].weight_mask.clone()
        take_step(mlp, optimizer, digits, step)
        history.append(sum(counts_of(mlp)))
        grown = int((mlp[0].weight_mask & ~before).sum())
        assert (grown > 0) == (step > 0 and step % 2 == 0)
        assert sparsifier.target_reached == (step + 1 >= 14)
    due = [round(3392 * (1 - (0.5 + 0.4 * (1 - (1 - k / 14) ** 3)))) for k in range(2, 14, 2)]
    assert history[1:13:2] == due
    assert history[13:] == [round(0.1 * 3392)] * 7


def test_granet_refuses_to_start_sparser_than_it_ends(mlp):
    with pytest.raises(
        MethodError, match=r"initial_sparsity is 0\.8, it must be smaller than the sparsity.*0\.7"
    ):
        Sparsifier(
            mlp,
            sgd(mlp),
            method="granet",
            sparsity=0.7,
            total_steps=20,
            hyperparameters={"initial_sparsity": 0.8},
        )


def test_acdc_phases_of_the_cifar_configuration():
    schedule = AlternatingSchedule.from_fractions(0.05, 0.85, 0.1, 200)
    changes = {step: schedule.change_after(step) for step in range(1, 201) if schedule.change_after(step)}
    sparse, dense = (10, 50, 90, 130, 170), (30, 70, 110, 150)
    assert changes == {**dict.fromkeys(sparse, "sparse"), **dict.fromkeys(dense, "dense")}


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.integers(1, 300))
def test_acdc_ends_sparse_within_any_budget(start, end, interval, total_steps):
    schedule = AlternatingSchedule.from_fractions(min(start, end), max(start, end), interval, total_steps)
    changes = [schedule.change_after(step) for step in range(1, total_steps + 1)]
    assert [change for change in changes if change][-1] == "sparse"
    assert schedule.end <= total_steps


def test_acdc_prunes_by_magnitude_and_lets_weights_return_from_zero(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(mlp, optimizer, method="acdc", sparsity=0.9, total_steps=20)
    total, active = 3392, []
    for step in range(20):
        take_step(mlp, optimizer, digits, step)
        active.append(sum(counts_of(mlp)))
        if step == 2:
            pruned = ~mlp[2].weight_mask
        if step == 3:  # dense again: what was pruned started at zero, with zero momentum
            expected = -0.1 * mlp[2].weight.grad[pruned]
            assert torch.allclose(mlp[2].weight[pruned], expected)
            assert expected.count_nonzero() > 0
        assert sparsifier.target_reached == (step + 1 >= 17)
    sparse = {*range(1, 4), *range(5, 8), *range(9, 12), *range(13, 16), *range(17, 21)}
    assert active == [339 if step in sparse else total for step in range(1, 21)]


def test_every_dynamic_method_says_its_defaults_and_sources():
    for name in ("set", "rigl", "snfs", "mest", "mest_soft", "topkast", "granet", "acdc"):
        assert METHODS[name].hyperparameters
        assert all("arXiv" in parameter.source for parameter in METHODS[name].hyperparameters)


PUBLISHED = {
    "set": {
        "drop_fraction": 0.3,
        "interval": 4 / 200,
        "until": 1,
        "restart_regrown": 1,
    },  # Mocanu et al. 2018
    "set_magnitude": {"drop_fraction": 0.3, "interval": 4 / 200, "until": 0.75},
    "rigl": {"drop_fraction": 0.3, "interval": 4 / 200, "until": 0.75},  # Evci et al. 2020
    "rigl_itop": {"drop_fraction": 0.5, "interval": 0.04, "until": 1},  # Liu et al. 2021
    "snfs": {
        "drop_fraction": 0.5,
        "interval": 0.01,
        "until": 1,
        "momentum": 0.9,
    },  # Dettmers, Zettlemoyer 2019
    # Yuan et al. 2021: of 160 epochs every 5, until 120.
    "mest": {
        "drop_fraction": 0.2,
        "interval": 5 / 160,
        "until": 120 / 160,
        "gradient_weight": 0,
        "restart_regrown": 1,
    },
    # Jayakumar et al. 2020: a new choice every 100 of 32000 steps.
    "topkast": {"exploration": 1, "interval": pytest.approx(100 / 32_000, abs=2e-4), "penalty": 1e-4},
    "mest_soft": {
        "excess": 0.5,
        "interval": 5 / 160,
        "until": 120 / 160,
        "gradient_weight": 0,
        "restart_regrown": 1,
    },
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_hyperparameters_are_those_of_the_papers(name):
    found = METHODS[name].hyperparameters
    assert {h.name: h.default for h in found} == {
        key: pytest.approx(value) if isinstance(value, float) else value
        for key, value in PUBLISHED[name].items()
    }
    highest = {"gradient_weight": 1e6, "excess": 1000, "exploration": 1000}
    assert {h.name: (h.low, h.high) for h in found} == {h.name: (0, highest.get(h.name, 1)) for h in found}
