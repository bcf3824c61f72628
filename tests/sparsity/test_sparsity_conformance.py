"""What holds for every method of the registry with every distribution it takes, at every step."""

import copy
import itertools
import json

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from hsl.sparsity import DISTRIBUTIONS, METHODS, Layers, Sparsifier, allocate, prunable_layers
from hsl.testing.methods import check_kept_dense, check_memory_format, check_smallest_budgets, parent_of

STEPS, SPARSITY = 12, 0.9
COMBINATIONS = [
    (name, distribution) for name in METHODS for distribution in METHODS[name].distributions or (None,)
]
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(
        parameters, lr=0.05, momentum=0.9, weight_decay=1e-2, nesterov=True
    ),
    "adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3, amsgrad=True),
    "adamw": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, foreach=False),
    "adamax": lambda parameters: torch.optim.Adamax(parameters, lr=1e-3),
}


def build(model, optimizer, name, digits, **options):
    method = METHODS[name]
    images, classes = digits
    if method.needs_loss or str(options.get("distribution")).startswith("from:"):
        options["loss"] = lambda net: nn.functional.cross_entropy(net(images[:64]), classes[:64])
    return Sparsifier(
        model,
        optimizer,
        method=name,
        sparsity=0.0 if name == "dense" else SPARSITY,
        parent=parent_of(model) if method.needs_parent else None,
        **{"total_steps": STEPS} | options,
    )


def train(model, optimizer, digits, steps):
    images, classes = digits
    for step in steps:
        batch = slice(32 * step, 32 * step + 32)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[batch]), classes[batch]).backward()
        optimizer.step()
        yield step


def assert_nothing_lives_where_pruned(layers, optimizer, name):
    for layer in layers.values():
        pruned = ~layer.weight_mask
        assert layer.weight[pruned].count_nonzero() == 0
        shaped = [value for value in optimizer.state[layer.weight].values() if value.shape == pruned.shape]
        for value in shaped:
            if name == "topkast":  # trains as many weights again as it uses
                assert value.count_nonzero() <= 2 * layer.weight_mask.sum()
            else:
                assert value[pruned].count_nonzero() == 0


@pytest.mark.parametrize(("name", "distribution"), COMBINATIONS)
def test_every_method_with_every_distribution(name, distribution, cnn, digits):
    optimizer = OPTIMIZERS["sgd"](cnn.parameters())
    rng_state = torch.get_rng_state()
    sparsifier = build(cnn, optimizer, name, digits, distribution=distribution)
    assert torch.equal(torch.get_rng_state(), rng_state)
    if name == "dense":
        assert not [key for key in cnn.state_dict() if "mask" in key]
        assert sparsifier.sparsity() == 0
        return
    layers = prunable_layers(cnn)
    weights = sum(layer.weight.numel() for layer in layers.values())
    pointers = [(layer.weight.data_ptr(), layer.weight_mask.data_ptr()) for layer in layers.values()]
    before = weights
    for step in train(cnn, optimizer, digits, range(STEPS)):
        counts = [int(layer.weight_mask.sum()) for layer in layers.values()]
        assert sum(counts) <= before or name == "acdc"
        before = sum(counts)
        assert sparsifier.step_count == step + 1
        assert sparsifier.sparsity() == pytest.approx(1 - before / weights)
        assert_nothing_lives_where_pruned(layers, optimizer, name)
        if sparsifier.target_reached:
            assert before == round((1 - SPARSITY) * weights)
        else:
            assert before > round((1 - SPARSITY) * weights) or name == "acdc"
    assert sparsifier.target_reached
    assert pointers == [(layer.weight.data_ptr(), layer.weight_mask.data_ptr()) for layer in layers.values()]
    by_formula = distribution not in {"global", "halves"} and not distribution.startswith("from:")
    if by_formula and name != "snfs":
        shapes = {layer: tuple(module.weight.shape) for layer, module in layers.items()}
        expected = allocate(DISTRIBUTIONS[distribution](shapes, SPARSITY), shapes, SPARSITY)
        assert [row.non_zeros for row in sparsifier.report()] == list(expected.values())


@pytest.mark.parametrize("optimizer_name", list(OPTIMIZERS))
@pytest.mark.parametrize(
    "name", ["snip", "rigl", "set", "gmp", "snfs", "mest_soft", "granet", "acdc", "topkast"]
)
def test_optimizer_state_is_zero_where_pruned(name, optimizer_name, cnn, digits):
    optimizer = OPTIMIZERS[optimizer_name](cnn.parameters())
    build(cnn, optimizer, name, digits)
    layers = prunable_layers(cnn)
    for _ in train(cnn, optimizer, digits, range(STEPS)):
        assert_nothing_lives_where_pruned(layers, optimizer, name)
    assert all(len(optimizer.state[layer.weight]) > 0 for layer in layers.values())


@pytest.mark.parametrize("check", [check_kept_dense, check_memory_format, check_smallest_budgets])
@pytest.mark.parametrize("name", [name for name in METHODS if name != "dense"])
def test_what_is_asked_of_methods_from_outside(name, check):
    check(name)


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("optimizer_name", ["sgd", "adamw"])
def test_a_fresh_object_continues_to_the_last_bit(name, optimizer_name, cnn, digits):
    fresh = copy.deepcopy(cnn)
    optimizer, fresh_optimizer = (OPTIMIZERS[optimizer_name](model.parameters()) for model in (cnn, fresh))
    sparsifier = build(cnn, optimizer, name, digits)
    list(train(cnn, optimizer, digits, range(5)))
    saved = [copy.deepcopy(thing.state_dict()) for thing in (cnn, optimizer, sparsifier)]
    other = build(fresh, fresh_optimizer, name, digits, seed=17)
    for thing, state in zip((fresh, fresh_optimizer, other), saved, strict=True):
        thing.load_state_dict(state)
    assert other.step_count == 5
    list(train(cnn, optimizer, digits, range(5, STEPS)))
    list(train(fresh, fresh_optimizer, digits, range(5, STEPS)))
    for key, value in cnn.state_dict().items():
        assert torch.equal(value, fresh.state_dict()[key]), key
    assert other.target_reached == sparsifier.target_reached


MOVING = [name for name in METHODS if METHODS[name].has_schedule]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 14), min_size=2, max_size=5),
    st.floats(0.02, 0.95),
    st.sampled_from(MOVING),
    st.integers(1, 12),
    st.integers(0, 99),
)
def test_totals_are_exact_at_every_step_whatever_the_shapes(widths, sparsity, name, total_steps, seed):
    torch.manual_seed(seed)
    model = nn.Sequential(*[nn.Linear(a, b) for a, b in itertools.pairwise(widths)])
    weights = sum(a * b for a, b in itertools.pairwise(widths))
    goal = round((1 - sparsity) * weights)
    assume(0 < goal < weights)
    optimizer = OPTIMIZERS["sgd"](model.parameters())
    distribution = "uniform" if "uniform" in METHODS[name].distributions else None
    sparsifier = Sparsifier(
        model,
        optimizer,
        method=name,
        sparsity=sparsity,
        total_steps=total_steps,
        distribution=distribution,
        layers=Layers(at_least=0),
    )
    layers = prunable_layers(model)
    for _ in range(total_steps):
        optimizer.zero_grad()
        model(torch.randn(4, widths[0])).square().sum().clamp(max=100).backward()
        optimizer.step()
        active = sum(int(layer.weight_mask.sum()) for layer in layers.values())
        assert active == goal if sparsifier.target_reached else active >= goal
        assert_nothing_lives_where_pruned(layers, optimizer, name)
    assert sparsifier.target_reached


@pytest.mark.parametrize("name", list(METHODS))
def test_state_is_json_and_tensors_by_strings(name, cnn, digits):
    optimizer = OPTIMIZERS["sgd"](cnn.parameters())
    sparsifier = build(cnn, optimizer, name, digits)
    list(train(cnn, optimizer, digits, range(3)))

    def through_json(value):
        if isinstance(value, torch.Tensor):
            return value.clone()
        if isinstance(value, dict):
            return {json.loads(json.dumps(key)): through_json(inner) for key, inner in value.items()}
        return json.loads(json.dumps(value))

    state = through_json(sparsifier.state_dict())
    sparsifier.load_state_dict(state)
    assert through_json(sparsifier.state_dict()).keys() == state.keys()
