"""What the parts of a space ask of each other where it is searched: both sides of every condition."""

from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest

from hsl.errors import SpaceError
from hsl.space.axes import configuration
from hsl.space.checks import check_priced, search_problems
from hsl.space.domain import LARGEST_GRID
from hsl.space.load import make_space
from hsl.space.schema import SearchSpace
from hsl.training.configuration import Configuration

BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp"}
RATE: dict[str, Any] = {"training.lr": {"loguniform": [0.01, 0.1]}}
FRONT: dict[str, Any] = {"against": ["training_flops"]}
STOP: dict[str, Any] = {"clear": True}


def problems(**given: Any) -> list[tuple[tuple[str | int, ...], str]]:
    space = SearchSpace.model_validate({**BASE, **given})
    return [(place, problem.message) for place, problem in search_problems(space)]


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"search": RATE},
        {"sampler": "grid"},
        {"sampler": "grid", "search": {"training.lr": {"loguniform": [0.01, 0.1], "steps": 3}}},
        {"sampler": "grid", "search": {"training.lr": {"choice": [0.01, 0.1]}}},
        FRONT,
        {**FRONT, "against": ["training_flops", "inference_flops"]},
        {**FRONT, "sampler": "gp"},
        {"sampler": "cmaes"},
        {"against": ["sparsity"], "search": {"sparsity": {"uniform": [0.5, 0.9]}}},
        {"confirm": {"seeds": 4, "stop": STOP}},
        {"confirm": {"seeds": 0, "stop": STOP}},
        {"confirm": {"seeds": 3}},
        {"confirm": {"seeds": 0, "stop": STOP}, "baseline": None},
        {"confirm": {"seeds": 5, "stop": {"width": 0.1}}, "baseline": None},
        {"confirm": {"seeds": 5}, "baseline": None},
        {"training": {"cuda_graphs": True}, "resources": {"gpu": 0.25}},
    ],
)
def test_nothing_is_wrong(given: dict[str, Any]) -> None:
    assert problems(**given) == []


@pytest.mark.parametrize(
    ("given", "place", "message"),
    [
        ({"sampler": "grid", "search": RATE}, ("search", "training.lr"), "sampler grid needs finite domains"),
        ({"against": ["sparsity"]}, ("against",), "tune it, for example"),
        ({"against": ["training_flops"] * 2}, ("against",), "an objective is listed twice"),
        ({**FRONT, "early_stopping": "median"}, ("early_stopping",), "compares by the objective alone"),
        ({**FRONT, "sampler": "cmaes"}, ("sampler",), "cmaes has a single objective"),
        (
            {"confirm": {"seeds": 3, "stop": STOP}},
            ("confirm", "seeds"),
            "3 seeds leave nothing to stop after 3; raise seeds",
        ),
        ({"confirm": {"seeds": 2, "stop": STOP}}, ("confirm", "seeds"), "2 seeds leave nothing"),
        ({"confirm": {"stop": STOP}, "baseline": None}, ("confirm", "stop"), "compares with the dense"),
        ({"training": {"cuda_graphs": True}}, ("training", "cuda_graphs"), "needs a GPU"),
    ],
)
def test_what_is_wrong_has_its_place(given: dict[str, Any], place: tuple[str, ...], message: str) -> None:
    ((found, said),) = problems(**given)
    assert found == place
    assert message in said


@pytest.mark.parametrize(("more", "fits"), [(0, True), (1, False)])
def test_a_grid_has_its_largest_size(more: int, fits: bool) -> None:
    axes: dict[str, Any] = {"training.batch_size": {"int": [1, LARGEST_GRID + more]}}
    found = problems(sampler="grid", search=axes)
    assert (found == []) is fits
    if not fits:
        ((place, message),) = found
        assert place == ("sampler",)
        assert f"a grid of {LARGEST_GRID + 1:,} combinations; at most {LARGEST_GRID:,}" in message
    assert problems(search=axes) == [], "other samplers draw from it"
    ((place, _),) = problems(sampler="grid", search={**axes, **RATE})
    assert place == ("search", "training.lr"), "an infinite one has no size"


class Fleet:
    def __init__(self, **prices: float) -> None:
        self.prices = prices


@pytest.mark.parametrize(
    ("given", "fleet", "known"),
    [
        ({}, None, True),
        ({"budget": {"cost": 1}}, None, False),
        ({"budget": {"cost": 1}}, Fleet(), False),
        ({"budget": {"cost": 1}}, Fleet(a=1.0), True),
        ({"budget": {"cost": 1}, "prices": {"default": 1}}, None, True),
        ({"budget": {"cost": 1}, "prices": {"default": 1}}, Fleet(), True),
        ({"budget": {"epochs": 1}}, None, True),
    ],
)
def test_money_needs_prices(given: dict[str, Any], fleet: Any, known: bool) -> None:
    space = SearchSpace.model_validate({**BASE, **given})
    if known:
        check_priced(space, fleet)
        return
    with pytest.raises(SpaceError, match=r"budget\.cost: needs to know what a node costs"):
        check_priced(space, fleet)


HARD: dict[str, Any] = {"keep": {"fraction": 0.5}}
OTHER: dict[str, Any] = {"keep": {"fraction": 0.25}}


def of_regimes(compared: list[str], **regimes: dict[str, Any]) -> dict[str, Any]:
    return {**BASE, "regimes": regimes, "factors": {"regime": compared}}


@pytest.mark.parametrize("objective", ["clean", "worst_class", "matched"])
def test_compared_regimes_that_differ_in_their_objective_alone_are_refused(objective: str) -> None:
    """Their trials have the same ids, and a row of the store names one cell."""
    raw = of_regimes(["a", "b"], a=HARD, b={**HARD, "objective": objective})
    trials = [Configuration(dataset="digits", model={"name": "mlp"}, regime=HARD).trial_id(0)] * 2
    stored = make_space(raw, is_stored=True)  # stores of such spaces can be read
    assert [configuration(stored, {"regime": name}).trial_id(0) for name in ("a", "b")] == trials
    with pytest.raises(SpaceError, match=r"regimes.b.objective: trains what regime 'a' trains") as caught:
        make_space(raw)
    assert "`hsl best --metric`" in str(caught.value)


def test_regimes_that_train_something_else_or_are_not_compared_have_objectives_of_their_own() -> None:
    other = {**OTHER, "objective": "clean"}
    make_space(of_regimes(["a", "b"], a=HARD, b=other))
    make_space(of_regimes(["a", "b"], a=HARD, b=other, c={**HARD, "objective": "clean"}))
    with pytest.raises(SpaceError, match="unknown regime 'd'") as caught:
        make_space(of_regimes(["a", "d"], a=HARD))
    assert len(caught.value.problems) == 1


CLEAN: list[dict[str, Any]] = [
    {},
    {"keep": {"which": "random", "fraction": 1.0}},
    {"attack": {"eps": 0}},
    {"attack": {"eps": 0}, "keep": {"which": "random", "fraction": 1.0}},
]


@pytest.mark.parametrize(("first", "second"), list(permutations(CLEAN, 2)))
def test_compared_regimes_that_change_no_sample_are_refused(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    with pytest.raises(SpaceError) as caught:
        make_space(of_regimes(["a", "b"], a=first, b=second))
    (found,) = caught.value.problems
    assert found.where.startswith("regimes.b")


def test_one_that_changes_no_sample_is_compared_with_others() -> None:
    trades = {"attack": {"name": "trades", "eps": 0}}  # another loss
    for first, second in (({"attack": {"eps": 0}}, HARD), ({}, trades)):
        assert make_space(of_regimes(["a", "b"], a=first, b=second)).factors["regime"] == ("a", "b")
