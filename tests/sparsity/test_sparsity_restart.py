"""Weights that begin again: those dropped and regrown in one update, and all of them in a dense phase of acdc."""

import pytest
import torch
from torch import nn

from hsl.sparsity import Sparsifier, check_hyperparameters, prunable_layers
from hsl.training.configuration import Configuration
from hsl.training.identity import FIRST_HYPERPARAMETERS


def train(model, method, digits, steps, *, optimizer=torch.optim.SGD, sparsity=0.5, total_steps=20, **values):
    options = {"momentum": 0.9} if optimizer is torch.optim.SGD else {}
    made = optimizer(model.parameters(), lr=0.05, **options)
    Sparsifier(
        model,
        made,
        method=method,
        distribution=None if method in ("acdc",) else "uniform",
        sparsity=sparsity,
        total_steps=total_steps,
        hyperparameters=values,
        seed=1,
    )
    for step in range(steps):
        take_step(model, made, digits, step)
    return made


def take_step(model, optimizer, digits, step):
    rows = slice(32 * step, 32 * step + 32)
    optimizer.zero_grad()
    nn.functional.cross_entropy(model(digits[0][rows]), digits[1][rows]).backward()
    optimizer.step()


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize(
    ("method", "values"),
    [
        ("set", {"drop_fraction": 0.4}),
        ("mest", {"drop_fraction": 0.4, "until": 1.0}),
        ("mest_soft", {"excess": 0.8, "until": 1.0}),
    ],
)
@pytest.mark.parametrize("restart", [1, 0])
def test_only_what_was_kept_has_a_value_and_a_past_after_an_update(
    restart, method, values, optimizer, mlp, digits
):
    """In Mocanu's SET and in MEST all that is grown is zero, dropped a moment ago or not: counts say which is kept."""
    every = {"interval": 0.2, "restart_regrown": restart}
    made = train(mlp, method, digits, 5, optimizer=optimizer, **every, **values)
    # The update comes before the fifth step: a fraction of the active weights stays, of mest_soft its target.
    for layer in prunable_layers(mlp).values():
        active = int(layer.weight_mask.sum())
        stay = (active / 1.8 if method == "mest_soft" else 0.6 * active) + 1
        assert (int(layer.weight.count_nonzero()) <= stay) == bool(restart)
        state = made.state[layer.weight]
        past = state.get("momentum_buffer", state.get("exp_avg"))
        assert not restart or int(past.count_nonzero()) <= stay


def test_rigl_keeps_what_is_dropped_and_grown_at_once(mlp, digits):
    """As in its code (reinit_when_same is False)."""
    train(mlp, "rigl", digits, 5, interval=0.2, drop_fraction=1.0)
    layer = prunable_layers(mlp)["0"]
    assert 0 < layer.weight.count_nonzero() < layer.weight_mask.sum()


def acdc_by_hand(model, digits, *, sparsity, reset):
    """AC/DC with SGD on 20 steps, slowly: sparse after steps 1, 5, 9, 13, 17 and dense after 3, 7, 11, 15."""
    weights = [p for p in model.parameters() if p.dim() == 2]
    masks = {id(w): torch.ones_like(w) for w in weights}
    past = {id(p): torch.zeros_like(p) for p in model.parameters()}
    for step in range(20):
        if step in (3, 7, 11, 15):
            masks = {id(w): torch.ones_like(w) for w in weights}
            past = {key: value * (1 - reset) for key, value in past.items()}
        rows = slice(32 * step, 32 * step + 32)
        loss = nn.functional.cross_entropy(model(digits[0][rows]), digits[1][rows])
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        with torch.no_grad():
            for p, g in zip(model.parameters(), gradients, strict=True):
                past[id(p)] = (0.9 * past[id(p)] + g) * masks.get(id(p), 1.0)
                p.sub_(0.05 * past[id(p)]).mul_(masks.get(id(p), 1.0))
            if step + 1 in (1, 5, 9, 13, 17):
                keep = round((1 - sparsity) * sum(w.numel() for w in weights))
                threshold = (
                    torch.cat([w.abs().flatten() for w in weights]).sort(descending=True).values[keep - 1]
                )
                for w in weights:
                    masks[id(w)] = (w.abs() >= threshold).float()
                    w.mul_(masks[id(w)])
                    past[id(w)] = past[id(w)] * masks[id(w)]


@pytest.mark.parametrize("reset", [1, 0])
def test_acdc_forgets_its_momentum_as_a_dense_phase_begins(reset, mlp, digits):
    torch.manual_seed(0)
    expected = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
    acdc_by_hand(expected, digits, sparsity=0.8, reset=reset)
    train(mlp, "acdc", digits, 20, sparsity=0.8, reset_momentum=reset)
    for found, wanted in zip(mlp.parameters(), expected.parameters(), strict=True):
        assert torch.allclose(found, wanted, atol=1e-6)


def test_acdc_forgets_all_that_adam_knows(mlp, digits):
    adam = train(mlp, "acdc", digits, 4, optimizer=torch.optim.Adam, sparsity=0.8)
    assert {int(state["step"]) for state in adam.state.values()} == {1}


@pytest.mark.parametrize("method", FIRST_HYPERPARAMETERS)
def test_what_version_0_1_trained_keeps_its_identity(method):
    base = {"dataset": "digits", "model": {"name": "mlp"}, "method": method, "sparsity": 0.9}
    (name,) = FIRST_HYPERPARAMETERS[method]
    of_0_1 = {"hyperparameters": {name: 0}, "layers": {"ties": "index"}, "init": "sparse"}
    former = Configuration.model_validate({**base, **of_0_1})
    present = Configuration.model_validate(base)
    assert "hyperparameters" not in former.stored()
    assert present.stored()["hyperparameters"] == {name: check_hyperparameters(method, {})[name]} != {name: 0}
    assert former.id != present.id
    assert Configuration.from_stored(base) == former
    assert Configuration.from_stored(present.stored()) == present


def test_weights_of_double_precision_are_ranked_in_it():
    """All of these are one number in float32."""
    model = nn.Linear(64, 4, bias=False).double()
    order = torch.randperm(256, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        model.weight.copy_((1.0 + 1e-12 * order.double()).view(4, 64))
    assert model.weight.float().unique().numel() == 1
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    Sparsifier(
        model, optimizer, method="gmp", sparsity=0.5, total_steps=1, hyperparameters={"start": 0, "end": 1}
    )
    model(torch.ones(1, 64, dtype=torch.float64)).sum().backward()
    optimizer.step()
    assert torch.equal(model.weight_mask, (order >= 128).view(4, 64))
