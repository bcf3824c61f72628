"""Trainings that are equal as read have the same learning rates and optimizers, and no others have."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsl.training.configuration import Training
from hsl.training.optimizers import learning_rate, make_optimizer
from hsl.training.read_settings import as_read

TRAININGS = st.builds(
    Training,
    optimizer=st.sampled_from(["sgd", "adamw"]),
    momentum=st.sampled_from([0.5, 0.9]),
    nesterov=st.booleans(),
    schedule=st.sampled_from(["constant", "cosine", "step", "multistep", "one_cycle"]),
    gamma=st.sampled_from([0.1, 0.5, 1.0]),
    milestones=st.permutations([0.3, 0.6]) | st.sampled_from([(0.3,), (0.6,)]),
    warmup=st.sampled_from([0.0, 0.1, 0.3]),
)


def trained_by(training: Training) -> tuple[Any, ...]:
    """All that reaches the weights: the rate of every step, and the optimizer with its settings."""
    optimizer = make_optimizer(training, [torch.nn.Parameter(torch.zeros(1))])
    return [learning_rate(training, step, 40) for step in range(40)], type(optimizer), optimizer.defaults


@settings(max_examples=60, deadline=None)
@given(TRAININGS)
def test_what_is_read_trains_the_same(training: Training) -> None:
    assert trained_by(as_read(training)) == trained_by(training)
    assert as_read(as_read(training)) == as_read(training)


@settings(max_examples=60, deadline=None)
@given(TRAININGS, TRAININGS)
def test_what_trains_the_same_is_equal_as_read(one: Training, other: Training) -> None:
    """But for `step` and `multistep` with one milestone after the half, which are left apart."""
    if {one.schedule, other.schedule} != {"step", "multistep"}:
        assert (as_read(one) == as_read(other)) == (trained_by(one) == trained_by(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"optimizer": "adamw", "momentum": 0.5}, {"optimizer": "adamw", "nesterov": True}),
        ({"schedule": "cosine", "gamma": 0.5}, {"schedule": "cosine", "milestones": [0.2]}),
        ({"schedule": "step", "milestones": [0.5, 0.6]}, {"schedule": "step", "milestones": [0.5, 0.9]}),
        ({"schedule": "one_cycle"}, {"schedule": "cosine", "warmup": 0.3}),
    ],
)
def test_known_equals(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert as_read(Training(**one)) == as_read(Training(**other))
