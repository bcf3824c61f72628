"""Learning rates against torch's own schedulers and closed forms; optimizers by what they are built with."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hsl.training.configuration import Training
from hsl.training.optimizers import learning_rate, make_optimizer

STEPS = 40


def rates(training: Training, steps: int = STEPS) -> list[float]:
    return [learning_rate(training, step, steps) for step in range(steps)]


def torch_rates(scheduler: type, **options: object) -> list[float]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    schedule = scheduler(optimizer, **options)
    found = []
    for _ in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return found


def test_constant_is_constant() -> None:
    assert rates(Training(schedule="constant", lr=0.3)) == [0.3] * STEPS


def test_cosine_is_torchs() -> None:
    expected = torch_rates(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=STEPS)
    assert rates(Training(schedule="cosine")) == pytest.approx(expected)


def test_multistep_is_torchs() -> None:
    expected = torch_rates(torch.optim.lr_scheduler.MultiStepLR, milestones=[10, 30], gamma=0.2)
    assert rates(Training(schedule="multistep", milestones=(0.25, 0.75), gamma=0.2)) == pytest.approx(
        expected
    )


def test_step_is_torchs() -> None:
    expected = torch_rates(torch.optim.lr_scheduler.StepLR, step_size=10, gamma=0.5)
    assert rates(Training(schedule="step", milestones=(0.25,), gamma=0.5)) == pytest.approx(expected)


@pytest.mark.parametrize(("warmup", "share"), [(0.0, 0.3), (0.5, 0.5)])
def test_one_cycle_rises_linearly_and_falls_along_a_cosine(warmup: float, share: float) -> None:
    found = rates(Training(schedule="one_cycle", lr=1.0, warmup=warmup))
    rise = round(share * STEPS)
    assert found[:rise] == pytest.approx([(step + 1) / rise for step in range(rise)])
    fall = STEPS - rise
    assert found[rise:] == pytest.approx([(1 + math.cos(math.pi * s / fall)) / 2 for s in range(fall)])


@pytest.mark.parametrize("schedule", ["constant", "cosine", "multistep"])
def test_warmup_rises_to_the_peak_before_the_schedule(schedule: str) -> None:
    found = rates(Training(schedule=schedule, lr=0.2, warmup=0.25))
    assert found[:10] == pytest.approx([0.2 * (step + 1) / 10 for step in range(10)])
    assert found[10] == pytest.approx(0.2)


@given(
    st.sampled_from(["constant", "cosine", "step", "multistep", "one_cycle"]),
    st.floats(0, 0.99),
    st.integers(1, 300),
    st.lists(st.floats(0.01, 0.99), min_size=1, max_size=3),
)
def test_every_rate_is_above_zero_and_at_most_the_peak(
    schedule: str, warmup: float, steps: int, milestones: list[float]
) -> None:
    training = Training(schedule=schedule, warmup=warmup, lr=0.1, milestones=tuple(milestones))
    assert all(0 < rate <= 0.1 * (1 + 1e-12) for rate in rates(training, steps))


def test_sgd_is_built_as_described() -> None:
    training = Training(lr=0.2, momentum=0.8, nesterov=True, weight_decay=0.01)
    optimizer = make_optimizer(training, [torch.nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.SGD)
    group = optimizer.param_groups[0]
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (
        0.2,
        0.8,
        True,
        0.01,
    )


def test_adamw_is_built_as_described() -> None:
    training = Training(optimizer="adamw", lr=0.002, weight_decay=0.01)
    optimizer = make_optimizer(training, [torch.nn.Parameter(torch.zeros(1))])
    assert isinstance(optimizer, torch.optim.AdamW)
    assert (optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["weight_decay"]) == (0.002, 0.01)
