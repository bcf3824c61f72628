"""Cells that resemble a cell and are easier, written down for three regimes and three sparsities."""

from __future__ import annotations

from typing import Any

from hsl.planning.neighbours import neighbours, parent_regime
from hsl.planning.plan import Plan, make_plan
from hsl.space.load import make_space

CORRUPTION = {"name": "gaussian_noise", "severity": 3}
FEW = {"keep": {"fraction": 0.25}}
SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "regimes": {"few-noisy": {**FEW, "corruption": CORRUPTION}, "few": FEW, "clean": {}},
    "factors": {"regime": ["few-noisy", "clean", "few"], "sparsity": [0.9, 0.5, 0.95]},
    "method": "set",
}


def found(**content: Any) -> dict[str, list[str]]:
    plan: Plan = make_plan(make_space({**SPACE, **content}))
    return {cell.name: [other.name for other in neighbours(cell, plan)] for cell in plan.cells}


def test_the_next_lower_sparsity_and_the_parent_regime() -> None:
    assert found() == {
        "clean/dense": [],
        "few/dense": ["clean/dense"],
        "few-noisy/dense": ["few/dense"],
        "clean/0.5": [],
        "clean/0.9": ["clean/0.5"],
        "clean/0.95": ["clean/0.9"],
        "few/0.5": ["clean/0.5"],
        "few/0.9": ["few/0.5", "clean/0.9"],
        "few/0.95": ["few/0.9", "clean/0.95"],
        "few-noisy/0.5": ["few/0.5"],
        "few-noisy/0.9": ["few-noisy/0.5", "few/0.9"],
        "few-noisy/0.95": ["few-noisy/0.9", "few/0.95"],
    }


def test_a_parent_that_is_not_searched_is_no_neighbour() -> None:
    assert found(factors={"regime": ["few-noisy", "clean"], "sparsity": [0.9]}, baseline=None) == {
        "few-noisy/0.9": [],
        "clean/0.9": [],
    }


def test_without_regimes_or_sparsities_there_is_no_step() -> None:
    assert found(factors={"sparsity": [0.9, 0.5]}, regime="few", baseline=None) == {"0.9": ["0.5"], "0.5": []}
    assert found(factors={"regime": ["few", "clean"]}, sparsity=0.9, baseline=None) == {
        "few": ["clean"],
        "clean": [],
    }


def test_other_factors_separate_neighbours() -> None:
    names = found(factors={"sparsity": [0.5, 0.9], "method": ["static", "set"]}, regime="few", method=None)
    assert names["0.9/set"] == ["0.5/set"]
    assert names["0.9/static"] == ["0.5/static"]


def test_the_parent_regime_has_most_in_common() -> None:
    wrong = {**FEW, "corruption": CORRUPTION, "label_noise": {"rate": 0.2}}
    regimes = make_space(
        {**SPACE, "regimes": {**SPACE["regimes"], "wrong": wrong, "fewer": {"keep": {"fraction": 0.1}}}}
    ).regimes
    assert {name: parent_regime(name, regimes) for name in regimes} == {
        "clean": None,
        "few": "clean",
        "few-noisy": "few",
        "wrong": "few-noisy",
        "fewer": "clean",
    }
