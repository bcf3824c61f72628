"""The engine: what it does beside the properties of the conformance suite."""

import copy
import json
import sys
import types

import pytest
import torch
from torch import nn

from hsl.errors import MethodError
from hsl.sparsity import Sparsifier
from hsl.sparsity.layers import Layers
from hsl.sparsity.zeroing import Factors

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


def test_an_active_weight_may_be_zero(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(mlp, optimizer, method="static", sparsity=0.5, total_steps=10)
    with torch.no_grad():
        mlp[0].weight.zero_()
    take_step(mlp, optimizer, digits, 0)
    assert sparsifier.sparsity() == pytest.approx(0.5, abs=1e-3)
    assert mlp[0].weight[mlp[0].weight_mask].count_nonzero() > 0


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
    sparsifier = Sparsifier(
        mlp, sgd(mlp), method="static", sparsity=0.75, total_steps=10, layers=Layers(exclude=["4"])
    )
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
    tensors = {name: state.pop(name) for name in ("generator", "explored")}
    assert tensors["generator"].dtype == torch.uint8
    assert all(union.dtype == torch.bool for union in tensors["explored"].values())
    sparsifier.load_state_dict(json.loads(json.dumps(state)) | tensors)


@pytest.mark.parametrize("change", ["in place", "loaded", "other storage", "other type"])
def test_a_mask_that_changes_is_obeyed_in_the_next_step(change, mlp, digits):
    """Masks are kept as numbers from step to step: whatever changes one has to change these."""
    optimizer = sgd(mlp)
    Sparsifier(mlp, optimizer, method="static", sparsity=0.5, total_steps=10)
    take_step(mlp, optimizer, digits, 0)
    other = ~mlp[0].weight_mask
    if change == "in place":
        mlp[0].weight_mask.logical_not_()
    elif change == "loaded":
        mlp[0].load_state_dict({**mlp[0].state_dict(), "weight_mask": other})
    elif change == "other storage":
        mlp[0].weight_mask = other
    else:
        other = ~other
        mlp.double()
        digits = digits[0].double(), digits[1]
        optimizer.state.clear()
    take_step(mlp, optimizer, digits, 1)
    momentum = optimizer.state[mlp[0].weight]["momentum_buffer"]
    for tensor in (mlp[0].weight, momentum):
        assert tensor[~other].count_nonzero() == 0
        assert tensor[other].count_nonzero() > 0


def test_copied_masks_are_made_into_numbers_anew():
    """Versions of copied masks begin anew, and could be taken for those of the original."""
    factors = Factors()
    mask = torch.zeros(3, dtype=torch.bool).fill_(True).fill_(True)
    assert factors.of("a", mask, torch.float32).tolist() == [1, 1, 1]
    masks, copied = copy.deepcopy((mask, factors))
    masks.copy_(torch.tensor([True, False, True]))
    assert masks._version == mask._version
    assert copied.of("a", masks, torch.float32).tolist() == [1, 0, 1]


def test_non_zeros_move_on_the_steps_of_the_schedule_only(mlp, digits):
    """Every fifth of a hundred steps, and the count of steps is that of the optimizer."""
    optimizer = sgd(mlp)
    options = {"interval": 0.05, "drop_fraction": 0.5}
    sparsifier = Sparsifier(
        mlp, optimizer, method="rigl", sparsity=0.8, total_steps=100, hyperparameters=options
    )
    moved = []
    for step in range(11):
        before = mlp[0].weight_mask.clone()
        take_step(mlp, optimizer, digits, step)
        assert sparsifier.step_count == step + 1
        moved.append(not torch.equal(mlp[0].weight_mask, before))
        assert sparsifier.sparsity() == pytest.approx(0.8, abs=1e-3)
    assert [step for step, has in enumerate(moved) if has] == [5, 10]
    assert sparsifier.explored() > 0.2


def test_a_dense_network_counts_its_steps_and_is_explored(mlp, digits):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(mlp, optimizer, method="dense", sparsity=0.0)
    for step in range(3):
        take_step(mlp, optimizer, digits, step)
    assert sparsifier.step_count == 3
    assert sparsifier.target_reached
    assert (sparsifier.sparsity(), sparsifier.explored()) == (0.0, 1.0)
    assert set(sparsifier.layer_densities().values()) == {1.0}


@pytest.mark.parametrize(
    ("method", "steps", "there"), [("gmp", 4, 16), ("snip", 0, 1), ("gmp", 16, 0), ("set", 0, 0)]
)
def test_a_network_that_was_trained_too_short_says_so_in_the_end(method, steps, there, mlp, digits, caplog):
    optimizer = sgd(mlp)
    sparsifier = Sparsifier(mlp, optimizer, method=method, sparsity=0.9, total_steps=20)
    for step in range(steps):
        take_step(mlp, optimizer, digits, step)
    with caplog.at_level("WARNING"):
        sparsifier.finalize()
    assert (f"not 90 %: {method} is there after {there} steps" in caplog.text) == (there > 0)
    assert bool(caplog.text) == (there > 0)


@pytest.mark.parametrize("method", ["static", "set", "gmp"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["model first", "model last"])
def test_a_checkpoint_goes_on_with_its_own_masks_only(method, order, mlp, digits):
    made, fresh = [], copy.deepcopy(mlp)
    for model, seed in ((mlp, 0), (fresh, 1)):
        optimizer = sgd(model)
        sparsifier = Sparsifier(model, optimizer, method=method, sparsity=0.9, total_steps=20, seed=seed)
        made.append((model, optimizer, sparsifier))
    for step in range(12):
        take_step(mlp, made[0][1], digits, step)
    state = copy.deepcopy((made[0][2].state_dict(), mlp.state_dict()))
    made[1][2].load_state_dict(state[0])
    for refused in (made[1][2].sparsity, lambda: take_step(fresh, made[1][1], digits, 12)):
        with pytest.raises(MethodError, match="masks are not those of the checkpoint"):
            refused()
    loads = (lambda: fresh.load_state_dict(state[1]), lambda: made[1][2].load_state_dict(state[0]))
    for number in order:
        loads[number]()
    take_step(fresh, made[1][1], digits, 12)
    assert made[1][2].step_count == 13


def test_a_checkpoint_without_a_digest_is_read_as_before(mlp):
    sparsifier = Sparsifier(mlp, sgd(mlp), method="set", sparsity=0.9, total_steps=20)
    old = {name: value for name, value in sparsifier.state_dict().items() if name != "masks"}
    sparsifier.load_state_dict(old)
    assert sparsifier.sparsity() == pytest.approx(0.9, abs=1e-3)
