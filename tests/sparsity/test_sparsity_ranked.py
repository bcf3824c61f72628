"""Distributions beside the Erdos-Renyi ones: quotas, pyramid, densities of one's own, halves."""

import copy
import itertools
import math

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import nn

from hsl.errors import InfeasibleError, MethodError, UnknownNameError
from hsl.sparsity import METHODS, Parent, Sparsifier, feasible, layer_shapes, prunable_layers
from hsl.sparsity.distributions.allocate import DISTRIBUTIONS, allocate
from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.distributions.formulas import erk, explicit, igq, pyramid, pyramid_vgg
from hsl.sparsity.distributions.ranked import half_groups, halves

SMALL = {"conv1": (16, 3, 3, 3), "conv2": (32, 16, 3, 3), "fc": (10, 32)}


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.parametrize(
    ("density", "expected"), [(0.2, (0.610706, 0.128214, 0.679263)), (0.1, (0.366659, 0.051480, 0.438692))]
)
def test_ideal_gas_quotas_of_three_layers(density, expected):
    assert tuple(igq(SMALL, 1 - density).values()) == pytest.approx(expected, abs=1e-6)


def test_pyramid_falls_with_depth_but_for_the_last_layer():
    shapes = dict.fromkeys("abcd", (100, 100))
    found = pyramid(shapes, 0.9)
    # Heights 4, 3, 2 give 20 : 12 : 6; the last layer has .3 and the others share .4 - .3.
    assert found == pytest.approx({"a": 2 / 38, "b": 1.2 / 38, "c": 0.6 / 38, "d": 0.3})
    assert pyramid(shapes, 0.5)["d"] == 0.5
    assert pyramid(shapes, 0.2)["a"] == 1.0
    assert pyramid({"only": (4, 4)}, 0.5) == {"only": 0.5}
    with pytest.raises(InfeasibleError, match="d must keep more than the whole budget"):
        pyramid(shapes, 0.95)


def test_densities_of_ones_own_by_name_and_glob():
    found = explicit(SMALL, 0.9, {"conv*": 0.05, "conv1": 0.5})
    assert found == pytest.approx({"conv1": 0.5, "conv2": 0.05, "fc": (536 - 216 - 230.4) / 320})
    assert explicit(SMALL, 0.9, {"*": 0.1}) == dict.fromkeys(SMALL, 0.1)
    kept = explicit(SMALL, 0.8, {"conv2": 0.1}, keep_dense=["fc"])
    assert kept == pytest.approx({"conv1": (1072 - 320 - 460.8) / 432, "conv2": 0.1, "fc": 1.0})


@pytest.mark.parametrize(
    ("given_densities", "error", "message"),
    [
        ({"*": 0.2}, InfeasibleError, r"given have sparsity 0\.8, not 0\.9: ask for that sparsity"),
        ({"conv9": 0.2}, UnknownNameError, r"'conv9' \(did you mean 'conv"),
        ({"fc": 1.2}, InfeasibleError, r"density of 'fc' is 1\.2, it must be in \[0, 1\]"),
        ({"conv2": 0.2}, InfeasibleError, "conv2 must keep more than the whole budget"),
        ({"conv2": 0.0, "fc": 0.0}, InfeasibleError, r"given have sparsity 0\.919"),
    ],
)
def test_densities_that_do_not_fit_are_explained(given_densities, error, message):
    with pytest.raises(error, match=message):
        explicit(SMALL, 0.9, given_densities)


def test_a_method_takes_densities_of_ones_own(mlp):
    densities = {"0": 0.25, "2": 0.5, "4": 1.0}
    sparsity = 1 - (512 + 512 + 320) / 3392
    sparsifier = Sparsifier(
        mlp, sgd(mlp), method="rigl", sparsity=sparsity, total_steps=9, distribution=densities
    )
    assert sparsifier.layer_densities() == densities
    state = sparsifier.state_dict()
    assert state["distribution"] == densities
    sparsifier.load_state_dict(state)
    other = copy.deepcopy(mlp)
    with pytest.raises(MethodError, match="snip_ratios takes from:snip only, no densities by layer"):
        Sparsifier(
            other, sgd(other), method="snip_ratios", sparsity=0.5, total_steps=9, distribution=densities
        )


def test_the_power_of_erk_is_expressed_by_its_densities(mlp):
    shapes = layer_shapes(prunable_layers(mlp))
    densities = erk(shapes, 0.9, power=0.5)
    sparsifier = Sparsifier(
        mlp, sgd(mlp), method="static", sparsity=0.9, total_steps=9, distribution=densities
    )
    assert [row.non_zeros for row in sparsifier.report()] == list(allocate(densities, shapes, 0.9).values())
    assert densities != erk(shapes, 0.9)


def test_power_interpolates_between_uniform_and_erk():
    # Ratios of fc and conv2 are .13125 and .01172; with power 1/2 their quotient is its square root.
    found = erk(SMALL, 0.95, power=0.5)
    quotient = (42 / 320) / (54 / 4608)
    assert found["fc"] / found["conv2"] == pytest.approx(math.sqrt(quotient))


def test_halves_are_cut_in_the_middle():
    assert half_groups(list("abcde")) == {"shallow": ("a", "b", "c"), "deep": ("d", "e")}
    assert half_groups(["a"]) == {"shallow": ("a",)}
    assert halves(SMALL, 0.9, keep_dense=["conv1"])["conv1"] == 1.0
    with pytest.raises(InfeasibleError, match="fc must keep more"):
        halves(SMALL, 0.9, keep_dense=["fc"])


@pytest.mark.parametrize(("method", "sparsity"), [("omp", 0.8), ("gmp", 0.9)])
def test_each_half_is_ranked_by_itself(method, sparsity):
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(16, 16) for _ in range(4)])
    with torch.no_grad():
        for scale, layer in zip((1.0, 5.0, 0.1, 0.3), model, strict=True):
            layer.weight.mul_(scale)
    dense = [layer.weight.detach().abs().clone() for layer in model]
    parent = Parent(trained=copy.deepcopy(model.state_dict())) if method == "omp" else None
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    sparsifier = Sparsifier(
        model,
        optimizer,
        method=method,
        sparsity=sparsity,
        total_steps=8,
        distribution="halves",
        parent=parent,
    )
    for _ in range(8):
        model(torch.ones(2, 16)).sum().backward()
        optimizer.step()
        for half in (slice(0, 2), slice(2, 4)):
            masks = torch.cat([layer.weight_mask.flatten() for layer in model[half]])
            weights = torch.cat([weight.flatten() for weight in dense[half]])
            assert masks.all() or weights[masks].min() >= weights[~masks].max()
    rows = [row.non_zeros for row in sparsifier.report()]
    assert abs(sum(rows[:2]) - sum(rows[2:])) <= 1
    assert sum(rows) == round((1 - sparsity) * 1024)
    assert rows[0] != rows[1]


shapes_of = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), min_size=1, max_size=6).map(
    lambda shapes: {f"layer{index}": shape for index, shape in enumerate(shapes)}
)


VGG_19 = {
    f"conv{number}": (outputs, inputs, 3, 3)
    for number, (inputs, outputs) in enumerate(
        itertools.pairwise([3, 64, 64, 128, 128, 256, 256, 256, 256, *[512] * 8])
    )
} | {"classifier": (10, 512)}


def smart_ratios_by_hand(sparsity):
    """Weights per layer of VGG-19, by the rules of the authors' code for networks other than ResNets.

    (h^2 + h) / l^2 of layer l from the start and h from the end, scaled to the budget that the classifier with 30 %
    leaves; from the first layer on, what is above one goes to the next.
    """
    sizes = [math.prod(shape) for shape in VGG_19.values()]
    count, classifier = len(sizes), sizes[-1]
    ratios = [((count - i) ** 2 + (count - i)) / (i + 1) ** 2 for i in range(count - 1)]
    goal = int(sum(sizes) * (1 - sparsity)) - int(0.3 * classifier)
    scale = goal / sum(int(size * ratio) for size, ratio in zip(sizes, ratios, strict=False))
    kept, extra = [], 0
    for size, ratio in zip(sizes, ratios, strict=False):
        share = scale * ratio * size
        if share >= size:
            extra += int(share - size)
            kept.append(size)
        elif size - share >= extra:
            kept.append(int(share + extra))
            extra = 0
        else:
            extra -= int(size - share)
            kept.append(size)
    return [*kept, int(0.3 * classifier)]


@pytest.mark.parametrize("sparsity", [0.9, 0.95, 0.98])
def test_the_pyramid_of_vgg_is_that_of_the_authors_code(sparsity):
    expected = smart_ratios_by_hand(sparsity)
    found = allocate(pyramid_vgg(VGG_19, sparsity), VGG_19, sparsity)
    assert [abs(a - b) <= 20 for a, b in zip(found.values(), expected, strict=True)] == [True] * 17
    of_resnets = pyramid(VGG_19, sparsity)
    differences = [
        abs(of_resnets[name] - kept / math.prod(VGG_19[name]))
        for name, kept in zip(VGG_19, expected, strict=True)
    ]
    assert max(differences) > 0.5


@given(
    shapes_of,
    st.floats(0.01, 0.99),
    st.sampled_from(["igq", "pyramid", "pyramid_vgg", "halves", "from:snip"]),
)
def test_budgets_are_exact(shapes, sparsity, name):
    try:
        densities = DISTRIBUTIONS[name](shapes, sparsity)
    except InfeasibleError:
        assume(False)
    weights = {layer: math.prod(shape) for layer, shape in shapes.items()}
    assert all(0 <= density <= 1 for density in densities.values())
    total = sum(densities[layer] * weights[layer] for layer in shapes)
    assert total == pytest.approx((1 - sparsity) * sum(weights.values()), rel=1e-6)
    assert sum(allocate(densities, shapes, sparsity).values()) == round(
        (1 - sparsity) * sum(weights.values())
    )


@given(shapes_of, st.floats(0.01, 0.99), st.lists(st.floats(0, 1), max_size=5))
def test_gradual_budgets_of_groups_only_fall(shapes, sparsity, progresses):
    budget = Budget(shapes, sparsity, "halves")
    before = None
    for progress in [*sorted(progresses), 1.0]:
        counts = budget.group_counts(progress)
        if before is not None:
            ceilings = {}
            for group, members in budget.groups.items():
                sizes = {name: math.prod(shapes[name]) for name in members}
                left = before[group]
                for name in members:
                    ceilings[name] = min(sizes[name], left)
                    left -= ceilings[name]
            counts = budget.group_counts(progress, ceilings)
            assert all(counts[group] <= before[group] for group in counts)
        assert sum(counts.values()) == budget.total(progress)
        before = counts


@pytest.mark.parametrize("name", [name for name in METHODS if METHODS[name].distributions])
def test_every_method_says_which_distributions_it_takes(name):
    for distribution in DISTRIBUTIONS:
        taken = distribution in METHODS[name].distributions
        assert (feasible(name, distribution, 0.5) is None) == taken
    with pytest.raises(UnknownNameError, match="unknown distribution 'from:magic'"):
        feasible(name, "from:magic", 0.5)
