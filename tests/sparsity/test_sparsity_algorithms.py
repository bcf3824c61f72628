"""Each method against its paper: RigL written out literally, SNIP, LTH, OMP and GMP by their definitions."""

import copy
import math

import pytest
import torch
from torch import nn

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
        mlp,
        optimizer,
        method="set_magnitude",
        sparsity=0.8,
        total_steps=100,
        hyperparameters={"interval": 0.05},
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
        mlp,
        optimizer,
        method="set_magnitude",
        sparsity=0.8,
        total_steps=100,
        hyperparameters={"interval": 0.05},
    )
    mask = mlp[0].weight_mask.clone()
    for step in range(6):
        take_step(mlp, optimizer, digits, step)
    n = int(0.15 * (1 + math.cos(math.pi * 5 / 75)) * int(mask.sum()))
    moved = int((mask & ~mlp[0].weight_mask).sum())
    assert 0 < moved <= n
    assert int((~mask & mlp[0].weight_mask).sum()) == moved


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
