"""The order of proposals: even shares, doubt, warm starts; the same with any workers and after any interruption."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from hsl.planning.neighbours import neighbours, parent_regime
from hsl.planning.plan import Plan, make_plan
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.search.turns import MOST, Known, Turns, contenders, shared_model
from hsl.space.load import make_space
from hsl.store.outcomes import Status

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

CORRUPTION = {"name": "gaussian_noise", "severity": 3}
SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "regimes": {
        "clean": {},
        "few": {"keep": {"fraction": 0.25}},
        "noisy": {"corruption": CORRUPTION},
        "few-noisy": {"keep": {"fraction": 0.25}, "corruption": CORRUPTION},
        "few-noisy-wrong": {
            "keep": {"fraction": 0.25},
            "corruption": CORRUPTION,
            "label_noise": {"rate": 0.2},
        },
        "fewer": {"keep": {"fraction": 0.1}},
    },
    "factors": {"regime": ["clean", "few", "few-noisy"], "sparsity": [0.9, 0.5, 0.95]},
    "search": {
        "method": {"choice": ["static", "set", "rigl"]},
        "distribution": {"choice": ["uniform", "erk", "global"]},
        "training.lr": {"loguniform": [0.02, 0.2]},
    },
    "sampler": "random",
    "budget": {"configurations_per_cell": 4},
}


def plan_of(**content: Any) -> Plan:
    return make_plan(make_space({**SPACE, **content}))


def test_the_parent_regime_is_the_largest_part() -> None:
    regimes = plan_of().space.regimes
    parents = {name: parent_regime(name, regimes) for name in regimes}
    assert parents == {
        "clean": None,
        "few": "clean",
        "noisy": "clean",
        "few-noisy": "few",
        "few-noisy-wrong": "few-noisy",
        "fewer": "clean",
    }


def test_neighbours_are_one_step_easier() -> None:
    plan = plan_of()
    found = {cell.name: [other.name for other in neighbours(cell, plan)] for cell in plan.cells}
    assert found == {
        "clean/dense": [],
        "few/dense": ["clean/dense"],
        "few-noisy/dense": ["few/dense"],
        "clean/0.9": ["clean/0.5"],
        "clean/0.5": [],
        "clean/0.95": ["clean/0.9"],
        "few/0.9": ["few/0.5", "clean/0.9"],
        "few/0.5": ["clean/0.5"],
        "few/0.95": ["few/0.9", "clean/0.95"],
        "few-noisy/0.9": ["few-noisy/0.5", "few/0.9"],
        "few-noisy/0.5": ["few/0.5"],
        "few-noisy/0.95": ["few-noisy/0.9", "few/0.95"],
    }


def test_other_factors_separate_neighbours() -> None:
    plan = plan_of(factors={"sparsity": [0.5, 0.9], "method": ["static", "set"]}, regime="clean", search={})
    found = {cell.name: [other.name for other in neighbours(cell, plan)] for cell in plan.cells}
    assert found["0.9/set"] == ["0.5/set"]


def outcome_of(proposal: Proposal) -> Outcome:
    made = proposal.configuration
    if int(made.id, 16) % 9 == 0:
        return Outcome(Status.FAILED, 0, None)
    bonus = {"dense": 0.0, "static": 0.0, "set": 0.05, "rigl": 0.1}[made.method]
    return Outcome(Status.COMPLETED, 30, 0.8 + bonus - abs(made.training.lr - 0.1) - 0.1 * made.sparsity)


Log = dict[str, list[Proposal]]
Past = tuple[Log, set[str]]


def remembered(past: Past) -> list[Known]:
    """What a driver that was killed has left."""
    log, ended = past
    return [
        Known(
            name,
            proposal.values,
            proposal.configuration.id,
            proposal.number,
            proposal.turn,
            proposal.seen,
            proposal.configuration.id in ended,
            outcome_of(proposal) if proposal.configuration.id in ended else None,
        )
        for name, proposals in log.items()
        for proposal in proposals
    ]


def studies_of(plan: Plan) -> list[CellStudy]:
    model = shared_model(plan)
    return [CellStudy(plan.space, cell, model) for cell in plan.cells]


def run(
    plan: Plan, workers: int, chance: random.Random, steps: int = 10_000, past: Past | None = None
) -> Past:
    """A sweep of virtual workers that end in random order; broken off after `steps`, continued from `past`."""
    log, ended = past or ({cell.name: [] for cell in plan.cells}, set())
    turns = Turns(plan, studies_of(plan), remembered((log, ended)))
    busy = [
        (name, one) for name, all_of in log.items() for one in all_of if one.configuration.id not in ended
    ]
    for _ in range(steps):
        while len(busy) < workers and (turn := turns.propose()):
            busy.append((turn[0].cell.name, turn[1]))
            log[turn[0].cell.name].append(turn[1])
        if not busy:
            assert turns.is_over, "cells wait for each other although nothing runs"
            break
        name, proposal = busy.pop(chance.randrange(len(busy)))
        turns.end(name, proposal.configuration.id, outcome_of(proposal))
        ended.add(proposal.configuration.id)
    return log, ended


def in_order(log: Log) -> list[tuple[str, int, int, int, str, str]]:
    """All proposals of a search with everything that is stored of their origin."""
    return sorted(
        (name, one.number, one.turn, one.seen, one.source, one.configuration.id)
        for name, proposals in log.items()
        for one in proposals
    )


def lose(past: Past, chance: random.Random) -> None:
    """Take away a proposal that has not ended: its worker had not written a checkpoint when the driver was killed."""
    log, ended = past
    running = [(own, one) for own in log.values() for one in own if one.configuration.id not in ended]
    if running:
        own, one = chance.choice(running)
        own.remove(one)


@pytest.mark.parametrize(
    ("sampler", "warm", "priority"),
    [
        ("random", None, "even"),
        ("random", {"configurations": 2}, "uncertain"),
        ("tpe", None, "even"),
        ("transfer", None, "even"),
        ("tpe", {"configurations": 2}, "uncertain"),
        ({"name": "cmaes", "n_startup_trials": 1}, None, "even"),
    ],
)
@given(seed=st.integers(0, 1000), breaks=st.lists(st.integers(0, 15), max_size=3), workers=st.integers(1, 16))
@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.generate])
def test_proposals_are_the_same_with_any_workers_and_after_any_interruption(
    sampler: Any, warm: Any, priority: str, seed: int, breaks: list[int], workers: int
) -> None:
    search = SPACE["search"] | {"method.drop_fraction": {"uniform": [0.1, 0.5]}}
    search |= {"training.momentum": {"uniform": [0.5, 0.9]}}
    plan = plan_of(sampler=sampler, warm_start=warm, priority=priority, search=search)
    whole, _ = run(plan, 1, random.Random(0))
    chance, past = random.Random(seed), None
    for steps in breaks:
        past = run(plan, workers, chance, steps, past)
        lose(past, chance)
    log, _ = run(plan, workers, chance, past=past)
    assert in_order(log) == in_order(whole)
    assert all(len(proposals) == 4 for proposals in log.values())


def test_a_proposal_depends_on_all_ends_but_those_within_the_lag() -> None:
    plan = plan_of(sampler="tpe", lag=3, factors={"sparsity": [0.5]}, regime="clean", baseline=None)
    turns = Turns(plan, [CellStudy(plan.space, cell) for cell in plan.cells])
    first = [turns.propose() for _ in range(3)]
    assert turns.propose() is None
    names = [(turn[0].cell.name, turn[1].configuration.id) for turn in first if turn]
    for name in (names[2], names[1]):
        turns.end(*name, Outcome(Status.COMPLETED, 10, 0.5))
        assert turns.propose() is None, "it waits for the first, not for any"
    turns.end(*names[0], Outcome(Status.COMPLETED, 10, 0.5))
    fourth = turns.propose()
    assert fourth is not None
    assert (fourth[1].turn, fourth[1].seen) == (3, 1)


def test_random_draws_wait_for_nothing() -> None:
    plan = plan_of()
    turns = Turns(plan, [CellStudy(plan.space, cell) for cell in plan.cells])
    made = [turns.propose() for _ in range(48)]
    assert {found and found[1].seen for found in made} == {None}
    assert turns.is_over


def test_random_draws_wait_where_early_stopping_is_to_depend_on_their_order() -> None:
    plan = plan_of(lag=1)
    turns = Turns(plan, [CellStudy(plan.space, cell) for cell in plan.cells])
    assert turns.propose() is not None
    assert turns.propose() is None


def test_a_trial_that_waits_at_a_rung_holds_up_nothing_and_counts_when_it_has_ended() -> None:
    plan = plan_of(sampler="tpe", lag=1, factors={"sparsity": [0.5]}, regime="clean", baseline=None)
    (study,) = studies = [CellStudy(plan.space, cell) for cell in plan.cells]
    turns = Turns(plan, studies)
    first = turns.propose()
    assert first is not None
    name = (study.cell.name, first[1].configuration.id)
    turns.end(*name, None)
    second = turns.propose()
    assert second is not None
    assert study.best() == []
    turns.end(*name, Outcome(Status.COMPLETED, 10, 0.7))
    turns.end(study.cell.name, second[1].configuration.id, Outcome(Status.COMPLETED, 10, 0.6))
    assert turns.propose() is not None
    assert [outcome.objective for _, outcome in study.best()] == [0.7, 0.6]


def test_proposals_of_version_0_1_have_no_turn_and_come_first() -> None:
    plan = plan_of()
    whole, ended = run(plan, 1, random.Random(0), steps=20)
    old = [replace(one, turn=None, seen=None) for one in remembered((whole, ended))]
    turns = Turns(plan, [CellStudy(plan.space, cell) for cell in plan.cells], old)
    following = turns.propose()
    assert following is not None
    assert following[1].turn == len(old)


def test_warm_cells_begin_with_the_best_of_their_neighbours() -> None:
    plan = plan_of(warm_start={"configurations": 2})
    log, _ = run(plan, 3, random.Random(5))
    ended = {name: [(p, outcome_of(p)) for p in proposals] for name, proposals in log.items()}

    def ranking(name: str) -> list[dict[str, Any]]:
        done = [(p, o) for p, o in ended[name] if o.status == "completed" and o.objective is not None]
        return [p.values for p, o in sorted(done, key=lambda item: -(item[1].objective or 0))]

    (first, second, *rest) = sorted(log["few/0.9"], key=lambda p: p.number)
    by_hand: list[dict[str, Any]] = []
    for values in [v for pair in zip(ranking("few/0.5"), ranking("clean/0.9"), strict=False) for v in pair]:
        if values not in by_hand:
            by_hand.append(values)
    assert [first.values, second.values] == by_hand[:2]
    assert [first.source, second.source] == ["warm_start"] * 2
    assert {p.source for p in rest} == {"random"}
    assert {p.source for p in log["clean/0.5"]} == {"random"}


def test_what_a_cell_cannot_have_is_not_taken_over() -> None:
    """A neighbour's method or distribution may mean nothing here."""
    plan = plan_of()
    (cell,) = [cell for cell in plan.cells if cell.name == "clean/0.9"]
    study = CellStudy(plan.space, cell)
    good = {"method": "set", "distribution": "erk", "training.lr": 0.07}
    offers = [
        {"method": "snip", "distribution": "erk", "training.lr": 0.1},
        {"method": "set", "distribution": "igq", "training.lr": 0.1},
        {"method": "set", "training.lr": 0.1},
        good,
    ]
    study.begin_with(offers, 3)
    first = study.ask()
    assert first is not None
    assert (first.values, first.source) == (good, "warm_start")
    second = study.ask()
    assert second is not None
    assert second.source == "random"


def test_cells_are_served_evenly() -> None:
    plan = plan_of()
    turns = Turns(plan, [CellStudy(plan.space, cell) for cell in plan.cells])
    names = [turn[0].cell.name for turn in (turns.propose() for _ in range(24)) if turn]
    assert sorted(names[:12]) == sorted(cell.name for cell in plan.cells) == sorted(names[12:])


def test_doubt_is_counted_in_contenders() -> None:
    assert contenders([0.9], 0.01) == MOST
    assert contenders([0.9, 0.5, 0.4], 0.01) == pytest.approx(1.0)
    assert contenders([0.9, 0.9, 0.9], 0.01) == pytest.approx(3.0)
    assert contenders([0.9, 0.89], 0.01) == pytest.approx(1 + 2 * 0.23975, abs=1e-4)  # Phi(-1/sqrt 2)


def test_an_uncertain_cell_gets_more_turns_and_nobody_starves() -> None:
    plan = plan_of(
        priority="uncertain",
        lag=1,
        factors={"sparsity": [0.5, 0.9]},
        regime="clean",
        baseline=None,
        budget={"configurations_per_cell": 40},
    )
    turns = Turns(plan, [CellStudy(plan.space, cell) for cell in plan.cells])
    served = dict.fromkeys(turns.studies, 0)
    for _ in range(40):
        turn = turns.propose()
        assert turn is not None
        study, proposal = turn
        served[study.cell.name] += 1
        clear = 0.9 if served["0.5"] == 1 else 0.1
        value = clear if study.cell.name == "0.5" else 0.7
        turns.end(study.cell.name, proposal.configuration.id, Outcome(Status.COMPLETED, 10, value))
    assert served["0.9"] > 2 * served["0.5"]
    assert served["0.5"] >= 40 / (1 + MOST) - 2


@pytest.mark.parametrize(
    ("early_stopping", "expected"), [("none", 1.0), ({"kind": "stratified", "tolerance": 0.1}, 1.7)]
)
def test_doubt_is_measured_by_the_noise_of_the_space_or_a_hundredth(
    early_stopping: Any, expected: float
) -> None:
    plan = plan_of(priority="uncertain", early_stopping=early_stopping)
    study = CellStudy(plan.space, plan.cells[-1])
    for value in (0.9, 0.84):
        proposal = study.ask()
        assert proposal is not None
        study.tell(proposal.configuration.id, Outcome(Status.COMPLETED, 10, value))
    assert Turns(plan, [study])._weight(study) == pytest.approx(expected, abs=0.1)
