"""Samplers: what each proposes, that a rebuilt study goes on as the lost one would have, and what is recorded."""

from __future__ import annotations

import json
import math
import random
from itertools import product
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hsl.errors import SpaceError
from hsl.planning.plan import Plan, make_plan
from hsl.planning.sampling import notes, record, sampler_of
from hsl.search.dominance import dominates, ranked
from hsl.search.grid import grid_order
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.space.load import make_space
from hsl.store.outcomes import Status

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp", "sparsity": 0.9, "baseline": None}
MIXED: dict[str, Any] = {
    "method": {"choice": ["static", "set", "rigl"]},
    "distribution": {"choice": ["uniform", "erk"]},
    "training.lr": {"loguniform": [0.02, 0.2]},
    "training.momentum": {"uniform": [0.5, 0.99]},
    "training.batch_size": {"int": [16, 128]},
    "method.drop_fraction": {"uniform": [0.1, 0.5]},
}
FINITE: dict[str, Any] = {
    **MIXED,
    "training.lr": {"loguniform": [0.01, 1.0], "steps": 3},
    "training.momentum": {"uniform": [0.5, 0.9], "steps": 5},
    "training.batch_size": {"choice": [32, 64]},
    "method.drop_fraction": {"uniform": [0.1, 0.5], "steps": 2},
}
SAMPLERS: dict[str, dict[str, Any]] = {
    "tpe": MIXED,
    "random": MIXED,
    "cmaes": MIXED,
    "gp": MIXED,
    "grid": FINITE,
}


def plan_of(sampler: Any, search: dict[str, Any], budget: int = 12, **content: Any) -> Plan:
    raw = {**BASE, "sampler": sampler, "budget": {"configurations_per_cell": budget}, "search": search}
    return make_plan(make_space({**raw, **content}))


def study(sampler: Any, search: dict[str, Any], budget: int = 12, **content: Any) -> CellStudy:
    plan = plan_of(sampler, search, budget, **content)
    return CellStudy(plan.space, plan.cells[0])


def accuracy(proposal: Proposal) -> float:
    """Some smooth function of the tuned values."""
    training = proposal.configuration.training
    return 0.9 - 0.1 * (math.log10(training.lr) + 1) ** 2 - 0.2 * (training.momentum - 0.8) ** 2


def outcome_of(proposal: Proposal) -> Outcome:
    """Most are trained to the end, some are stopped, a few fail; a function of the configuration alone."""
    kind = int(proposal.configuration.id, 16) % 8
    if kind == 0:
        return Outcome(Status.FAILED, 1, None)
    return Outcome(
        Status.STOPPED if kind < 3 else Status.COMPLETED, 3 if kind < 3 else 10, accuracy(proposal)
    )


def all_of(source: CellStudy) -> list[Proposal]:
    found = []
    while proposal := source.ask():
        found.append(proposal)
        source.tell(proposal.configuration.id, outcome_of(proposal))
    return found


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_proposes_distinct_valid_configurations_and_the_same_again(name: str) -> None:
    one, other = (all_of(study(name, SAMPLERS[name])) for _ in range(2))
    assert [p.values for p in one] == [p.values for p in other]
    assert len({p.configuration.id for p in one}) == len(one) == 12
    assert [p.number for p in one] == list(range(12))
    assert {p.source for p in one} == {name}
    assert {p.configuration.method for p in one[:3]} == {"static", "set", "rigl"}
    assert [p.values for p in one] != [p.values for p in all_of(study(name, SAMPLERS[name], seed=1))]


@pytest.mark.parametrize("name", ["tpe"])
def test_what_configurations_cause_is_learned_and_what_machines_cause_is_not(name: str) -> None:
    """Learning rates above 0.5 fail, a third of the range, and the best are near: Optuna leaves failed trials out."""
    search = {"training.lr": {"loguniform": [0.001, 10.0]}}

    def failures(is_lost: bool, seed: int) -> int:
        source, found = study(name, search, 30, method="static", seed=seed), 0
        while proposal := source.ask():
            rate = proposal.configuration.training.lr
            value = 0.9 - 0.05 * math.log10(rate / 0.4) ** 2
            fails = rate > 0.5
            found += fails
            ended = (
                Outcome(Status.FAILED, 1, None, is_lost=is_lost)
                if fails
                else Outcome(Status.COMPLETED, 10, value)
            )
            source.tell(proposal.configuration.id, ended)
        return found

    learned, lost = (sum(failures(is_lost, seed) for seed in range(3)) for is_lost in (False, True))
    assert learned < 0.6 * lost


def rebuilt(source: CellStudy, rows: list[Proposal], told: set[str]) -> CellStudy:
    """The study that a new driver makes of what the store says, which lists trials in the order of their ends."""
    resumed = CellStudy(source._space, source.cell)
    for row in sorted(rows, key=lambda proposal: proposal.number):
        values = json.loads(json.dumps(row.values))
        resumed.remember(values, row.configuration.id, row.number)
        if row.configuration.id in told:
            resumed.tell(row.configuration.id, outcome_of(row))
    return resumed


@pytest.mark.parametrize("name", ["tpe", "random", "gp", "grid"])
@given(seed=st.integers(0, 10_000), steps=st.integers(0, 14))
@settings(max_examples=4, deadline=None)
def test_a_rebuilt_study_proposes_what_the_lost_one_would_have(name: str, seed: int, steps: int) -> None:
    """Whatever the order in which trials were handed out and ended."""
    source = study(name, SAMPLERS[name], seed=seed)
    chance = random.Random(seed)
    under_way: list[Proposal] = []
    asked: list[Proposal] = []
    told: set[str] = set()
    for _ in range(steps):
        if under_way and chance.random() < 0.5:
            ended = under_way.pop(chance.randrange(len(under_way)))
            source.tell(ended.configuration.id, outcome_of(ended))
            told.add(ended.configuration.id)
        elif proposal := source.ask():
            under_way.append(proposal)
            asked.append(proposal)
    expected, found = source.ask(), rebuilt(source, asked, told).ask()
    assert (found and found.values) == (expected and expected.values)
    assert (found and found.number) == (expected and expected.number)


@pytest.mark.parametrize("name", ["random", "grid"])
@given(lost=st.sets(st.integers(0, 11), max_size=8), asked=st.integers(0, 12))
@settings(max_examples=6, deadline=None)
def test_lost_proposals_are_drawn_again(name: str, lost: set[int], asked: int) -> None:
    """With samplers that ignore results, a sweep trains the same set whatever was lost."""
    everything = all_of(study(name, SAMPLERS[name]))
    kept = [proposal for proposal in everything[:asked] if proposal.number not in lost]
    resumed = rebuilt(study(name, SAMPLERS[name]), kept, {p.configuration.id for p in kept})
    found = {p.number: p.values for p in [*kept, *all_of(resumed)]}
    assert found == {p.number: p.values for p in everything}


@pytest.mark.parametrize("name", ["tpe", "cmaes", pytest.param("gp", marks=pytest.mark.slow)])
def test_models_learn(name: str) -> None:
    """On a smooth function the proposals after the start are better than random ones, over several seeds."""
    search = {axis: MIXED[axis] for axis in ("training.lr", "training.momentum")}

    def late(sampler: str, seed: int) -> list[float]:
        source = study(sampler, search, budget=30, method="static", seed=seed)
        found = []
        while proposal := source.ask():
            source.tell(proposal.configuration.id, Outcome(Status.COMPLETED, 10, accuracy(proposal)))
            found.append(accuracy(proposal))
        return found[15:]

    learnt, drawn = (sum(sum(late(sampler, seed)) for seed in range(3)) for sampler in (name, "random"))
    assert learnt > drawn


def test_more_than_fifty_recorded_draws_do_not_end_a_random_search() -> None:
    first = all_of(study("random", MIXED, budget=80))
    assert len(first) == 80
    resumed = rebuilt(study("random", MIXED, budget=90), first, set())
    assert len(all_of(resumed)) == 10


def test_a_grid_is_every_combination_once() -> None:
    rates, momenta, batches, drops = (0.01, 0.1, 1.0), (0.5, 0.6, 0.7, 0.8, 0.9), (32, 64), (0.1, 0.5)
    shared = list(product(("uniform", "erk"), rates, momenta, batches))
    by_hand = {("static", *rest, None) for rest in shared}
    by_hand |= {(name, *rest, drop) for name in ("set", "rigl") for rest in shared for drop in drops}
    cell = plan_of("grid", FINITE).cells[0]
    found = [
        (
            v["method"],
            v["distribution"],
            v["training.lr"],
            v["training.momentum"],
            v["training.batch_size"],
            v.get("method.drop_fraction"),
        )
        for v in grid_order(cell, seed=3)
    ]
    assert len(found) == len(set(found))
    assert set(found) == by_hand


def test_a_larger_budget_goes_further_in_the_same_order() -> None:
    small, large = (all_of(study("grid", FINITE, budget)) for budget in (7, 40))
    assert [p.values for p in large[:7]] == [p.values for p in small]


def test_an_exhausted_model_falls_back_to_what_is_left() -> None:
    """TPE likes to propose what is good; in a finite cell it must still find the last combination."""
    search = {
        "training.lr": {"loguniform": [0.01, 1.0], "steps": 10},
        "method.drop_fraction": {"choice": [0.1, 0.2, 0.3]},
    }
    found = all_of(study("tpe", search, budget=29, method="set"))
    assert len({p.configuration.id for p in found}) == 29


def test_a_grid_needs_finite_domains() -> None:
    with pytest.raises(SpaceError) as caught:
        plan_of("grid", {**FINITE, "training.lr": {"loguniform": [0.01, 1.0]}})
    assert "search.training.lr" in str(caught.value)
    assert "steps" in str(caught.value)


def test_a_grid_that_is_too_large_is_refused() -> None:
    huge = {f"training.{name}": {"uniform": [0.1, 0.9], "steps": 10_000} for name in ("momentum", "warmup")}
    with pytest.raises(SpaceError, match="1,000,000"):
        plan_of("grid", huge, method="static")


@pytest.mark.parametrize(
    ("sampler", "said"),
    [
        ({"name": "tpe", "popsize": 3}, "popsize"),
        ({"name": "random", "n_startup_trials": 3}, "n_startup_trials"),
        ({"name": "tpe", "multivariate": False}, "group"),
        ({"name": "cmaes", "popsize": 1}, "popsize"),
        ("bohb", "tpe"),
        ({"n_startup_trials": 3}, "name"),
    ],
    ids=str,
)
def test_arguments_that_a_sampler_does_not_know_are_refused(sampler: Any, said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        plan_of(sampler, MIXED)


def test_the_record_names_every_argument_of_optuna_that_matters() -> None:
    plan = plan_of({"name": "tpe", "n_ei_candidates": 7}, MIXED, budget=15)
    chosen = sampler_of(plan.space, plan.cells[0])
    assert record(chosen) == {
        "name": "tpe",
        "n_startup_trials": 5,
        "n_ei_candidates": 7,
        "multivariate": True,
        "group": True,
        "constant_liar": True,
    }
    made = chosen.build(3)
    assert isinstance(made, optuna.samplers.TPESampler)
    assert (made._n_startup_trials, made._n_ei_candidates, made._constant_liar) == (5, 7, True)


@pytest.mark.parametrize("name", ["tpe", "cmaes", "gp"])
def test_no_argument_is_left_to_a_default_that_may_change(name: str) -> None:
    plan = plan_of(name, MIXED)
    assert None not in record(sampler_of(plan.space, plan.cells[0])).values()


def test_cells_without_numeric_parameters_say_that_they_are_drawn_at_random() -> None:
    plan = plan_of("cmaes", {**MIXED, "training.lr": {"choice": [0.1, 0.2]}}, baseline="dense")
    search = {axis: domain for axis, domain in MIXED.items() if axis != "training.lr"}
    assert notes(plan.space, plan.cells) == []
    plan = plan_of("cmaes", {**search, "training.momentum": {"choice": [0.5, 0.9]}}, baseline="dense")
    (note,) = notes(plan.space, plan.cells)
    assert "at random" in note
    assert all(sampler_of(plan.space, cell).name == "random" for cell in plan.cells)


points = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4)).map(lambda p: tuple(map(float, p))), max_size=12
)


@given(points)
def test_ranks_are_fronts(points: list[tuple[float, ...]]) -> None:
    """Rank by the longest chain of candidates that dominate each other, counted by recursion."""

    def depth(index: int) -> int:
        above = [depth(j) for j, other in enumerate(points) if dominates(other, points[index])]
        return 1 + max(above, default=0)

    order = ranked(points)
    assert sorted(order) == list(range(len(points)))
    keys = [(depth(i), -points[i][0], -points[i][1]) for i in order]
    assert keys == sorted(keys)
