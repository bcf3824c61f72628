"""Iterative magnitude pruning: exact densities, bitwise rewinding, and masks by definition."""

import copy

import pytest
import torch
from torch import nn

from hsl.errors import InfeasibleError, MethodError
from hsl.sparsity import Layers, Sparsifier, iterative_magnitude_pruning, layer_densities


def recorded(digits, log, steps=5):
    """A train function that notes the weights before and after each training."""

    def train(model, keep_sparse):
        log.append(copy.deepcopy(model.state_dict()))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)
        keep_sparse(optimizer)
        for step in range(steps):
            rows = slice(32 * step, 32 * step + 32)
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(digits[0][rows]), digits[1][rows]).backward()
            optimizer.step()
        log.append(copy.deepcopy(model.state_dict()))

    return train


@pytest.mark.parametrize(
    ("density", "rounds", "kept"), [(0.2, 8, 0.817765), (0.1, 11, 0.811131), (0.05, 14, 0.807364)]
)
def test_every_round_keeps_the_same_fraction(density, rounds, kept, mlp, digits):
    log = []
    masks = iterative_magnitude_pruning(
        mlp, recorded(digits, log, steps=1), sparsity=1 - density, rounds=rounds
    )
    counts = [sum(int(state[f"{i}.weight_mask"].sum()) for i in (0, 2, 4)) for state in log[::2]]
    assert counts == [round(3392 * density ** (k / rounds)) for k in range(rounds + 1)]
    assert counts[1] / 3392 == pytest.approx(kept, abs=2e-4)
    assert sum(int(mask.sum()) for mask in masks.values()) == round(3392 * density)
    assert len(log) == 2 * (rounds + 1)


def test_four_fifths_in_each_of_five_rounds(mlp, digits):
    masks = iterative_magnitude_pruning(mlp, recorded(digits, [], steps=1), sparsity=1 - 0.8**5, rounds=5)
    assert sum(int(mask.sum()) for mask in masks.values()) == round(0.32768 * 3392)


def test_rounds_prune_the_smallest_and_rewind_to_the_last_bit(cnn, digits):
    log, start = [], copy.deepcopy(cnn.state_dict())
    masks = iterative_magnitude_pruning(cnn, recorded(digits, log), sparsity=0.8, rounds=3)
    names = [name.removesuffix(".weight_mask") for name in log[0] if name.endswith("mask")]
    for trained, rewound in zip(log[1::2], log[2::2], strict=False):
        for name, value in start.items():
            mask = rewound.get(f"{name}_mask", torch.tensor(True))
            assert torch.equal(rewound[name], value * mask if value.is_floating_point() else value), name
        scores = torch.cat([trained[f"{name}.weight"].abs().flatten() for name in names])
        before = torch.cat([trained[f"{name}.weight_mask"].flatten() for name in names])
        after = torch.cat([rewound[f"{name}.weight_mask"].flatten() for name in names])
        assert not (after & ~before).any()
        assert scores[after].min() >= scores[before & ~after].max()
        assert trained[f"{names[0]}.weight"][~trained[f"{names[0]}.weight_mask"]].count_nonzero() == 0
    assert not [name for name in cnn.state_dict() if "mask" in name]
    for name, mask in masks.items():
        weight = cnn.get_submodule(name).weight
        assert weight[~mask].count_nonzero() == 0
        assert not torch.equal(weight, start[f"{name}.weight"] * mask)


def test_the_ratios_of_a_ticket_serve_other_methods(mlp, digits):
    masks = iterative_magnitude_pruning(mlp, recorded(digits, []), sparsity=0.9, rounds=2)
    densities = layer_densities(masks)
    optimizer = torch.optim.SGD(mlp.parameters(), lr=0.1)
    sparsifier = Sparsifier(
        mlp, optimizer, method="static", sparsity=0.9, total_steps=9, distribution=densities
    )
    assert sparsifier.layer_densities() == densities


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rounds": 0}, MethodError, "rounds is 0, it must be a whole number, at least 1"),
        ({"rounds": 1.5}, MethodError, "whole number"),
        ({"sparsity": 0.0}, MethodError, "is dense training"),
        ({"sparsity": 1.0}, InfeasibleError, r"not in \[0, 1\)"),
        ({"layers": Layers(structure="2:4")}, MethodError, "takes no structure; 2:4 was given"),
        ({"distribution": "from:snip"}, MethodError, "takes no from:snip"),
        ({"train": lambda model, keep_sparse: None}, MethodError, r"must call keep_sparse\(optimizer\)"),
    ],
)
def test_mistakes_are_explained(options, error, message, mlp, digits):
    with pytest.raises(error, match=message):
        iterative_magnitude_pruning(
            mlp, **{"train": recorded(digits, []), "sparsity": 0.5, "rounds": 2} | options
        )
    assert not [name for name in mlp.state_dict() if "mask" in name]


def test_the_ends_stay_dense_and_the_middle_makes_up_for_them(mlp, digits):
    masks = iterative_magnitude_pruning(
        mlp,
        recorded(digits, [], steps=1),
        sparsity=0.3,
        rounds=2,
        layers=Layers(first_dense=True, last_dense=True),
    )
    total = sum(mask.numel() for mask in masks.values())
    assert sum(int((~mask).sum()) for mask in masks.values()) == round(0.3 * total)
    assert [bool(mask.all()) for mask in masks.values()] == [True, False, True]


def test_an_optimizer_that_was_not_handed_over_is_refused(mlp, digits):
    def train(model, keep_sparse):
        seen = torch.optim.SGD(model.parameters(), lr=0.1)
        keep_sparse(seen)
        other = torch.optim.Adam(model.parameters())
        nn.functional.cross_entropy(model(digits[0][:32]), digits[1][:32]).backward()
        other.step()

    with pytest.raises(MethodError, match="a step of Adam would train the weights of layer '0' and 2 more"):
        iterative_magnitude_pruning(mlp, train, sparsity=0.5, rounds=1)
    assert not [name for name, _ in mlp.named_buffers()]
    torch.optim.Adam(mlp.parameters()).step()


def test_a_training_may_change_its_optimizer(mlp, digits):
    def train(model, keep_sparse):
        for make in (torch.optim.Adam, torch.optim.SGD):
            optimizer = make(model.parameters(), lr=0.01)
            keep_sparse(optimizer)
            nn.functional.cross_entropy(model(digits[0][:32]), digits[1][:32]).backward()
            optimizer.step()

    masks = iterative_magnitude_pruning(mlp, train, sparsity=0.5, rounds=2)
    assert sum(int(mask.sum()) for mask in masks.values()) == 3392 // 2
