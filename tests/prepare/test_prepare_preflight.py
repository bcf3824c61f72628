"""What the network says before anything is trained: levels that are no others, and sparsity that prunes nothing."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from hsl.errors import SpaceError
from hsl.planning.plan import make_plan
from hsl.prepare.preflight import preflight
from hsl.space.load import make_space

WEIGHTS = 64 * 8 + 8 * 10
"""Of the network of the digits below."""


def check(**content: Any) -> None:
    base = {"name": "t", "dataset": "digits", "model": {"name": "mlp", "widths": [8]}, "method": "static"}
    preflight(make_plan(make_space({**base, **content})))


def test_levels_that_keep_as_many_weights_are_refused() -> None:
    with pytest.raises(SpaceError, match=r"0\.9001 keeps as many weights as 0\.9, 59"):
        check(factors={"sparsity": [0.9, 0.9001]})
    check(factors={"sparsity": [0.9, 0.902]})  # one weight more


def test_they_may_be_of_different_networks() -> None:
    wide = {"name": "mlp", "widths": [16]}
    narrow = {"name": "mlp", "widths": [8]}
    check(factors={"sparsity": [0.5, 0.9], "model": [wide, narrow]})


@pytest.mark.parametrize("share", [0.1, 0.49])
def test_a_sparsity_that_prunes_nothing_is_refused(share: float) -> None:
    with pytest.raises(SpaceError, match=f"prunes none of {WEIGHTS} weights; raise it, or leave it out"):
        check(sparsity=share / WEIGHTS)


def test_one_weight_is_something() -> None:
    check(sparsity=0.9 / WEIGHTS)


@pytest.mark.parametrize("widths", [[0], [-1], [8, 0]])
def test_a_layer_without_units_is_refused(widths: list[int]) -> None:
    with pytest.raises(SpaceError, match="model 'mlp' with"):
        check(model={"name": "mlp", "widths": widths}, sparsity=0.5)


def fifteen(shape: tuple[int, int, int], classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes + 5))


def by_value(shape: tuple[int, int, int], classes: int) -> nn.Module:
    """A network whose outputs can only be known by trying it."""

    class ByValue(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rest = nn.Linear(64, classes)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            flat = images.flatten(1)
            return self.rest(flat if float(flat.sum()) > 0 else -flat)

    return ByValue()


def test_a_network_has_one_output_for_each_class() -> None:
    with pytest.raises(SpaceError, match=r"makes \[1, 15\] of one image, and must make \[1, 10\]"):
        check(model=f"{__name__}:fifteen", sparsity=0.5)
    check(model=f"{__name__}:by_value", sparsity=0.5)
