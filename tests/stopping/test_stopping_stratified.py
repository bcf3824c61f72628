"""Early stopping, replayed by hand: who is stopped, who never is, and that a restart decides the same."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsl.stopping.rule import Decision, Pool, StoppingRule, milestones
from hsl.stopping.rung_evidence import Evidence, RungEvidence
from hsl.stopping.settings import Stratified
from hsl.stopping.stratified import Rungs

METRIC = "val"


def rungs(epochs: int = 100, seed: int = 0, **settings: Any) -> Rungs:
    plain = {"grace": 1, "reduction_factor": 2, "min_entries": 1, "tolerance": 0.0, "exempt": 0.0}
    return Rungs(Stratified(**{**plain, "min_correlation": -1, **settings}), epochs, seed)


def report(
    state: StoppingRule, trial: str, epoch: int, value: float | None, cell: str = "c", since: int = 0
) -> bool:
    """One epoch of a trial that was at its target sparsity after `since` epochs."""
    row = {"epoch": epoch, "epochs_at_target": max(0, epoch - since), METRIC: value}
    return state.report(cell, trial, row, METRIC).decision is Decision.STOP


def held(thing: Any) -> Any:
    """A copy of all that an object holds, its parts taken apart as well."""
    if isinstance(thing, Mapping):
        return {key: held(value) for key, value in thing.items()}
    if isinstance(thing, Pool | Evidence | RungEvidence | Rungs):
        return held(vars(thing))
    return copy.deepcopy(thing)


@pytest.mark.parametrize(
    ("grace", "factor", "epochs", "expected"),
    [
        (4, 3, 30, (4, 12)),
        (1, 4, 256, (1, 4, 16, 64)),
        (4, 3, 37, (4, 12, 36)),
        (4, 3, 36, (4, 12)),
        (5, 2, 5, ()),
        (50, 2, 5, ()),
    ],
)
def test_rungs_grow_geometrically_and_none_lies_at_the_end(
    grace: int, factor: int, epochs: int, expected: tuple[int, ...]
) -> None:
    assert milestones(grace, factor, epochs) == expected


@pytest.mark.parametrize(
    ("grace", "epochs", "first"), [(0.1, 30, 3), (0.1, 100, 10), (0.01, 30, 1), (0.5, 9, 4)]
)
def test_grace_may_be_a_fraction_of_the_training(grace: float, epochs: int, first: int) -> None:
    assert milestones(grace, 100, epochs) == (first,)


def test_without_early_stopping_there_are_no_rungs() -> None:
    state = StoppingRule()
    assert state.milestones == ()
    assert not any(report(state, f"t{i}", 1, -float(i)) for i in range(50))


def test_a_textbook_run_of_asynchronous_halving() -> None:
    """Reduction factor 3, nine trials one after the other; the cut-off is the upper third of those so far.

    By hand (linear quantile at 2/3): 0.5 alone stays; 0.3 < 0.433 stops; 0.6 > 0.533 stays; 0.55 against 0.55
    stays; 0.2 stops; 0.7 stays; 0.58 against 0.58 stays; 0.65 > 0.593 stays; 0.1 stops.
    """
    state = rungs(reduction_factor=3)
    values = [0.5, 0.3, 0.6, 0.55, 0.2, 0.7, 0.58, 0.65, 0.1]
    stopped = [report(state, f"t{i}", 1, value) for i, value in enumerate(values)]
    assert stopped == [False, True, False, False, True, False, False, False, True]
    survivors = ["t0", "t2", "t3", "t5", "t7"]
    second = [
        report(state, name, 3, value)
        for name, value in zip(survivors, (0.7, 0.6, 0.8, 0.9, 0.5), strict=True)
    ]
    assert second == [False, True, False, False, True]
    assert not report(state, "t5", 9, 0.9)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(2, 5), st.integers(1, 6))
def test_decisions_are_those_of_a_literal_quantile(values: list[float], factor: int, least: int) -> None:
    state = rungs(reduction_factor=factor, min_entries=least, tolerance=0.05)
    for i, value in enumerate(values):
        seen = values[: i + 1]
        behind = i + 1 >= least and value < np.quantile(seen, 1 - 1 / factor) - 0.05
        assert report(state, f"t{i}", 1, value) == behind


def test_a_rung_judges_nobody_before_it_holds_enough_entries() -> None:
    state = rungs(min_entries=4)
    assert [report(state, f"t{i}", 1, v) for i, v in enumerate([0.9, 0.1, 0.1, 0.1])] == [False] * 3 + [False]
    assert report(state, "t4", 1, 0.05)


@pytest.mark.parametrize(("value", "stops"), [(0.489, True), (0.491, False), (0.6, False)])
def test_a_difference_within_the_tolerance_stops_nobody(value: float, stops: bool) -> None:
    state = rungs(tolerance=0.01, min_entries=5)
    for i in range(4):
        report(state, f"t{i}", 1, 0.5)
    assert report(state, "new", 1, value) is stops


@pytest.mark.parametrize("exempt", [0.0, 0.99])
@pytest.mark.parametrize("epoch", [1, 3])
def test_a_value_that_is_no_number_stops_at_once(exempt: float, epoch: int) -> None:
    assert report(rungs(grace=5, exempt=exempt), "t", epoch, float("nan"))


def test_an_epoch_that_is_reported_twice_counts_once() -> None:
    once, twice = rungs(min_entries=3), rungs(min_entries=3)
    values = [0.9, 0.8, 0.1, 0.7, 0.2]
    for i, value in enumerate(values):
        decision = report(once, f"t{i}", 1, value)
        assert report(twice, f"t{i}", 1, value) == decision
        assert report(twice, f"t{i}", 1, value) == decision, "the same report has the same answer"
    assert held(once) == held(twice)


def test_an_epoch_without_evaluation_is_judged_at_the_next() -> None:
    state = rungs(grace=2)
    report(state, "good", 3, 0.9)
    assert not report(state, "bad", 2, None)
    assert report(state, "bad", 3, 0.1)


def test_a_rung_that_is_passed_over_is_not_judged_again() -> None:
    state = rungs(grace=2, reduction_factor=2)
    report(state, "good", 9, 0.9)
    assert report(state, "bad", 9, 0.1)
    assert not report(state, "bad", 10, 0.1)


def test_epochs_before_the_target_sparsity_do_not_count() -> None:
    state = rungs(grace=4)
    for i in range(5):
        report(state, f"early{i}", 4, 0.9)
    assert not any(report(state, "gradual", epoch, 0.1, since=24) for epoch in range(1, 28))
    assert not report(state, "gradual", 28, 0.1, since=24), (
        "its pool is its own: none got there after 28 epochs"
    )


def test_cells_do_not_compete() -> None:
    state = rungs()
    for i in range(5):
        report(state, f"easy{i}", 1, 0.99, cell="clean")
    assert [report(state, f"hard{i}", 1, v, cell="pgd") for i, v in enumerate([0.3, 0.4])] == [False, False]
    assert report(state, "easy", 1, 0.5, cell="clean")


def test_those_who_reach_a_rung_after_other_epochs_do_not_compete() -> None:
    state = rungs(grace=4)
    for i in range(5):
        report(state, f"late{i}", 28, 0.9, since=24)
    assert not report(state, "early", 4, 0.5)
    assert report(state, "late", 28, 0.5, since=24)


def test_the_exempt_are_a_share_drawn_by_the_seed_alone() -> None:
    names = [f"t{i}" for i in range(4000)]
    chosen = {name for name in names if rungs(exempt=0.1, seed=1).is_exempt(name)}
    assert len(chosen) == pytest.approx(400, abs=60)
    assert chosen == {name for name in reversed(names) if rungs(exempt=0.1, seed=1, grace=3).is_exempt(name)}
    assert chosen != {name for name in names if rungs(exempt=0.1, seed=2).is_exempt(name)}
    assert chosen < {name for name in names if rungs(exempt=0.3, seed=1).is_exempt(name)}
    assert not any(rungs(exempt=0.0).is_exempt(name) for name in names)


def test_the_exempt_are_not_stopped_but_do_count() -> None:
    state = rungs(exempt=0.5, min_entries=3)
    exempt = [f"t{i}" for i in range(40) if state.is_exempt(f"t{i}")]
    others = [f"t{i}" for i in range(40) if not state.is_exempt(f"t{i}")]
    for name in others[:5]:
        report(state, name, 1, 0.9)
    assert not any(report(state, name, 1, 0.1) for name in exempt)
    assert all(report(state, name, 1, 0.05) for name in others[5:])


REPORTS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.integers(0, 7),
        st.integers(1, 12),
        st.none() | st.floats(0, 1) | st.just(float("nan")),
        st.sampled_from([0, 3]),
    ),
    max_size=60,
)


def decisions(state: Rungs, reports: Iterable[tuple[str, int, int, float | None, int]]) -> list[bool]:
    return [
        report(state, f"{cell}{n}", epoch, value, cell, since) for cell, n, epoch, value, since in reports
    ]


@given(REPORTS, st.integers(0, 60))
@settings(deadline=None, max_examples=50)
def test_reporting_everything_again_after_a_restart_changes_nothing(reports: list[Any], cut: int) -> None:
    """Refilled from the store, then a trial repeats what it had reported: the same answers, and no other state."""
    whole = rungs(grace=2, min_entries=2)
    first = dict(zip(map(str, reports[:cut]), decisions(whole, reports[:cut]), strict=True))
    state = held(whole)
    seen: dict[tuple[str, int], Any] = {}
    for each in reports[:cut]:
        seen.setdefault((f"{each[0]}{each[1]}", each[2]), each)
    passed = dict(whole._passed)
    old = [
        each
        for each in seen.values()
        if each[3] is not None
        and not any(each[2] - each[4] >= m for m in whole.milestones[passed.get(f"{each[0]}{each[1]}", 0) :])
    ]
    assert decisions(whole, old) == [first[str(each)] for each in old]
    assert held(whole) == state


def literal_decisions(
    reports: Iterable[tuple[str, int, int, float | None, int]], factor: int, least: int
) -> list[bool]:
    """Stratified ASHA written down as slowly as it is defined, from a list of all that was entered."""
    entered: list[tuple[str, int, int, str, float]] = []
    passed: dict[str, int] = {}
    answers: dict[tuple[str, int], bool] = {}
    out = []
    for cell, number, epoch, value, since in reports:
        trial, at_target = f"{cell}{number}", max(0, epoch - since)
        rungs = [
            m for m in (2, 2 * factor, 2 * factor**2) if m < 12 and passed.get(trial, 0) < m <= at_target
        ]
        if value is None or value != value:
            out.append(value is not None)
        elif (trial, epoch) in answers or not rungs or epoch >= 12:
            out.append(epoch < 12 and answers.get((trial, epoch), False))
        else:
            passed[trial] = rungs[-1]
            entered.append((cell, rungs[-1], epoch, trial, value))
            pool = [e[4] for e in entered if e[:3] == (cell, rungs[-1], epoch)]
            answers[trial, epoch] = len(pool) >= least and value < np.quantile(pool, 1 - 1 / factor) - 0.01
            out.append(bool(answers[trial, epoch]))
    return out


@given(REPORTS, st.integers(2, 4), st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_decisions_are_those_of_a_literal_implementation(reports: list[Any], factor: int, least: int) -> None:
    state = rungs(epochs=12, grace=2, reduction_factor=factor, min_entries=least, tolerance=0.01)
    assert decisions(state, reports) == literal_decisions(reports, factor, least)


def test_brackets_leave_out_rungs_and_are_seeded_by_cell() -> None:
    state = rungs(epochs=100, grace=4, brackets=3, seed=3)
    names = [f"t{i}" for i in range(3000)]
    drawn = {name: state.bracket("a", name) for name in names}
    assert drawn == {
        name: rungs(epochs=100, grace=4, brackets=3, seed=3).bracket("a", name) for name in names
    }
    assert drawn != {name: state.bracket("b", name) for name in names}
    halvings = np.array([5, 4, 3])  # rungs at 4, 8, 16, 32, 64; Hyperband: n_s is as eta**s / (s + 1)
    expected = 3000 * (2.0**halvings / (halvings + 1)) / (2.0**halvings / (halvings + 1)).sum()
    assert np.bincount(list(drawn.values())) == pytest.approx(expected, rel=0.1)
    for name in names[:200]:
        verdicts = [
            state.report("a", name, {"epoch": e, "epochs_at_target": e, METRIC: 0.5}, METRIC) for e in (4, 8)
        ]
        assert [verdict.rung for verdict in verdicts] == {0: [4, 8], 1: [None, 8], 2: [None, None]}[
            drawn[name]
        ]


def test_trials_of_different_brackets_do_not_compete() -> None:
    state = rungs(epochs=100, grace=4, brackets=2)
    groups: dict[int, list[str]] = {0: [], 1: []}
    for i in range(100):
        groups[state.bracket("c", f"t{i}")].append(f"t{i}")
    assert not any(report(state, name, 8, 0.9) for name in groups[0][:5])
    assert not report(state, groups[1][0], 8, 0.1)
    assert report(state, groups[0][5], 8, 0.1)


def exempt_trials(state: Rungs, count: int) -> list[str]:
    return [name for name in (f"t{i}" for i in range(10_000)) if state.is_exempt(name)][:count]


def test_three_brackets_have_a_pool_each() -> None:
    """A lone trial of a pool is never behind the best of it; with others' entries in its pool it would be."""
    state = rungs(epochs=100, grace=4, brackets=3)
    first = {state.bracket("c", f"t{i}"): f"t{i}" for i in range(100)}
    assert sorted(first) == [0, 1, 2]
    for bracket, value in ((0, 0.9), (2, 0.6), (1, 0.3)):
        assert not report(state, first[bracket], 16, value)


@pytest.mark.parametrize(
    ("brackets", "epochs", "expected"),
    [
        (1, 30, [4**2 / 3]),
        (2, 30, [4**2 / 3, 4 / 2]),
        (
            10,
            30,
            [4**2 / 3, 4 / 2, 1.0],
        ),  # no more brackets than rungs, and the one that leaves out all of them
        (10, 3, [1.0]),
    ],
)
def test_shares_of_the_brackets_are_those_of_hyperband(
    brackets: int, epochs: int, expected: list[float]
) -> None:
    """Li et al. 2018, algorithm 1: n = (s_max + 1) / (s + 1) * eta**s trials; rungs here at 3 and 12."""
    state = Rungs(Stratified(grace=3, brackets=brackets), epochs, 0)
    assert state._brackets == pytest.approx(expected)


def test_the_end_of_the_training_is_no_rung_and_what_was_said_is_said_again() -> None:
    state = rungs(epochs=8, grace=4)
    assert not report(state, "a", 4, 0.9)
    assert report(state, "b", 4, 0.1)
    assert report(state, "b", 4, 0.99), "the verdict on an epoch stands"
    assert not report(state, "b", 8, 0.0), "who has come to the end is not stopped"
    assert not report(state, "b", 9, 0.0)


def test_a_value_at_the_cut_off_goes_on() -> None:
    state = rungs(epochs=8, grace=4, tolerance=0.25)
    assert not report(state, "a", 4, 1.0)
    verdict = state.report("c", "b", {"epoch": 4, "epochs_at_target": 4, METRIC: 0.5}, METRIC)
    assert (verdict.decision, verdict.rung, verdict.cutoff) == (Decision.CONTINUE, 4, 0.5)
    assert report(state, "d", 4, 0.24)


def test_between_two_rungs_nobody_is_judged_and_of_two_reached_at_once_the_last_counts() -> None:
    state = rungs(epochs=100, grace=4)
    found = [
        state.report("c", "a", {"epoch": e, "epochs_at_target": e, METRIC: 0.5}, METRIC).rung
        for e in (3, 4, 5, 7, 8, 9, 33, 34, 63, 64, 99)
    ]
    assert found == [None, 4, None, None, 8, None, 32, None, None, 64, None]
