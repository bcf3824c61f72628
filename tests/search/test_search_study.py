"""Proposals of one cell: what is asked, never twice, and what the Optuna study is told."""

from __future__ import annotations

import json
import math
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from hsl.planning.plan import make_plan
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.space.axes import configuration
from hsl.space.load import make_space
from hsl.sparsity.methods import METHODS
from hsl.store.outcomes import Status

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp", "sparsity": 0.9, "baseline": None}
SEVEN = ["static", "snip", "set", "rigl", "gmp", "omp", "lth"]
WIDE: dict[str, Any] = {
    "method": {"choice": SEVEN},
    "distribution": {"choice": ["uniform", "erk", "global"]},
    "training.lr": {"loguniform": [0.02, 0.2]},
    "training.batch_size": {"choice": [32, 64]},
    "method.drop_fraction": {"uniform": [0.1, 0.5]},
}
DONE = Outcome(Status.COMPLETED, 10, 0.5)


def study(search: dict[str, Any], budget: int = 20, **content: Any) -> CellStudy:
    content = {"budget": {"configurations_per_cell": budget}, **content}
    plan = make_plan(make_space({**BASE, **content, "search": search}))
    return CellStudy(plan.space, plan.cells[0])


def again(other: CellStudy) -> CellStudy:
    """The study of the same cell in another process."""
    return CellStudy(other._space, other.cell)


def proposals(source: CellStudy, outcome: Outcome | None = DONE) -> list[Proposal]:
    found = []
    while proposal := source.ask():
        found.append(proposal)
        if outcome:
            source.tell(proposal.configuration.id, outcome)
    return found


def states(source: CellStudy) -> list[TrialState]:
    return [trial.state for trial in source.frozen().values()]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("seed", [0, 1])
def test_every_method_is_proposed_before_any_is_proposed_again(sampler: str, seed: int) -> None:
    found = proposals(study(WIDE, sampler=sampler, seed=seed))
    methods = [proposal.configuration.method for proposal in found]
    assert sorted(methods[:7]) == sorted(SEVEN)
    assert len(found) == 20


def test_which_method_comes_first_is_not_always_the_same() -> None:
    first = {proposals(study(WIDE, budget=1, seed=seed))[0].configuration.method for seed in range(12)}
    assert len(first) > 3


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_no_configuration_is_proposed_twice(sampler: str) -> None:
    found = proposals(study(WIDE, budget=40, sampler=sampler))
    assert len({proposal.configuration.id for proposal in found}) == len(found) == 40


def test_the_same_seed_proposes_the_same() -> None:
    one, other = (proposals(study(WIDE, seed=3)) for _ in range(2))
    assert [p.values for p in one] == [p.values for p in other]
    assert [p.values for p in one] != [p.values for p in proposals(study(WIDE, seed=4))]


def test_parameters_are_asked_only_of_methods_that_have_them() -> None:
    for proposal in proposals(study(WIDE, budget=40)):
        takes = {h.name for h in METHODS[proposal.configuration.method].hyperparameters}
        assert ("method.drop_fraction" in proposal.values) == ("drop_fraction" in takes)
        assert set(proposal.values) - {"method.drop_fraction"} == set(WIDE) - {"method.drop_fraction"}


def test_the_distribution_is_one_that_the_method_takes() -> None:
    for proposal in proposals(study(WIDE, budget=40)):
        made = proposal.configuration
        assert made.distribution == proposal.values["distribution"]
        assert METHODS[made.method].takes(str(made.distribution))


def test_a_proposal_is_its_values_over_the_cell() -> None:
    source = study(WIDE)
    for proposal in proposals(source):
        levels = {"sparsity": 0.9, **source.cell.levels}
        assert configuration(source._space, {**levels, **proposal.values}).id == proposal.configuration.id
        assert 0.02 <= proposal.configuration.training.lr <= 0.2
        assert json.loads(json.dumps(proposal.values)) == proposal.values


def test_numbers_are_round_enough_to_be_read() -> None:
    for proposal in proposals(study(WIDE)):
        rate = proposal.values["training.lr"]
        assert rate == float(f"{rate:.4g}")


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("budget", [5, 30])
def test_a_finite_space_is_exhausted_exactly(sampler: str, budget: int) -> None:
    search = {
        "method": {"choice": ["static", "snip"]},
        "distribution": {"choice": ["uniform", "erk", "global"]},
        "training.lr": {"choice": [0.1, 0.2]},
    }
    pairs = [
        ("static", "uniform"),
        ("static", "erk"),
        ("snip", "uniform"),
        ("snip", "erk"),
        ("snip", "global"),
    ]
    everything = {(m, d, lr) for (m, d), lr in product(pairs, (0.1, 0.2))}
    found = [tuple(p.values.values()) for p in proposals(study(search, budget, sampler=sampler))]
    assert len(found) == len(set(found)) == min(budget, len(everything))
    assert set(found) <= everything


def test_whole_numbers_are_drawn_between_their_bounds() -> None:
    found = [
        p.configuration.training.epochs
        for p in proposals(study({"training.epochs": {"int": [3, 6]}}, method="set"))
    ]
    assert sorted(found) == [3, 4, 5, 6]


def test_a_cell_without_a_search_has_one_configuration() -> None:
    source = study({}, method="set")
    assert len(proposals(source)) == 1
    assert source.is_finished


def test_values_that_do_not_fit_together_are_not_proposed() -> None:
    search = {"method.start": {"uniform": [0.1, 0.7]}, "method.end": {"uniform": [0.3, 1.0]}}
    found = proposals(study(search, budget=30, method="gmp"))
    assert len(found) == 30
    assert all(p.values["method.start"] < p.values["method.end"] for p in found)


def test_early_stopped_trials_are_pruned_and_failed_ones_fail() -> None:
    source = study(WIDE, budget=6)
    outcomes = [
        Outcome(Status.COMPLETED, 10, 0.7),
        Outcome(Status.STOPPED, 4, 0.3),
        Outcome(Status.FAILED, 2, None),
        Outcome(Status.FAILED, 3, 0.2),
        Outcome(Status.STOPPED, 1, math.nan),
        Outcome(Status.COMPLETED, 10, math.nan),
    ]
    for outcome in outcomes:
        proposal = source.ask()
        assert proposal is not None
        source.tell(proposal.configuration.id, outcome)
    complete, pruned, *failed = source.frozen().values()
    assert (complete.state, complete.value) == (TrialState.COMPLETE, 0.7)
    assert (pruned.state, pruned.intermediate_values) == (TrialState.PRUNED, {4: 0.3})
    assert [trial.state for trial in failed] == [TrialState.FAIL] * 4


def test_a_second_report_is_ignored() -> None:
    source = study(WIDE)
    proposal = source.ask()
    assert proposal is not None
    source.tell(proposal.configuration.id, DONE)
    source.tell(proposal.configuration.id, Outcome(Status.FAILED, 1, None))
    assert states(source) == [TrialState.COMPLETE]


def test_a_report_of_a_stranger_is_no_trial() -> None:
    source = study(WIDE)
    source.tell("0123456789", DONE)
    assert states(source) == []


SEARCHES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "wide": (WIDE, {}),
    "method is a factor": (
        {key: domain for key, domain in WIDE.items() if key != "method"},
        {"factors": {"method": ["set"]}},
    ),
    "method is fixed": ({key: domain for key, domain in WIDE.items() if key != "method"}, {"method": "rigl"}),
    "a model is tuned": ({"model": {"choice": ["mlp", {"name": "mlp", "widths": [9]}]}, **WIDE}, {}),
    "switches": (
        {"training.augment": {"choice": [True, False, None]}, "training.lr": {"uniform": [0.1, 0.9]}},
        {"method": "set"},
    ),
    "finite": (
        {"training.lr": {"choice": [0.1, 0.2, 0.3]}, "training.epochs": {"int": [2, 5]}},
        {"method": "set"},
    ),
}


@pytest.mark.parametrize("name", SEARCHES)
@pytest.mark.parametrize("done", [0, 1, 5, 9])
def test_a_restart_never_repeats_a_configuration_and_knows_all_outcomes(name: str, done: int) -> None:
    search, content = SEARCHES[name]
    source = study(search, budget=12, **content)
    early = [proposal for proposal in (source.ask() for _ in range(done)) if proposal]
    resumed = again(source)
    outcomes = [DONE, Outcome(Status.STOPPED, 3, 0.2), Outcome("failed", 1, None)]
    for i, proposal in enumerate(early):
        values = json.loads(json.dumps(proposal.values))  # as the store gives them back
        resumed.remember(values, proposal.configuration.id)
        resumed.tell(proposal.configuration.id, outcomes[i % 3])
    assert states(resumed) == [
        (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)[i % 3] for i in range(done)
    ]
    late = proposals(resumed)
    ids = [proposal.configuration.id for proposal in [*early, *late]]
    assert len(ids) == len(set(ids)) == 12


def test_methods_that_were_tried_before_a_restart_count_as_tried() -> None:
    source = study(WIDE)
    early = [proposal for proposal in (source.ask() for _ in range(4)) if proposal]
    resumed = again(source)
    for proposal in early:
        resumed.remember(proposal.values, proposal.configuration.id)
    late = [proposal for proposal in (resumed.ask() for _ in range(3)) if proposal]
    assert sorted(p.configuration.method for p in [*early, *late]) == sorted(SEVEN)


def test_what_is_under_way_is_remembered_without_an_outcome() -> None:
    source = study(WIDE)
    proposal = source.ask()
    assert proposal is not None
    resumed = again(source)
    resumed.remember(proposal.values, proposal.configuration.id)
    resumed.remember(proposal.values, proposal.configuration.id)
    assert states(resumed) == [TrialState.RUNNING]
    assert resumed.issued == 1
    resumed.tell(proposal.configuration.id, DONE)
    assert states(resumed) == [TrialState.COMPLETE]


def test_a_configuration_that_the_space_no_longer_makes_counts_but_teaches_nothing() -> None:
    source = study(WIDE, budget=3)
    proposal = source.ask()
    assert proposal is not None
    resumed = again(source)
    resumed.remember(proposal.values, "0123456789")
    resumed.tell("0123456789", DONE)
    assert states(resumed) == []
    assert (len(proposals(resumed)), resumed.issued) == (2, 3)


@given(st.integers(0, 10_000), st.integers(0, 12))
@settings(max_examples=15, deadline=None)
def test_a_grown_budget_adds_what_is_missing(seed: int, done: int) -> None:
    small = study(WIDE, budget=max(1, done), seed=seed)
    early = proposals(small)
    grown = study(WIDE, budget=16, seed=seed)
    for proposal in early:
        grown.remember(proposal.values, proposal.configuration.id)
        grown.tell(proposal.configuration.id, DONE)
    late = proposals(grown)
    assert len({p.configuration.id for p in [*early, *late]}) == 16


def test_what_another_cell_found_comes_first_where_it_is_whole_and_possible_here() -> None:
    source = study({"method": {"choice": ["set", "rigl"]}, "training.lr": {"loguniform": [0.01, 0.1]}})
    offers = [
        {"method": "set"},
        {"method": "set", "training.lr": 0.05, "training.momentum": 0.5},
        {"method": "set", "training.lr": 0.05},
        {"method": "set", "training.lr": 0.05},
        {"method": "rigl", "training.lr": 0.02},
        {"method": "rigl", "training.lr": 0.03},
    ]
    source.begin_with(offers, 2)
    first, second, third = (source.ask() for _ in range(3))
    assert first
    assert second
    assert third
    assert (first.values, first.source, first.number) == (offers[2], "warm_start", 0)
    assert (second.values, second.source, second.number) == (offers[4], "warm_start", 1)
    assert third.source != "warm_start"


def test_the_best_are_those_that_were_trained_to_the_end() -> None:
    source = study({"training.lr": {"choice": [0.1, 0.2, 0.3, 0.4, 0.5]}}, method="set")
    ends = [
        Outcome(Status.COMPLETED, 10, 0.5),
        Outcome(Status.COMPLETED, 10, 0.7),
        Outcome(Status.STOPPED, 2, 0.9),
        Outcome(Status.FAILED, 0, None),
        Outcome(Status.COMPLETED, 10, math.nan),
    ]
    made = proposals(source, None)
    for proposal, outcome in zip(made, ends, strict=True):
        source.tell(proposal.configuration.id, outcome)
    assert [outcome.objective for _, outcome in source.best()] == [0.7, 0.5]
    assert source.best(1) == [(made[1].values, ends[1])]
    assert states(source) == [
        *(TrialState.COMPLETE, TrialState.COMPLETE, TrialState.PRUNED),
        *(TrialState.FAIL, TrialState.FAIL),
    ]


def test_numbers_that_are_taken_are_not_given_twice() -> None:
    source = study({"training.lr": {"choice": [0.1, 0.2, 0.3, 0.4]}}, method="set")
    others = proposals(again(source), None)
    source.remember(others[0].values, others[0].configuration.id, 2)
    source.remember(others[1].values, others[1].configuration.id, 2)
    source.remember(others[1].values, others[1].configuration.id, 3)
    assert source.issued == 2
    rest = proposals(source, None)
    assert [proposal.number for proposal in rest] == [1, 3], (
        "2 was given, and 0 to the one that wanted 2 as well"
    )
    assert next(iter(source.frozen())) == others[1].configuration.id
