"""The engine: what it does beside the properties of the conformance suite, and what it refuses."""

import copy
import json
import math
import sys
import types

import pytest
import torch
from torch import nn

from hsl.errors import InfeasibleError, MethodError, UnknownNameError
from hsl.sparsity import Parent, Sparsifier

STEPS = 20


def sgd(model, **options):
    return torch.optim.SGD(model.parameters(), **{"lr": 0.1, "momentum": 0.9} | options)


def batch(digits, step):
    images, classes = digits
    rows = slice(32 * step, 32 * step + 32)
    return images[rows], classes[rows]


def loss_of(model, digits, step):
    images, classes = batch(digits, step)
    return nn.functional.cross_entropy(model(images), classes)


def take_step(model, optimizer, digits, step):
    optimizer.zero_grad()
    loss_of(model, digits, step).backward()
    optimizer.step()


def weights_of(model):
    return [layer.weight for layer in model if isinstance(layer, nn.Linear)]


def literal_rigl(model, masks, digits, lr, momentum, decay):
    """RigL with SGD and momentum, written out weight by weight from algorithm 1."""
    parameters = list(model.parameters())
    buffers = [torch.zeros_like(parameter) for parameter in parameters]
    for step in range(STEPS):
        gradients = torch.autograd.grad(loss_of(model, digits, step), parameters)
        update = 0 < step < 15 and step % 4 == 0
        for index, (parameter, gradient, buffer) in enumerate(
            zip(parameters, gradients, buffers, strict=True)
        ):
            mask = masks.get(index)
            if mask is not None and update:
                n = int(0.15 * (1 + math.cos(math.pi * step / 15)) * int(mask.sum()))
                move(parameter.data.view(-1), gradient.view(-1), buffer.view(-1), mask.view(-1), n)
                continue
            decayed = gradient + decay * parameter.data
            buffer.mul_(momentum).add_(decayed if mask is None else decayed * mask)
            parameter.data.sub_(lr * buffer)


def move(weight, gradient, buffer, mask, n):
    active = [index for index in range(len(weight)) if mask[index]]
    dropped = sorted(active, key=lambda index: abs(float(weight[index])))[:n]
    candidates = [index for index in range(len(weight)) if not mask[index] or index in dropped]
    grown = sorted(candidates, key=lambda index: -abs(float(gradient[index])))[:n]
    for index in {*dropped, *grown} - {*dropped}.intersection(grown):
        weight[index] = buffer[index] = 0.0
    for index in dropped:
        mask[index] = False
    for index in grown:
        mask[index] = True


def test_rigl_is_algorithm_1(digits):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
    optimizer = sgd(model, weight_decay=1e-3)
    Sparsifier(
        model, optimizer, method="rigl", sparsity=0.8, total_steps=STEPS, hyperparameters={"interval": 0.2}
    )
    literal = copy.deepcopy(model)
    masks = {0: literal[0].weight_mask, 2: literal[2].weight_mask}
    start = masks[0].clone()
    literal_rigl(literal, masks, digits, lr=0.1, momentum=0.9, decay=1e-3)
    for step in range(STEPS):
        take_step(model, optimizer, digits, step)
    assert not torch.equal(start, masks[0])
    for layer, expected in ((model[0], literal[0]), (model[2], literal[2])):
        assert torch.equal(layer.weight_mask, expected.weight_mask)
        assert torch.allclose(layer.weight, expected.weight, atol=1e-6)
        assert torch.allclose(layer.bias, expected.bias, atol=1e-6)


def test_a_mask_update_replaces_the_step_of_prunable_weights_only(mlp, digits):
    optimizer = sgd(mlp)
    Sparsifier(
        mlp, optimizer, method="set", sparsity=0.8, total_steps=100, hyperparameters={"interval": 0.05}
    )
    for step in range(5):
        take_step(mlp, optimizer, digits, step)
    before, masks = copy.deepcopy(mlp.state_dict()), [mlp[0].weight_mask.clone(), mlp[2].weight_mask.clone()]
    momentum = optimizer.state[mlp[0].weight]["momentum_buffer"].clone()
    take_step(mlp, optimizer, digits, 5)
    for index, mask in ((0, masks[0]), (2, masks[1])):
        kept, grown = mlp[index].weight_mask & mask, mlp[index].weight_mask & ~mask
        assert torch.equal(mlp[index].weight[kept], before[f"{index}.weight"][kept])
        assert grown.sum() > 0
        assert mlp[index].weight[grown].count_nonzero() == 0
        assert mlp[index].weight.grad is not None
        assert not torch.equal(mlp[index].bias, before[f"{index}.bias"])
    buffer = optimizer.state[mlp[0].weight]["momentum_buffer"]
    assert torch.equal(buffer, momentum * (mlp[0].weight_mask & masks[0]))


def test_set_drops_as_many_as_it_grows(mlp, digits):
    optimizer = sgd(mlp)
    Sparsifier(
        mlp, optimizer, method="set", sparsity=0.8, total_steps=100, hyperparameters={"interval": 0.05}
    )
    mask = mlp[0].weight_mask.clone()
    for step in range(6):
        take_step(mlp, optimizer, digits, step)
    n = int(0.15 * (1 + math.cos(math.pi * 5 / 75)) * int(mask.sum()))
    moved = int((mask & ~mlp[0].weight_mask).sum())
    assert 0 < moved <= n
    assert int((~mask & mlp[0].weight_mask).sum()) == moved


def test_an_active_weight_may_be_zero(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(mlp, optimizer, method="static", sparsity=0.5, total_steps=10)
    with torch.no_grad():
        mlp[0].weight.zero_()
    take_step(mlp, optimizer, digits, 0)
    assert sparsifier.sparsity() == pytest.approx(0.5, abs=1e-3)
    assert mlp[0].weight[mlp[0].weight_mask].count_nonzero() > 0


def test_snip_at_the_first_step_is_snip_by_loss(mlp, digits):
    now, later, untouched = mlp, copy.deepcopy(mlp), copy.deepcopy(mlp)
    by_loss = Sparsifier(
        now,
        sgd(now),
        method="snip",
        sparsity=0.9,
        total_steps=10,
        init="dense",
        loss=lambda model: loss_of(model, digits, 0),
    )
    optimizer = sgd(later)
    deferred = Sparsifier(later, optimizer, method="snip", sparsity=0.9, total_steps=10, init="dense")
    assert by_loss.target_reached
    assert all(weight.grad is None for weight in weights_of(now))
    assert not deferred.target_reached
    assert deferred.sparsity() == 0
    take_step(later, optimizer, digits, 0)
    assert deferred.target_reached
    for first, second in zip(weights_of(now), weights_of(later), strict=True):
        assert torch.equal(first, second)
    dense = weights_of(untouched)
    gradients = torch.autograd.grad(loss_of(untouched, digits, 0), dense)
    scores = torch.cat([(w * g).abs().flatten() for w, g in zip(dense, gradients, strict=True)])
    chosen = torch.cat([layer.weight_mask.flatten() for layer in later if isinstance(layer, nn.Linear)])
    assert scores[chosen].min() >= scores[~chosen].max()


def test_scoring_a_loss_leaves_the_model_as_it_was(cnn, digits):
    dropout = nn.Sequential(cnn, nn.Dropout(0.5))
    before, rng_state = copy.deepcopy(dropout.state_dict()), torch.get_rng_state()
    Sparsifier(
        dropout,
        sgd(dropout),
        method="snip",
        sparsity=0.5,
        total_steps=10,
        init="dense",
        loss=lambda model: loss_of(model, digits, 0),
    )
    assert torch.equal(torch.get_rng_state(), rng_state)
    for name, value in dropout.state_dict().items():
        if "running" in name or "bias" in name:
            assert torch.equal(value, before[name])


def test_snip_waits_for_finite_gradients(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(mlp, optimizer, method="snip", sparsity=0.9, total_steps=10)
    loss_of(mlp, digits, 0).backward()
    for weight in weights_of(mlp):
        weight.grad = torch.full_like(weight, torch.inf)
    optimizer.step()
    assert not sparsifier.target_reached
    mlp.load_state_dict({name: torch.ones_like(value) for name, value in mlp.state_dict().items()})
    take_step(mlp, optimizer, digits, 1)
    assert sparsifier.target_reached


def parent_of(model):
    rewind = copy.deepcopy(model.state_dict())
    trained = {name: torch.randn_like(value) for name, value in rewind.items()}
    return Parent(trained=trained, rewind=rewind)


@pytest.mark.parametrize(("method", "source"), [("omp", "trained"), ("lth", "rewind")])
def test_a_parent_gives_mask_and_weights(method, source, mlp):
    parent = parent_of(mlp)
    Sparsifier(mlp, sgd(mlp), method=method, sparsity=0.8, total_steps=10, parent=parent)
    trained = torch.cat([parent.trained[f"{index}.weight"].abs().flatten() for index in (0, 2, 4)])
    chosen = torch.cat([mlp[index].weight_mask.flatten() for index in (0, 2, 4)])
    assert trained[chosen].min() >= trained[~chosen].max()
    for index in (0, 2, 4):
        expected = getattr(parent, source)[f"{index}.weight"]
        assert torch.equal(mlp[index].weight, expected * mlp[index].weight_mask)
        assert torch.equal(mlp[index].bias, getattr(parent, source)[f"{index}.bias"])


def test_a_parent_needs_no_rewind_weights_for_omp(mlp):
    parent = Parent(trained=copy.deepcopy(mlp.state_dict()))
    sparsifier = Sparsifier(mlp, sgd(mlp), method="omp", sparsity=0.8, total_steps=10, parent=parent)
    assert sparsifier.target_reached


def test_gmp_removes_the_smallest_active_weights(mlp, digits):
    optimizer = sgd(mlp, lr=0.0)
    Sparsifier(mlp, optimizer, method="gmp", sparsity=0.7, total_steps=STEPS)
    dense = torch.cat([weight.detach().abs().flatten().clone() for weight in weights_of(mlp)])
    for step in range(STEPS):
        take_step(mlp, optimizer, digits, step)
    chosen = torch.cat([mlp[index].weight_mask.flatten() for index in (0, 2, 4)])
    assert dense[chosen].min() >= dense[~chosen].max()


def test_gmp_brings_nothing_back(mlp, digits):
    optimizer = sgd(mlp, lr=0.0)
    Sparsifier(mlp, optimizer, method="gmp", sparsity=0.9, total_steps=STEPS)
    mask = mlp[0].weight_mask.clone()
    for step in range(STEPS):
        take_step(mlp, optimizer, digits, step)
        assert not (mlp[0].weight_mask & ~mask).any()
        mask = mlp[0].weight_mask.clone()
        if step == STEPS // 2:  # from here on, pruned and active weights are equally small
            torch._foreach_zero_([weight.data for weight in weights_of(mlp)])
    assert mask.sum() < 0.2 * mask.numel()


def test_rigl_leaves_out_updates_without_finite_gradients(mlp, digits):
    optimizer = sgd(mlp, lr=0.0)
    Sparsifier(mlp, optimizer, method="rigl", sparsity=0.8, total_steps=10, hyperparameters={"interval": 0.2})
    mask, weight = mlp[0].weight_mask.clone(), mlp[0].weight.detach().clone()
    for step, moved in enumerate([False, False, False, False, True]):
        optimizer.zero_grad()
        loss_of(mlp, digits, step).backward()
        if step == 2:
            mlp[0].weight.grad[~mask] = torch.inf
        optimizer.step()
        assert torch.equal(mlp[0].weight_mask, mask) != moved
        mlp[0].weight.data.copy_(weight * mlp[0].weight_mask)
        optimizer.state.clear()


def test_a_closure_is_called_once_and_its_loss_returned(mlp, digits):
    plain = copy.deepcopy(mlp)
    optimizers = [sgd(mlp), sgd(plain)]
    for model, optimizer in zip((mlp, plain), optimizers, strict=True):
        Sparsifier(
            model, optimizer, method="rigl", sparsity=0.8, total_steps=10, hyperparameters={"interval": 0.2}
        )
    calls = []

    def closure():
        calls.append(1)
        optimizers[0].zero_grad()
        loss = loss_of(mlp, digits, len(calls) - 1)
        loss.backward()
        return loss

    for step in range(4):
        expected = loss_of(plain, digits, step).item()
        take_step(plain, optimizers[1], digits, step)
        result = optimizers[0].step(closure) if step % 2 else optimizers[0].step(closure=closure)
        assert result.item() == pytest.approx(expected)
    assert len(calls) == 4
    for first, second in zip(weights_of(mlp), weights_of(plain), strict=True):
        assert torch.equal(first, second)


def test_gradients_are_masked_for_clipping_but_not_where_they_are_read(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(
        mlp, optimizer, method="rigl", sparsity=0.8, total_steps=100, hyperparameters={"interval": 0.03}
    )
    for step in range(4):
        optimizer.zero_grad()
        loss_of(mlp, digits, step).backward()
        sparsifier.mask_gradients()
        of_pruned = mlp[0].weight.grad[~mlp[0].weight_mask].count_nonzero() > 0
        assert bool(of_pruned) == (step == 3)
        optimizer.step()


def test_steps_skipped_by_a_gradient_scaler_do_not_count(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(mlp, optimizer, method="gmp", sparsity=0.8, total_steps=4)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    for step in range(4):
        optimizer.zero_grad()
        scaler.scale(loss_of(mlp, digits, step)).backward()
        if step == 1:
            mlp[0].weight.grad[0, 0] = float("inf")
        scaler.step(optimizer)
        scaler.update()
    assert sparsifier.step_count == 3
    assert sparsifier.target_reached


def test_masks_loaded_into_the_model_are_obeyed_at_once(mlp, digits):
    optimizer = sgd(mlp)
    Sparsifier(mlp, optimizer, method="static", sparsity=0.5, total_steps=10)
    take_step(mlp, optimizer, digits, 0)
    state = mlp.state_dict() | {"0.weight_mask": ~mlp[0].weight_mask}
    mlp.load_state_dict(copy.deepcopy(state))
    take_step(mlp, optimizer, digits, 1)
    assert mlp[0].weight[~mlp[0].weight_mask].count_nonzero() == 0
    assert mlp[0].weight[mlp[0].weight_mask].count_nonzero() > 0


def test_excluded_layers_are_neither_pruned_nor_counted(mlp):
    sparsifier = Sparsifier(mlp, sgd(mlp), method="static", sparsity=0.75, total_steps=10, exclude=["4"])
    assert list(sparsifier.layer_densities()) == ["0", "2"]
    assert sparsifier.sparsity() == 0.75
    assert "4.weight_mask" not in mlp.state_dict()


def test_report_rows(mlp):
    sparsifier = Sparsifier(mlp, sgd(mlp), method="static", sparsity=0.75, total_steps=10)
    row = sparsifier.report()[0]
    assert (row.name, row.shape, row.weights, row.non_zeros, row.density) == ("0", (32, 64), 2048, 512, 0.25)


def test_a_distribution_of_ones_own(mlp, monkeypatch):
    def first_half(shapes, sparsity, *, keep_dense=()):
        return {"0": 0.5, "2": 0.0, "4": 0.0}

    module = types.ModuleType("own_split")
    module.first_half = first_half
    monkeypatch.setitem(sys.modules, "own_split", module)
    sparsity = 1 - 1024 / (2048 + 1024 + 320)
    sparsifier = Sparsifier(
        mlp, sgd(mlp), method="static", sparsity=sparsity, total_steps=10, distribution="own_split:first_half"
    )
    assert [row.non_zeros for row in sparsifier.report()] == [1024, 0, 0]


def test_seeds_decide_the_mask_and_nothing_else_does(mlp):
    masks = []
    for seed, noise in ((0, 1), (0, 2), (1, 1)):
        model = copy.deepcopy(mlp)
        torch.manual_seed(noise)
        Sparsifier(model, sgd(model), method="static", sparsity=0.8, total_steps=10, seed=seed)
        masks.append(model[0].weight_mask)
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_dense_leaves_training_untouched(mlp, digits):
    plain = copy.deepcopy(mlp)
    optimizers = [sgd(mlp), sgd(plain)]
    sparsifier = Sparsifier(mlp, optimizers[0], method="dense", sparsity=0.0, total_steps=3)
    for step in range(3):
        take_step(mlp, optimizers[0], digits, step)
        take_step(plain, optimizers[1], digits, step)
    assert sparsifier.step_count == 3
    assert sparsifier.target_reached
    assert set(mlp.state_dict()) == set(plain.state_dict())
    assert all(torch.equal(value, plain.state_dict()[name]) for name, value in mlp.state_dict().items())


def test_removing_lets_go_of_model_and_optimizer(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(mlp, optimizer, method="static", sparsity=0.9, total_steps=10)
    sparsifier.remove()
    take_step(mlp, optimizer, digits, 0)
    assert sparsifier.step_count == 0
    assert not [name for name in mlp.state_dict() if "mask" in name]
    assert mlp[0].weight.count_nonzero() > 0.5 * mlp[0].weight.numel()
    Sparsifier(mlp, optimizer, method="static", sparsity=0.5, total_steps=10)


def test_state_is_json_and_tensors(mlp):
    sparsifier = Sparsifier(mlp, sgd(mlp), method="rigl", sparsity=0.9, total_steps=10)
    state = sparsifier.state_dict()
    generator = state.pop("generator")
    assert generator.dtype == torch.uint8
    sparsifier.load_state_dict(json.loads(json.dumps(state)) | {"generator": generator})


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"method": "set"}, "method"),
        ({"sparsity": 0.8}, "sparsity"),
        ({"distribution": "uniform"}, "distribution"),
        ({"total_steps": 11}, "total_steps"),
        ({"hyperparameters": {"until": 0.5}}, "hyperparameters"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(options, field, mlp):
    settings = {"method": "rigl", "sparsity": 0.9, "total_steps": 10}
    other = copy.deepcopy(mlp)
    state = Sparsifier(mlp, sgd(mlp), **settings).state_dict()
    with pytest.raises(MethodError, match=f"written with {field} .*this one has"):
        Sparsifier(other, sgd(other), **settings | options).load_state_dict(state)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"method": "rigel"}, UnknownNameError, "did you mean 'rigl'"),
        ({"distribution": "erg"}, UnknownNameError, "unknown distribution 'erg'"),
        ({"distribution": "global"}, MethodError, "rigl does not take distribution global"),
        ({"sparsity": 0.0}, MethodError, "use method dense"),
        ({"sparsity": 1.0}, InfeasibleError, r"not in \[0, 1\)"),
        ({"sparsity": 90}, InfeasibleError, r"for 90 % give 0\.9"),
        ({"sparsity": 0.99999}, InfeasibleError, "keeps none of 3392"),
        ({"total_steps": 0}, MethodError, "whole number of steps, at least 1"),
        ({"total_steps": 1.5}, MethodError, "whole number of steps"),
        ({"init": "he"}, MethodError, "'sparse' or 'dense'"),
        ({"method": "omp"}, MethodError, "'omp' starts from a trained dense network: give parent="),
        ({"method": "lth", "parent": Parent({})}, MethodError, "'lth' rewinds: give parent="),
        ({"parent": Parent({})}, MethodError, "'rigl' does not start from a parent"),
        (
            {"method": "omp", "parent": Parent({})},
            MethodError,
            r"trained weights do not fit.*missing \['0\.w",
        ),
        ({"hyperparameters": {"drop": 0.1}}, MethodError, "no hyperparameter 'drop'"),
        ({"keep_dense": ["head"]}, MethodError, "'head' matches no prunable layer; there are 0, 2, 4"),
        ({"keep_dense": ["0"]}, InfeasibleError, r"0 must keep more than the whole budget.*below 0\.3962"),
    ],
)
def test_mistakes_are_explained(options, error, message, mlp):
    with pytest.raises(error, match=message):
        Sparsifier(mlp, sgd(mlp), **{"method": "rigl", "sparsity": 0.9, "total_steps": 10} | options)
    assert not [name for name in mlp.state_dict() if "mask" in name]


def test_a_parent_of_another_shape_is_refused(mlp):
    parent = Parent(trained=mlp.state_dict() | {"0.weight": torch.zeros(2, 2)})
    with pytest.raises(MethodError, match=r"trained weights do not fit the model.*size mismatch"):
        Sparsifier(mlp, sgd(mlp), method="omp", sparsity=0.9, total_steps=10, parent=parent)


def test_optimizers_that_cannot_be_masked_are_refused(mlp):
    with pytest.raises(MethodError, match="LBFGS"):
        optimizer = torch.optim.LBFGS(mlp.parameters())
        Sparsifier(mlp, optimizer, method="static", sparsity=0.9, total_steps=10)
    with pytest.raises(MethodError, match="does not train the weights of 2, 4"):
        optimizer = torch.optim.SGD(mlp[0].parameters(), lr=0.1)
        Sparsifier(mlp, optimizer, method="static", sparsity=0.9, total_steps=10)


def test_a_second_sparsifier_is_refused(mlp):
    Sparsifier(mlp, sgd(mlp), method="static", sparsity=0.9, total_steps=10)
    with pytest.raises(MethodError, match="one Sparsifier at a time"):
        Sparsifier(mlp, sgd(mlp), method="static", sparsity=0.9, total_steps=10)


@pytest.mark.parametrize("method", ["snip", "rigl"])
def test_missing_gradients_are_said(method, mlp):
    optimizer = sgd(mlp)
    Sparsifier(mlp, optimizer, method=method, sparsity=0.9, total_steps=10)
    with pytest.raises(MethodError, match="layers 0, 2, 4 have no gradient"):
        for _ in range(3):
            optimizer.step()


def test_a_loss_that_leaves_a_layer_out_is_refused(mlp):
    with pytest.raises(MethodError, match="layers 2, 4 have no gradient"):
        Sparsifier(
            mlp,
            sgd(mlp),
            method="snip",
            sparsity=0.9,
            total_steps=10,
            loss=lambda model: model[0].weight.square().sum(),
        )
