"""Several objectives: what is asked, what the study is told, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from optuna.trial import TrialState

from hsl.errors import SpaceError
from hsl.planning.plan import Plan, make_plan
from hsl.search.outcome import Outcome
from hsl.search.study import CellStudy
from hsl.space.load import make_space
from hsl.store.outcomes import Status

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "search": {
        "method": {"choice": ["static", "rigl", "omp"]},
        "sparsity": {"uniform": [0.5, 0.98]},
        "training.lr": {"loguniform": [0.02, 0.2]},
    },
    "against": ["sparsity"],
    "budget": {"configurations_per_cell": 30},
}


def plan_of(**content: Any) -> Plan:
    return make_plan(make_space({**SPACE, **content}))


@pytest.mark.parametrize("sampler", ["tpe", "random", pytest.param("gp", marks=pytest.mark.slow)])
def test_a_front_of_accuracy_and_sparsity_is_searched(sampler: str) -> None:
    plan = plan_of(sampler=sampler, budget={"configurations_per_cell": 14})
    dense, cell = plan.cells
    assert (dense.baseline, "sparsity" in dense.domains) == (True, False)
    study = CellStudy(plan.space, cell)
    told = []
    while proposal := study.ask():
        sparsity = proposal.configuration.sparsity
        assert 0.5 <= sparsity <= 0.98
        accuracy = 0.95 - 0.1 * sparsity - abs(proposal.configuration.training.lr - 0.1)
        study.tell(proposal.configuration.id, Outcome(Status.COMPLETED, 10, accuracy, {"sparsity": sparsity}))
        told.append((accuracy, sparsity))
    assert len(told) == 14
    front = [p for p in told if not any(q != p and q[0] >= p[0] and q[1] >= p[1] for q in told)]
    found = [(outcome.objective, outcome.against["sparsity"]) for _, outcome in study.best()]
    assert found[: len(front)] == sorted(front, reverse=True)


def test_what_was_not_trained_to_the_end_has_no_place_on_a_front() -> None:
    plan = plan_of(against=["sparsity", "training_flops"])
    study = CellStudy(plan.space, plan.cells[1])
    for outcome in (
        Outcome(Status.COMPLETED, 10, 0.9, {"sparsity": 0.8, "training_flops": 0.3}),
        Outcome(Status.STOPPED, 3, 0.9, {"sparsity": 0.8, "training_flops": 0.3}),
        Outcome(Status.COMPLETED, 10, 0.9, {"sparsity": 0.8, "training_flops": None}),
    ):
        proposal = study.ask()
        assert proposal is not None
        study.tell(proposal.configuration.id, outcome)
    first, *others = study.frozen().values()
    assert first.values == [0.9, 0.8, 0.3]
    assert [trial.state for trial in others] == [TrialState.FAIL] * 2


def test_early_stopping_is_off_where_it_would_stop_the_cheap_networks() -> None:
    assert plan_of().space.early_stopping is None
    assert plan_of(early_stopping="none").space.early_stopping is None
    with pytest.raises(SpaceError, match="early_stopping"):
        plan_of(early_stopping={"grace": 2})


def test_methods_whose_parents_depend_on_sparsity_are_left_out() -> None:
    search = {**SPACE["search"], "method": {"choice": ["static", "imp"]}}
    plan = plan_of(search=search)
    assert [o.combination for o in plan.omissions] == ["imp"]
    assert list(plan.cells[1].distributions) == ["static"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"against": []}, "search.sparsity"),
        ({"against": ["sparsity"], "search": {}, "sparsity": 0.9, "method": "set"}, "against"),
        ({"against": ["sparsity", "sparsity"]}, "twice"),
        ({"against": ["accuracy"]}, "against"),
        ({"sampler": "cmaes"}, "single objective"),
        ({"search": {**SPACE["search"], "sparsity": {"uniform": [0.5, 1.5]}}}, "sparsity"),
    ],
    ids=str,
)
def test_fronts_that_mean_nothing_are_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(SpaceError, match=said):
        plan_of(**content)
