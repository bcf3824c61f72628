"""Configurations that are tried first, as Optuna's enqueue_trial and Tune's points_to_evaluate."""

from __future__ import annotations

from typing import Any

import pytest

from hsl.errors import SpaceError
from hsl.planning.plan import Plan, make_plan
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.search.turns import shared_model
from hsl.space.load import make_space
from hsl.space.stored import check_continues, space_text
from hsl.store.outcomes import Status

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "factors": {"sparsity": [0.5, 0.9]},
    "search": {
        "method": {"choice": ["static", "set", "rigl"]},
        "distribution": {"choice": ["uniform", "erk", "global"]},
        "training.lr": {"loguniform": [0.02, 0.2]},
        "training.momentum": {"uniform": [0.0, 0.9], "steps": 10},
        "training.batch_size": {"choice": [32, 64]},
        "method.drop_fraction": {"uniform": [0.1, 0.5]},
    },
    "budget": {"configurations_per_cell": 6},
}
WHOLE = {
    "method": "rigl", "distribution": "erk", "training.lr": 0.03, "training.momentum": 0.8,
    "training.batch_size": 64, "method.drop_fraction": 0.25,
}  # fmt: skip


def plan_of(first: list[Any], sampler: str = "tpe") -> Plan:
    return make_plan(make_space({**SPACE, "sampler": sampler, "first": first}))


def proposals(plan: Plan, number: int) -> list[Proposal]:
    study, found = CellStudy(plan.space, plan.cells[number], shared_model(plan)), []
    while proposal := study.ask():
        found.append(proposal)
        study.tell(proposal.configuration.id, Outcome(Status.COMPLETED, 9, proposal.values["training.lr"]))
    return found


@pytest.mark.parametrize("sampler", ["tpe", "random", "transfer", "cmaes"])
def test_what_is_given_comes_first_and_what_is_left_out_is_drawn(sampler: str) -> None:
    plan = plan_of([WHOLE, {"training.lr": 0.05}, {"method.drop_fraction": 0.3, "sparsity": 0.9}], sampler)
    dense, low, high = [*range(3)] if plan.cells[0].name == "dense" else [2, 0, 1]
    sparse = proposals(plan, high)
    assert [one.source for one in sparse[:3]] == ["first"] * 3
    assert "first" not in {one.source for one in sparse[3:]}
    assert sparse[0].values == WHOLE
    assert sparse[1].values["training.lr"] == 0.05
    assert sparse[2].values["method.drop_fraction"] == 0.3
    assert sparse[2].values["method"] in {"set", "rigl"}
    assert [one.source for one in proposals(plan, low)].count("first") == 2, (
        "the third names another sparsity"
    )
    (only, *_) = proposals(plan, dense)
    assert (only.source, only.values["training.lr"]) == ("first", 0.05), "dense networks have no method"
    again = proposals(plan_of(list(plan.space.first), sampler), high)
    assert [one.values for one in again] == [one.values for one in sparse]


def test_a_study_that_is_made_again_does_not_try_them_twice() -> None:
    plan = plan_of([WHOLE])
    cell = next(number for number, cell in enumerate(plan.cells) if cell.name == "0.9")
    first, *_ = proposals(plan, cell)
    again = CellStudy(plan.space, plan.cells[cell])
    again.remember(first.values, first.configuration.id, first.number)
    second = again.ask()
    assert second is not None
    assert second.source == "tpe"


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ({"training.lr": 0.5}, r"0.5 is outside of search \(loguniform"),
        ({"training.lr": "fast"}, "outside of search"),
        ({"training.momentum": 0.55}, "outside of search"),
        ({"method": "snip"}, "outside of search"),
        ({"training.lrr": 0.1}, "did you mean 'training.lr'"),
        ({"sparsity": 0.8}, "no level of the factor; levels: 0.5, 0.9"),
        ({}, "first"),
    ],
)
def test_what_cannot_be_tried_is_refused(first: dict[str, Any], message: str) -> None:
    with pytest.raises(SpaceError, match=message):
        plan_of([first])


def test_a_store_may_go_on_with_others() -> None:
    before, after = plan_of([WHOLE]).space, plan_of([{"training.lr": 0.05}]).space
    assert check_continues(space_text(before), after, "store").first == after.first
    assert "\nfirst:" not in space_text(plan_of([]).space)
