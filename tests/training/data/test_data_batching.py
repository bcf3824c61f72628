"""Cycles of batches against samples picked one by one, and an epoch in which the host waits for nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode
from training_small import trainer_of, with_method

from hsl.hardness import keyed
from hsl.hardness.apply import Samples
from hsl.training.data.augmentation import draw_shifts, shifted
from hsl.training.data.batching import Cycle, batches

HARD: dict[str, Any] = {
    "clean": {},
    "attacked": {"attack": {"eps": "8/255", "step": "4/255", "steps": 2, "eval_steps": 2}},
    "free": {"attack": {"name": "free", "eps": "8/255", "step": "8/255", "replays": 2, "eval_steps": 2}},
    "redrawn": {"corruption": {"name": "gaussian_noise", "severity": 3, "redraw": True}},
}


@given(st.integers(2, 60), st.integers(1, 25), st.booleans(), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_cycle_shows_every_sample_once_in_the_order_of_its_key(
    count: int, batch_size: int, augmented: bool, key: int
) -> None:
    generator = torch.Generator().manual_seed(key)
    images = torch.randint(0, 256, (count, 2, 7, 9), dtype=torch.uint8, generator=generator)
    ids = torch.randperm(500, generator=generator)[:count]
    samples = Samples(images, ids % 7, ids)
    cycle = Cycle(samples, key, batch_size, key + 1 if augmented else None)
    parts = batches(keyed.permutation(key, count), batch_size)
    assert len(cycle) == len(parts)
    for number, places in enumerate(parts):
        images_, labels, ids_ = cycle.batch(number)
        shown = images[places]
        expected = shifted(shown, draw_shifts(ids[places], key + 1)) if augmented else shown
        assert torch.equal(images_, expected)
        assert torch.equal(labels, ids_ % 7)
        assert torch.equal(ids_, ids[places])


class HostReads(TorchDispatchMode):
    """Counts the operations that make a host wait for its device: values read, and shapes that depend on them."""

    WAITING = ("_local_scalar_dense", "nonzero", "equal", "masked_select", "_unique2")

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket.__name__ in self.WAITING
        return func(*args, **(kwargs or {}))


def reads(batch_size: int, method: str, regime: dict[str, Any], folder: Path) -> tuple[int, int]:
    """Host reads of an epoch without evaluation, and its steps."""
    training = {"batch_size": batch_size, "augment": True}
    trainer = trainer_of(with_method(method, training=training, regime=regime), folder)
    trainer.train_steps(trainer.steps_per_epoch)
    with HostReads() as counted:
        trainer.train_steps(2 * trainer.steps_per_epoch)
    return counted.count, trainer.steps_per_epoch


@pytest.mark.parametrize("regime", HARD)
@pytest.mark.parametrize("method", ["dense", "static"])
def test_the_host_reads_no_more_in_many_steps_than_in_few(method: str, regime: str, tmp_path: Path) -> None:
    few, many = (reads(size, method, HARD[regime], tmp_path) for size in (48, 6))
    assert many[1] > 4 * few[1]
    assert many[0] == few[0]
