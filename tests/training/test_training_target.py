"""A method from outside that leaves another sparsity than was asked for, and names of devices."""

from __future__ import annotations

import pytest
import torch
from training_small import small

from hsl.errors import HslError, MethodError
from hsl.sparsity.distributions.ranked import Family
from hsl.sparsity.drivers.base import Driver
from hsl.sparsity.methods import Method
from hsl.sparsity.methods.moments import Moment
from hsl.sparsity.network import Network, Start, set_masks_
from hsl.training.build import build_trainer, usable_device


class Once(Driver):
    """Prunes a share of every layer after the third step."""

    def __init__(self, network: Network, share: float) -> None:
        self._network, self._share, self.reached_at = network, share, 3

    def after_step(self, step: int) -> None:
        if step == self.reached_at and self._share:
            layers = self._network.layers
            masks = {name: torch.rand_like(layer.weight) > self._share for name, layer in layers.items()}
            set_masks_(layers, masks)


class OnceMoment(Moment):
    has_schedule = True

    def __init__(self, share: float) -> None:
        self._share = share

    def build(self, start: Start) -> Driver:
        return Once(start.network, self._share)


def method(name: str, share: float) -> Method:
    return Method(
        name=f"{__name__}:{name}", summary="-", source="-", moment=OnceMoment(share),
        families=(Family.FORMULA,), default="uniform", hyperparameters=(),
    )  # fmt: skip


NEVER, HALF = method("NEVER", 0.0), method("HALF", 0.45)


@pytest.mark.parametrize(("name", "left"), [("NEVER", "0"), ("HALF", "4")])
def test_a_network_that_misses_its_sparsity_fails(name: str, left: str) -> None:
    trainer = build_trainer(small(method=f"{__name__}:{name}", sparsity=0.9, training={"epochs": 2}), 0)
    assert trainer.train_epoch()["epochs_at_target"] == 0
    with pytest.raises(
        MethodError, match=rf"left the network {left}.*% sparse at the end, and 90 % was asked"
    ):
        trainer.train_epoch()


@pytest.mark.parametrize("name", ["foo", "meta", "xla"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(HslError, match=f"--device {name}: no such device here"):
        usable_device(name)


def test_the_devices_that_are_there() -> None:
    assert usable_device("cpu") == "cpu"
    assert usable_device(None) == ("cuda" if torch.cuda.is_available() else "cpu")
