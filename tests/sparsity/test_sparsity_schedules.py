"""Schedules against closed forms and published values."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsl.sparsity.schedules import (
    AlternatingSchedule,
    DropAndGrowSchedule,
    GradualSchedule,
    cosine_drop_fraction,
    cubic_progress,
    round_progress,
    stepwise_fraction,
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


def test_the_mutation_of_mest_is_halved_and_ends():
    """Over 120 epochs: 0.4 before epoch 90, 0.2 from there, nothing from 120."""
    expected = {0: 0.4, 89: 0.4, 90: 0.2, 119: 0.2, 120: 0.0, 121: 0.0}
    assert {step: stepwise_fraction(step, 0.4, 120) for step in expected} == expected


def test_a_cosine_ends_where_it_is_told_to():
    assert [cosine_drop_fraction(step, 0.5, 8, 0.1) for step in (0, 4, 8, 9)] == pytest.approx(
        [0.5, 0.3, 0.1, 0.1]
    )
    assert cosine_drop_fraction(9, 0.5, 8) == 0.0


def test_decays_of_moving_non_zeros():
    made = DropAndGrowSchedule.from_fractions(0.4, 0.1, 0.8, 100, decay="stepwise")
    assert made == DropAndGrowSchedule(0.4, 10, 80, "stepwise", 0.0)
    assert [made.fraction(step) for step in (0, 59, 60, 80)] == [0.4, 0.4, 0.2, 0.0]
    constant = DropAndGrowSchedule.from_fractions(0.4, 0.1, 0.8, 100, decay="constant")
    assert [constant.fraction(step) for step in (0, 40, 79)] == [0.4] * 3
    cosine = DropAndGrowSchedule.from_fractions(0.4, 0.1, 0.8, 100, final=0.2)
    assert [cosine.fraction(step) for step in (0, 40, 80)] == pytest.approx([0.4, 0.3, 0.2])
    assert DropAndGrowSchedule.from_fractions(0.4, 0.001, 0.8, 100).interval == 2
    assert DropAndGrowSchedule.from_fractions(0.4, 0.1, 0.8, 100).fraction(80) == 0.0


def test_gradual_pruning_from_an_initial_sparsity():
    schedule = GradualSchedule(start=0, end=10, interval=1, initial=0.5)
    assert [schedule.progress(step) for step in (0, 5, 10)] == [0.5, 0.9375, 1.0]
    late = GradualSchedule(start=5, end=10, interval=1)
    assert [late.progress(step) for step in (0, 5)] == [0.0, 0.0]
    made = GradualSchedule.from_fractions(0.1, 0.8, 0.05, 200, initial=0.25)
    assert made == GradualSchedule(20, 160, 10, 0.25)


def test_phases_take_turns_and_the_last_is_sparse():
    schedule = AlternatingSchedule(start=3, interval=2, end=10)
    found = {step: change for step in range(14) if (change := schedule.change_after(step))}
    assert found == {3: "sparse", 5: "dense", 7: "sparse", 9: "dense", 10: "sparse"}
    assert AlternatingSchedule.from_fractions(0.1, 0.9, 0.05, 100) == AlternatingSchedule(10, 5, 90)
    assert AlternatingSchedule.from_fractions(0.0, 0.9, 0.0, 100) == AlternatingSchedule(1, 1, 90)
    assert AlternatingSchedule.from_fractions(0.9, 0.5, 0.1, 1) == AlternatingSchedule(1, 1, 1)


def test_however_early_the_end_there_is_a_step():
    assert AlternatingSchedule.from_fractions(0.0, 0.0, 0.1, 100) == AlternatingSchedule(1, 10, 1)
    assert GradualSchedule.from_fractions(0.5, 0.0, 0.1, 100) == GradualSchedule(0, 1, 10, 0.0)
    assert GradualSchedule.from_fractions(0.5, 0.5, 0.0, 100) == GradualSchedule(49, 50, 1, 0.0)
