"""Costs against the published ratios of CIFAR ResNet-18 and against sums written out."""

import math
import subprocess
import sys

import pytest

from hsl.hardness.schema.regimes import Regime
from hsl.sparsity.distributions.formulas import er, erk, igq, uniform
from hsl.sparsity.schedules import cubic_progress
from hsl.training.cost.flops import (
    Passes,
    TrainingMeter,
    dense_gradient_steps,
    forward_macs,
    relative_forward,
    scoring_samples,
)


def resnet18():
    shapes, width = {"conv1": (64, 3, 3, 3)}, 64
    for stage, planes in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1"] = (planes, width, 3, 3)
            shapes[f"{name}.conv2"] = (planes, planes, 3, 3)
            if width != planes:
                shapes[f"{name}.shortcut"] = (planes, width, 1, 1)
            width = planes
    shapes["fc"] = (10, 512)
    side = {"conv1": 32, "layer1": 32, "layer2": 16, "layer3": 8, "layer4": 4, "fc": 1}
    macs = {name: math.prod(shape) * side[name.split(".")[0]] ** 2 for name, shape in shapes.items()}
    return shapes, macs


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (uniform, (0.2, 0.1, 0.05, 0.02)),
        (erk, (0.5078, 0.2482, 0.1250, 0.0514)),
        (er, (0.5146, 0.2641, 0.1330, 0.0549)),
        (igq, (0.5163, 0.3572, 0.2262, 0.1082)),
    ],
)
def test_inference_of_resnet18(distribution, expected):
    shapes, macs = resnet18()
    assert sum(macs.values()) == 555_422_720
    found = [relative_forward(macs, distribution(shapes, 1 - density)) for density in (0.2, 0.1, 0.05, 0.02)]
    assert found == pytest.approx(expected, abs=6e-5)


def test_rigl_on_resnet18_costs_a_quarter():
    shapes, macs = resnet18()
    dense, sparse = sum(macs.values()), forward_macs(macs, erk(shapes, 0.9))
    macs = Passes().macs
    step = (100 * macs(sparse, sparse) + macs(sparse, dense)) / 101  # one update follows 100 others
    assert step / macs(dense, dense) == pytest.approx(0.2507, abs=5e-5)


MACS = {"a": 100, "b": 300}
HALF = {"a": 0.5, "b": 0.5}


def measured(method, densities=HALF, steps=100, hyperparameters=None, **options):
    meter = TrainingMeter(MACS, method, hyperparameters or {}, 100, **options)
    for _ in range(0, steps, 10):
        meter.add(densities, 10)
    return meter.relative


def test_dense_costs_one():
    assert measured("dense", {"a": 1.0, "b": 1.0}) == 1.0
    assert measured("dense", {}) == 1.0


@pytest.mark.parametrize("method", ["static", "set", "set_magnitude", "snip", "mest", "mest_soft", "lth"])
def test_sparse_throughout_costs_the_density(method):
    assert measured(method) == pytest.approx(0.5)


def test_layers_weigh_by_their_operations():
    assert measured("static", {"a": 1.0, "b": 0.2}) == pytest.approx((100 + 60) / 400)


def test_snfs_computes_dense_weight_gradients_at_every_step():
    assert measured("snfs") == pytest.approx((2 * 0.5 + 1) / 3)


def test_rigl_does_so_on_update_steps():
    # Updates every tenth step before step 75: 10, 20, ..., 70.
    expected = (93 * 1.5 + 7 * 2.0) / 300
    assert measured("rigl", hyperparameters={"interval": 0.1}) == pytest.approx(expected)
    assert measured("granet", hyperparameters={"interval": 0.1}) == pytest.approx((91 * 1.5 + 9 * 2.0) / 300)
    assert measured("rigl_itop", hyperparameters={"interval": 0.5}) == pytest.approx((99 * 1.5 + 2.0) / 300)


def test_topkast_computes_weight_gradients_of_what_explores():
    assert measured("topkast", {"a": 0.2, "b": 0.2}) == pytest.approx((0.2 + 0.2 + 0.4) / 3)
    assert measured("topkast", {"a": 0.8, "b": 0.8}) == pytest.approx((0.8 + 0.8 + 1.0) / 3)


def test_gradual_pruning_costs_the_mean_density():
    meter, densities = TrainingMeter(MACS, "gmp", {}, 100), []
    for step in range(100):
        density = 1 - 0.9 * cubic_progress(step, 10, 80)
        meter.add({"a": density, "b": density}, 1)
        densities.append(density)
    assert meter.relative == pytest.approx(sum(densities) / 100)


def test_parents_and_scores_count():
    assert measured("omp", extra_steps=100) == pytest.approx(1.5)
    assert measured("lth", extra_steps=200) == pytest.approx(2.5)
    assert measured("snip", extra_steps=1) == pytest.approx(0.51)


@pytest.mark.parametrize(
    ("method", "given", "samples", "expected"),
    [
        ("snip", {}, 64, 64),
        ("grasp", {}, 128, 256),
        ("synflow", {"rounds": 32}, 128, 32),
        ("synflow", {}, 100, 100),
        ("rigl", {}, 128, 0),
        ("dense", {}, 128, 0),
    ],
)
def test_scores_cost_passes_over_their_samples(method, given, samples, expected):
    assert scoring_samples(method, given, samples) == pytest.approx(expected)


def test_the_steps_of_an_attack_need_no_gradients_of_weights():
    """PGD-10 on rigl: eleven forward passes with gradients of activations, one with those of all weights."""
    regime = Regime(attack={"eps": "8/255", "step": "2/255", "steps": 10})
    meter = TrainingMeter(MACS, "snfs", {}, 100, passes=Passes.of(regime.attack))
    meter.add(HALF, 100)
    assert meter.relative == pytest.approx((11 * 2 * 0.5 + 1) / (11 * 2 + 1))
    assert Passes.of(None) == Passes(1, 1)
    assert measured("snfs", passes=Passes.of(None)) == measured("snfs")


def test_update_steps_are_those_of_the_schedule():
    updates = [dense_gradient_steps("rigl", {}, 200, step, step + 1) for step in range(200)]
    assert [step for step, update in enumerate(updates) if update] == list(range(4, 150, 4))
    assert dense_gradient_steps("rigl", {}, 200, 0, 200) == 37
    assert dense_gradient_steps("set", {}, 200, 0, 200) == 0


def test_a_meter_continues_from_its_state():
    whole, first, second = (TrainingMeter(MACS, "rigl", {}, 100) for _ in range(3))
    assert whole.relative == 0
    whole.add(HALF, 100)
    first.add(HALF, 37)
    second.load_state_dict(first.state_dict())
    second.add(HALF, 63)
    assert second.relative == pytest.approx(whole.relative)


def test_costs_need_no_torch():
    program = "import sys, hsl.training.cost.flops; assert not {'torch', 'ray'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
