"""Which sampler searches a cell, with its arguments spelt out."""

from __future__ import annotations

from typing import Any

import pytest

from hsl.planning.plan import Plan, make_plan
from hsl.planning.sampling import asks, notes, record, sampler_of, shared_numeric
from hsl.space.domain import LARGEST_GRID
from hsl.space.load import make_space

REAL = {"loguniform": [0.01, 0.1]}


def plan_of(sampler: Any, search: dict[str, Any], budget: int = 12, **content: Any) -> Plan:
    base = {"name": "t", "dataset": "digits", "model": "mlp", "sparsity": 0.9, "baseline": None}
    method = {} if "method" in search else {"method": "set"}
    raw = {
        **base,
        **method,
        "sampler": sampler,
        "budget": {"configurations_per_cell": budget},
        "search": search,
    }
    return make_plan(make_space({**raw, **content}))


def chosen(sampler: Any, search: dict[str, Any], budget: int = 12) -> dict[str, Any]:
    plan = plan_of(sampler, search, budget)
    return record(sampler_of(plan.space, plan.cells[0]))


@pytest.mark.parametrize(("budget", "startup"), [(1, 2), (6, 2), (9, 3), (14, 4), (30, 10), (99, 10)])
@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_third_of_the_budget_is_drawn_first(sampler: str, budget: int, startup: int) -> None:
    """Between 2 and 10."""
    assert chosen(sampler, {"training.lr": REAL}, budget)["n_startup_trials"] == startup


def test_what_the_space_asks_for_is_kept() -> None:
    assert chosen({"name": "tpe", "n_startup_trials": 7}, {"training.lr": REAL})["n_startup_trials"] == 7
    assert chosen("random", {"training.lr": REAL})["name"] == "random"


NUMERIC = {f"training.{name}": {"uniform": [0.1, 0.9]} for name in ("momentum", "warmup", "weight_decay")}


@pytest.mark.parametrize(("count", "popsize"), [(2, 6), (3, 7)])
def test_the_population_of_cma_es_is_that_of_its_tutorial(count: int, popsize: int) -> None:
    """4 + floor(3 ln n) (Hansen 2016, arXiv:1604.00772): 6 of two parameters, 7 of three."""
    search = dict(list(NUMERIC.items())[:count])
    found = chosen("cmaes", search)
    assert (found["popsize"], found["n_startup_trials"]) == (popsize, 1)
    given = chosen({"name": "cmaes", "popsize": 9, "n_startup_trials": 3}, search)
    assert (given["popsize"], given["n_startup_trials"]) == (9, 3)


def test_cma_es_needs_two_numbers() -> None:
    plan = plan_of("cmaes", {"training.lr": REAL, "training.batch_size": {"choice": [32, 64]}})
    assert sampler_of(plan.space, plan.cells[0]).name == "random"
    (note,) = notes(plan.space, plan.cells)
    assert note == "fewer than 2 numeric parameters for cmaes, drawn at random: t"


def test_a_covered_cell_is_a_grid() -> None:
    search = {"training.lr": {"choice": [0.1, 0.2, 0.3]}, "training.batch_size": {"int": [1, 4]}}
    for budget, covered in ((11, False), (12, True), (13, True)):
        plan = plan_of("tpe", search, budget)
        assert (plan.cells[0].combinations <= budget) is covered
        assert (sampler_of(plan.space, plan.cells[0]).name == "grid") == covered
        assert notes(plan.space, plan.cells) == (
            ["the budget covers every combination, each is tried once: t"] if covered else []
        )


def test_what_can_be_counted() -> None:
    def finite(**search: Any) -> bool:
        tuned = {f"training.{name}": domain for name, domain in search.items()}
        return plan_of("random", tuned).cells[0].combinations <= LARGEST_GRID

    assert not finite(lr=REAL)
    thousand = {"uniform": [0.1, 0.9], "steps": 1000}
    assert finite(momentum=thousand, warmup=thousand), "a million is the most"
    assert not finite(momentum=thousand, warmup={**thousand, "steps": 1001})


def test_numbers_that_every_proposal_has() -> None:
    search = {
        "method": {"choice": ["static", "set"]},
        "training.lr": REAL,
        "training.batch_size": {"int": [5, 6]},
        "training.momentum": {"choice": [0.1, 0.2]},
        "method.drop_fraction": {"uniform": [0.1, 0.5]},
    }
    assert shared_numeric(plan_of("random", search).cells[0]) == ["training.lr", "training.batch_size"]
    search["method"] = {"choice": ["rigl", "set"]}
    assert shared_numeric(plan_of("random", search).cells[0])[-1] == "method.drop_fraction"


def test_methods_are_asked_for_what_they_have() -> None:
    assert asks("static", "training.lr")
    assert asks("static", "method")
    assert asks("set", "method.drop_fraction")
    assert not asks("static", "method.drop_fraction")


def test_methods_that_a_cell_cannot_all_try_are_said() -> None:
    several = {"method": None, "factors": {"sparsity": [0.5, 0.6, 0.7, 0.8, 0.9]}}
    tuned = {"method": {"choice": ["static", "set", "rigl", "snip"]}, "training.lr": REAL}
    few = plan_of("random", tuned, 3, **several)
    pairs = sum(map(len, few.cells[0].distributions.values()))
    (note,) = notes(few.space, few.cells)
    assert note == (
        f"3 configurations for {pairs} pairs of method and distribution, so that some are not tried: "
        "0.5, 0.6, 0.7 and 2 more"
    )
    enough = plan_of("random", tuned, pairs, **several)
    assert notes(enough.space, enough.cells) == []
