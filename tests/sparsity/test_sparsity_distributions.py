"""Densities against golden values of the literature, integer budgets against their definition."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hsl.errors import InfeasibleError, UnknownNameError
from hsl.sparsity.distributions.allocate import DISTRIBUTIONS, allocate, non_zeros, share_out
from hsl.sparsity.distributions.budget import Budget
from hsl.sparsity.distributions.formulas import (
    check_sparsity,
    er,
    erk,
    explicit,
    pyramid,
    uniform,
    uniform_plus,
)
from hsl.sparsity.distributions.ranked import global_

SMALL = {"conv1": (16, 3, 3, 3), "conv2": (32, 16, 3, 3), "fc": (10, 32)}


def resnet18(classes=10):
    shapes = {"conv1": (64, 3, 3, 3)}
    width = 64
    for stage, planes in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1"] = (planes, width, 3, 3)
            shapes[f"{name}.conv2"] = (planes, planes, 3, 3)
            if width != planes:
                shapes[f"{name}.shortcut"] = (planes, width, 1, 1)
            width = planes
    return shapes | {"fc": (classes, 512)}


def realised(densities, shapes):
    weights = {name: math.prod(shape) for name, shape in shapes.items()}
    return sum(densities[name] * weights[name] for name in shapes) / sum(weights.values())


def test_erk_of_the_jaxpruner_example():
    found = erk({"a": (2, 4), "b": (3, 6), "c": (2, 4, 6)}, 0.5)
    assert found == pytest.approx({"a": 1.0, "b": 0.6905, "c": 0.3452}, abs=5e-5)


@pytest.mark.parametrize(
    ("distribution", "density", "expected"),
    [
        (erk, 0.5, (1, 0.418403, 1)),
        (erk, 0.2, (0.550867, 0.111551, 1)),
        (erk, 0.1, (0.256351, 0.051911, 0.581405)),
        (erk, 0.05, (0.128176, 0.025956, 0.290702)),
        (er, 0.5, (1, 0.444620, 0.622468)),
        (er, 0.2, (0.657881, 0.155814, 0.218140)),
        (er, 0.1, (0.328941, 0.077907, 0.109070)),
    ],
)
def test_er_and_erk_of_three_layers(distribution, density, expected):
    found = distribution(SMALL, 1 - density)
    assert tuple(found.values()) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize(("density", "rest"), [(0.5, 0.456169), (0.2, 0.129870), (0.1, 0.021104)])
def test_uniform_makes_up_for_a_dense_first_layer(density, rest):
    found = uniform(SMALL, 1 - density, keep_dense=["conv1"])
    assert found == pytest.approx({"conv1": 1, "conv2": rest, "fc": rest}, abs=2e-6)


def test_infeasible_dense_layer_names_the_largest_sparsity():
    # conv1 holds 432 of 5360 weights, 8.06 %.
    with pytest.raises(InfeasibleError, match=r"0\.95 .*conv1.*below 0\.9194.*uniform or erk"):
        uniform(SMALL, 0.95, keep_dense=["conv1"])


@pytest.mark.parametrize(
    ("density", "expected"),
    [
        (0.2, {"layer2.0.conv1": 0.75384, "layer2.1.conv2": 0.49875, "layer3.0.conv1": 0.37121}),
        (0.2, {"layer3.0.conv2": 0.24652, "layer4.0.conv1": 0.18418, "layer4.1.conv1": 0.12255}),
        (0.2, {"conv1": 1, "layer1.0.conv1": 1, "layer4.0.shortcut": 1, "fc": 1}),
        (0.1, {"layer1.1.conv2": 0.47968, "layer2.0.conv1": 0.35439, "layer2.0.conv2": 0.23447}),
        (0.1, {"layer3.0.conv1": 0.17451, "layer3.1.conv1": 0.11589, "layer4.0.conv1": 0.08658}),
        (0.1, {"layer4.0.conv2": 0.05761, "layer4.0.shortcut": 0.77523, "layer3.0.shortcut": 1}),
        (0.02, {"conv1": 1, "fc": 1, "layer1.0.conv1": 0.09066, "layer2.0.shortcut": 0.59065}),
        (0.02, {"layer4.0.conv1": 0.01636, "layer4.0.conv2": 0.01089, "layer4.0.shortcut": 0.14652}),
    ],
)
def test_erk_of_resnet18(density, expected):
    found = erk(resnet18(), 1 - density)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=6e-6)


def test_erk_of_resnet18_with_100_classes():
    shapes = resnet18(classes=100)
    assert sum(math.prod(shape) for shape in shapes.values()) == 11_210_432
    assert erk(shapes, 0.8)["layer2.0.conv1"] == pytest.approx(0.73926, abs=6e-6)
    assert erk(shapes, 0.9)["layer4.0.conv2"] == pytest.approx(0.05537, abs=6e-6)


@pytest.mark.parametrize(
    ("classes", "density", "epsilon"),
    [
        (10, 0.2, 280.7029),
        (10, 0.1, 131.9619),
        (10, 0.02, 24.9411),
        (100, 0.2, 275.2754),
        (100, 0.1, 126.8406),
    ],
)
def test_epsilon_of_erk_on_resnet18(classes, density, epsilon):
    shapes = resnet18(classes)
    sparse = {name: found for name, found in erk(shapes, 1 - density).items() if found < 1}
    for name, found in sparse.items():
        assert found * math.prod(shapes[name]) / sum(shapes[name]) == pytest.approx(epsilon, abs=6e-5)
    assert "layer4.1.conv2" in sparse


@pytest.mark.parametrize(
    ("distribution", "density", "epsilon"),
    [(erk, 0.2, 9.5190), (erk, 0.1, 4.4298), (er, 0.2, 1.6620), (er, 0.1, 0.8310)],
)
def test_epsilon_of_three_layers(distribution, density, epsilon):
    shape = SMALL["conv2"] if distribution is erk else SMALL["conv2"][:2]
    found = distribution(SMALL, 1 - density)["conv2"]
    # The kernel shape of er counts in neither sum nor product.
    assert found * math.prod(shape) / sum(shape) == pytest.approx(epsilon, abs=6e-5)


def test_integer_budget_of_resnet18():
    shapes = resnet18()
    counts = allocate(erk(shapes, 0.9), shapes, 0.9)
    assert sum(counts.values()) == 1_116_435
    assert counts["layer1.0.conv1"] == 17_683
    assert counts["layer2.0.conv1"] == 26_128
    assert counts["layer4.0.conv2"] == 135_921
    assert counts["layer4.0.shortcut"] == 101_611


@pytest.mark.parametrize(
    ("density", "relative"), [(0.2, (0.5078, 0.5146)), (0.1, (0.2482, 0.2641)), (0.05, (0.1250, 0.1330))]
)
def test_relative_cost_of_resnet18(density, relative):
    shapes = resnet18()
    side = {"conv1": 32, "layer1": 32, "layer2": 16, "layer3": 8, "layer4": 4, "fc": 1}
    macs = {name: math.prod(shape) * side[name.split(".")[0]] ** 2 for name, shape in shapes.items()}
    assert sum(macs.values()) == 555_422_720
    for distribution, expected in zip((erk, er), relative, strict=True):
        densities = distribution(shapes, 1 - density)
        cost = sum(densities[name] * macs[name] for name in macs) / sum(macs.values())
        assert cost == pytest.approx(expected, abs=6e-5)


def test_uniform_plus_keeps_the_first_layer_dense_and_a_floor_under_the_last():
    found = uniform_plus(SMALL, 0.85)
    assert found["conv1"] == 1
    assert found["fc"] == 0.2
    assert realised(found, SMALL) == pytest.approx(0.15)
    assert uniform_plus(SMALL, 0.5) == pytest.approx(
        {"conv1": 1, "conv2": 0.456169, "fc": 0.456169}, abs=2e-6
    )


def test_uniform_plus_says_what_is_feasible():
    # 432 + 0.2 * 320 of 5360 weights must stay.
    with pytest.raises(InfeasibleError, match=r"below 0\.9074"):
        uniform_plus(SMALL, 0.95)
    assert uniform_plus(SMALL, 0.907)["conv2"] > 0


def test_power_zero_is_uniform():
    assert erk(SMALL, 0.9, power=0.0) == pytest.approx(uniform(SMALL, 0.9))
    assert er(SMALL, 0.9, power=0.0) == pytest.approx(uniform(SMALL, 0.9))


def test_kernel_size_plays_no_part_in_er():
    shapes = {"conv": (8, 4, 5, 5), "fc": (8, 4)}
    found = er(shapes, 0.9)
    assert found["conv"] == pytest.approx(found["fc"])


def test_global_is_estimated_as_uniform():
    assert global_(SMALL, 0.9, keep_dense=["fc"]) == uniform(SMALL, 0.9, keep_dense=["fc"])


@pytest.mark.parametrize("sparsity", [-0.1, 1.0, 1.5, float("nan")])
@pytest.mark.parametrize("name", list(DISTRIBUTIONS))
def test_sparsity_outside_its_range_is_refused(name, sparsity):
    with pytest.raises(InfeasibleError, match=r"not in \[0, 1\)"):
        DISTRIBUTIONS[name](SMALL, sparsity)


def test_percent_is_recognised():
    with pytest.raises(InfeasibleError, match=r"for 90 % give 0\.9"):
        uniform(SMALL, 90)


def test_unknown_layer_to_keep_dense():
    with pytest.raises(UnknownNameError, match=r"'conv9'.*did you mean"):
        erk(SMALL, 0.9, keep_dense=["conv9"])


def test_no_layers():
    with pytest.raises(InfeasibleError, match="no prunable layer"):
        erk({}, 0.9)


def test_largest_remainder_with_ties_in_order():
    shapes = {"a": (3, 1), "b": (3, 1), "c": (4, 1)}
    # 5 of 10: 1.5, 1.5, 2.0 rounded down is 4; the first of the equal remainders gets the fifth.
    assert allocate({"a": 0.5, "b": 0.5, "c": 0.5}, shapes, 0.5) == {"a": 2, "b": 1, "c": 2}


def test_densities_that_do_not_fit_the_sparsity_are_refused():
    with pytest.raises(InfeasibleError, match=r"leave 2680\.0 non-zeros, sparsity 0\.9 asks for 536"):
        allocate(dict.fromkeys(SMALL, 0.5), SMALL, 0.9)


def test_budget_that_keeps_nothing_is_refused():
    with pytest.raises(InfeasibleError, match="keeps none of 20"):
        Budget({"fc": (2, 10)}, 0.99, "uniform").check()


layer_shapes = st.one_of(
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 3), st.integers(1, 3)),
)
networks = st.lists(layer_shapes, min_size=1, max_size=7).map(
    lambda shapes: {f"layer{index}": shape for index, shape in enumerate(shapes)}
)
sparsities = st.floats(0, 0.99)


@given(networks, sparsities, st.sampled_from(["uniform", "er", "erk", "uniform_plus"]))
def test_budgets_are_exact(shapes, sparsity, name):
    try:
        densities = DISTRIBUTIONS[name](shapes, sparsity)
    except InfeasibleError:
        assume(False)
    assert all(0 <= density <= 1 for density in densities.values())
    assert realised(densities, shapes) == pytest.approx(1 - sparsity, abs=1e-9)
    counts = allocate(densities, shapes, sparsity)
    weights = {layer: math.prod(shape) for layer, shape in shapes.items()}
    assert sum(counts.values()) == round((1 - sparsity) * sum(weights.values()))
    assert all(0 <= counts[layer] <= weights[layer] for layer in shapes)
    assert all(abs(counts[layer] - densities[layer] * weights[layer]) < 1 + 1e-6 for layer in shapes)


@given(networks, sparsities)
def test_erk_layers_below_one_are_proportional_to_their_ratio(shapes, sparsity):
    densities = erk(shapes, sparsity)
    scales = [
        densities[name] * math.prod(shape) / sum(shape)
        for name, shape in shapes.items()
        if densities[name] < 1 - 1e-9
    ]
    assert not scales or max(scales) == pytest.approx(min(scales))
    for name, shape in shapes.items():
        if scales and densities[name] >= 1 - 1e-9:
            assert scales[0] * sum(shape) / math.prod(shape) >= 1 - 1e-6


@given(networks, st.floats(0.01, 0.99), st.lists(st.floats(0, 1), max_size=6))
def test_gradual_budgets_only_fall_and_end_at_the_target(shapes, sparsity, progresses):
    budget = Budget(shapes, sparsity, "erk")
    weights = sum(math.prod(shape) for shape in shapes.values())
    before = {name: math.prod(shape) for name, shape in shapes.items()}
    for progress in [*sorted(progresses), 1.0]:
        counts = budget.counts(progress, ceilings=before)
        assert sum(counts.values()) == non_zeros(weights, sparsity * progress) == budget.total(progress)
        assert all(counts[name] <= before[name] for name in shapes)
        before = counts
    assert before == allocate(erk(shapes, sparsity), shapes, sparsity)


def test_gradual_budgets_never_fall_below_the_final_ones():
    # Without that floor, conv1 (9 of 72 weights due, 8 at the end) would be cut to 7 on the way.
    shapes = {"conv1": (8, 1, 3, 3), "conv2": (16, 8, 3, 3), "fc1": (32, 256), "fc2": (10, 32)}
    budget = Budget(shapes, 0.9, "uniform")
    before = {name: math.prod(shape) for name, shape in shapes.items()}
    for step in range(1, 201):
        counts = budget.counts(1 - (1 - step / 200) ** 3, ceilings=before)
        assert all(budget.counts()[name] <= counts[name] <= before[name] for name in shapes)
        before = counts


@pytest.mark.parametrize(
    ("total", "weights", "ceilings", "shares"),
    [
        (10, {"a": 1, "b": 1, "c": 2}, {"a": 10, "b": 10, "c": 10}, {"a": 3, "b": 2, "c": 5}),
        (10, {"a": 8, "b": 1, "c": 1}, {"a": 4, "b": 10, "c": 10}, {"a": 4, "b": 3, "c": 3}),
        (9, {"a": 6, "b": 2, "c": 1}, {"a": 2, "b": 3, "c": 9}, {"a": 2, "b": 3, "c": 4}),
        (6, {"a": 0, "b": 0}, {"a": 2, "b": 10}, {"a": 2, "b": 4}),
        (4, {"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 2, "b": 2}),
        (5, {"a": 1, "b": 0}, {"a": 3, "b": 9}, {"a": 3, "b": 2}),
        (0, {"a": 1, "b": 1}, {"a": 2, "b": 2}, {"a": 0, "b": 0}),
    ],
)
def test_shares_in_proportion_below_their_ceilings(total, weights, ceilings, shares):
    assert share_out(total, weights, ceilings) == shares


FOURS = {"a": (4,), "b": (4,)}


def test_counts_stay_between_their_limits():
    halves_of = {"a": 0.5, "b": 0.5}
    assert allocate(halves_of, FOURS, 0.5, floors={"a": 3, "b": 0}) == {"a": 3, "b": 1}
    assert allocate(halves_of, FOURS, 0.5, ceilings={"a": 1, "b": 4}) == {"a": 1, "b": 3}
    for limits in ({"floors": {"a": 3, "b": 2}}, {"ceilings": {"a": 1, "b": 2}}):
        with pytest.raises(InfeasibleError, match="asks for 4"):
            allocate(halves_of, FOURS, 0.5, **limits)


def test_densities_may_miss_the_sparsity_by_a_weight_per_layer():
    assert sum(allocate({"a": 0.75, "b": 0.75}, FOURS, 0.5).values()) == 4
    assert sum(allocate({"a": 0.25, "b": 0.25}, FOURS, 0.5).values()) == 4
    with pytest.raises(InfeasibleError, match=r"leave 7\.0 non-zeros"):
        allocate({"a": 1.0, "b": 0.75}, FOURS, 0.5)


def test_equal_remainders_are_taken_back_from_the_last():
    assert allocate({"a": 0.75, "b": 0.75}, FOURS, 0.375) == {"a": 3, "b": 2}


@pytest.mark.parametrize(
    ("sparsity", "hint"),
    [
        (1, ""),
        (1.0, ""),
        (1.5, "; for 1.5 % give 0.015"),
        (50, "; for 50 % give 0.5"),
        (99.9, "; for 99.9 % give 0.999"),
        (100, ""),
        (101, ""),
        (-0.1, ""),
    ],
)
def test_only_what_can_be_percent_is_taken_for_percent(sparsity, hint):
    with pytest.raises(InfeasibleError) as caught:
        check_sparsity(sparsity)
    message = (
        f"sparsity {sparsity} is not in [0, 1): it is the fraction of zeros, 0.9 keeps 10 % of all{hint}"
    )
    assert str(caught.value) == message
    for fine in (0, 0.5, 0.999):
        check_sparsity(fine)


def test_densities_of_every_layer_are_taken_as_they_are():
    shapes = {"a": (10, 10), "b": (10, 10), "c": (10, 20)}
    given = {"c": 0.25, "a": 0.0, "b": 1.0}
    found = explicit(shapes, 1 - 150 / 400, given)
    assert found == given
    assert list(found) == list(shapes)
    assert explicit(shapes, 0.5, {"*": 0.5}) == dict.fromkeys(shapes, 0.5)


@pytest.mark.parametrize(("missed", "fits"), [(2, True), (3, True), (4, False), (-3, True), (-4, False)])
def test_densities_may_miss_the_sparsity_by_one_weight_per_layer(missed, fits):
    shapes = {"a": (10, 10), "b": (10, 10), "c": (10, 20)}
    given = {"a": 0.5, "b": 0.5, "c": (100 + missed) / 200}
    if fits:
        assert explicit(shapes, 0.5, given) == given
    else:
        with pytest.raises(InfeasibleError, match="the densities given have sparsity"):
            explicit(shapes, 0.5, given)


@pytest.mark.parametrize(("density", "allowed"), [(0, True), (1, True), (-0.001, False), (1.001, False)])
def test_a_density_lies_in_its_range(density, allowed):
    shapes = {"a": (10,), "b": (30,)}
    if allowed:
        assert explicit(shapes, 0.5, {"a": density})["a"] == density
    else:
        with pytest.raises(InfeasibleError, match=f"the density of 'a' is {density}, it must be"):
            explicit(shapes, 0.5, {"a": density})


def test_names_go_before_globs_and_early_globs_before_late_ones():
    shapes = {"a1": (100,), "a2": (100,), "b1": (100,), "b2": (100,)}
    found = explicit(shapes, 0.5, {"a*": 0.25, "*1": 0.5, "a1": 0.75})
    assert found == pytest.approx({"a1": 0.75, "a2": 0.25, "b1": 0.5, "b2": 0.5})
    assert explicit(shapes, 0.5, {"a1": 0.25}, keep_dense=["a1"])["a1"] == 1.0


def test_dense_layers_that_take_all_leave_nothing():
    """Half of the weights are in the layer that is kept dense: the sparsity must be below one half."""
    shapes = {"a": (10,), "b": (10,)}
    for sparsity in (0.5, 0.6):
        with pytest.raises(InfeasibleError, match=r"a must keep more than the whole budget; .* below 0\.5,"):
            uniform(shapes, sparsity, keep_dense=["a"])
    assert uniform(shapes, 0.45, keep_dense=["a"]) == pytest.approx({"a": 1.0, "b": 0.1})
    assert uniform(shapes, 0.0, keep_dense=["a", "b"]) == {"a": 1.0, "b": 1.0}


def test_a_pyramid_falls_as_the_squares_of_the_heights():
    """Heights 4, 3, 2 of the layers before the last: densities as 4*5, 3*4, 2*3; the last keeps at least a tenth."""
    shapes = dict.fromkeys("abcd", (1000,))
    found = pyramid(shapes, 0.9, last=0.1)
    assert found["d"] == 0.1
    assert found["a"] / found["b"] == pytest.approx(20 / 12)
    assert found["b"] / found["c"] == pytest.approx(12 / 6)
    assert sum(found.values()) == pytest.approx(0.4)


def too_few_layers(shapes, sparsity, *, keep_dense=frozenset()):
    return dict.fromkeys(list(shapes)[1:], 1 - sparsity)


def not_numbers(shapes, sparsity, *, keep_dense=frozenset()):
    return dict.fromkeys(shapes, float("nan"))


def beyond_one(shapes, sparsity, *, keep_dense=frozenset()):
    first, *others = shapes
    return {first: 1.5, **dict.fromkeys(others, 0.1)}


@pytest.mark.parametrize(
    ("name", "message"),
    [("too_few_layers", "a is missing"), ("not_numbers", "a: nan"), ("beyond_one", "a: 1.5")],
)
def test_a_distribution_from_outside_returns_densities(name, message):
    budget = Budget({"a": (10, 10), "b": (10, 10)}, 0.2, f"{__name__}:{name}")
    with pytest.raises(InfeasibleError, match=message):
        budget.check()
