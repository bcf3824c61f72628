"""Schedules against closed forms and published values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsl.sparsity.schedules import (
    DropAndGrowSchedule,
    GradualSchedule,
    cosine_drop_fraction,
    cubic_progress,
    round_progress,
    to_step,
)

fractions = st.floats(0, 1)
budgets = st.integers(1, 500)


def test_cubic_of_ten_prunings_to_90_percent():
    expected = [0, 0.2439, 0.4392, 0.5913, 0.7056, 0.7875, 0.8424, 0.8757, 0.8928, 0.8991, 0.9]
    assert [0.9 * cubic_progress(step, 0, 10) for step in range(11)] == pytest.approx(expected, abs=1e-9)


def test_gmp_as_the_hard_sample_paper_sets_it():
    # 200 epochs, pruning from epoch 20 to 160, every 4; one step stands for one epoch.
    schedule = GradualSchedule.from_fractions(0.1, 0.8, 0.02, 200)
    assert schedule == GradualSchedule(start=20, end=160, interval=4)
    prunings = [step for step in range(1, 201) if schedule.prunes_after(step)]
    assert prunings == [20 + 4 * k for k in range(1, 36)]
    found = {k: 0.8 * schedule.progress(20 + 4 * k) for k in (1, 10, 17, 34)}
    assert found == pytest.approx({1: 0.066631, 10: 0.508455, 17: 0.691181, 34: 0.799981}, abs=1e-6)
    assert schedule.progress(160) == 1.0


def test_cosine_of_rigl():
    steps = {0: 0.3, 18750: 0.256066, 37500: 0.15, 56250: 0.043934, 75000: 0.0}
    assert {step: cosine_drop_fraction(step, 0.3, 75000) for step in steps} == pytest.approx(steps, abs=1e-6)


def test_rigl_updates_every_interval_but_neither_first_nor_after_its_end():
    schedule = DropAndGrowSchedule.from_fractions(0.3, 0.02, 0.75, 200)
    assert [step for step in range(200) if schedule.updates_at(step)] == list(range(4, 150, 4))


def test_halves_are_rounded_up():
    assert [to_step(0.5, total) for total in (1, 2, 3, 5)] == [1, 1, 2, 3]


@pytest.mark.parametrize("total_steps", [1, 2, 3])
def test_tiny_budgets_reach_the_target(total_steps):
    schedule = GradualSchedule.from_fractions(0.1, 0.8, 0.02, total_steps)
    assert [schedule.prunes_after(step) for step in range(1, total_steps + 1)].count(True) >= 1
    assert schedule.end <= total_steps
    assert schedule.prunes_after(schedule.end)


@given(fractions, fractions, fractions, budgets)
def test_the_target_is_reached_within_any_budget(start, end, interval, total_steps):
    schedule = GradualSchedule.from_fractions(min(start, end), end, interval, total_steps)
    prunings = [step for step in range(1, total_steps + 1) if schedule.prunes_after(step)]
    assert prunings[-1] == schedule.end
    progress = [schedule.progress(step) for step in prunings]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0


@given(fractions, fractions, fractions, budgets)
def test_a_small_budget_still_trains_weights(drop_fraction, interval, until, total_steps):
    schedule = DropAndGrowSchedule.from_fractions(drop_fraction, interval, until, total_steps)
    updates = [step for step in range(total_steps) if schedule.updates_at(step)]
    assert len(updates) <= total_steps / 2
    assert all(step < until * total_steps + 0.5 for step in updates)
    assert all(0 <= schedule.fraction(step) <= drop_fraction for step in updates)


def test_cubic_of_the_jaxpruner_example():
    # Target .5 from step 0 to 20; at its step 9 ten steps are done.
    assert 0.5 * cubic_progress(10, 0, 20) == 0.4375


@pytest.mark.parametrize(("rounds", "density"), [(5, 0.32768), (7, 0.209715), (10, 0.107374), (14, 0.043980)])
def test_rounds_that_keep_four_fifths(rounds, density):
    sparsity = 1 - 0.8**rounds
    assert 1 - sparsity * round_progress(sparsity, rounds, rounds) == pytest.approx(density, abs=1e-6)
    assert 1 - sparsity * round_progress(sparsity, 1, rounds) == pytest.approx(0.8)
