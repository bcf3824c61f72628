"""Axes: their names, their values, and the configuration that values make."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from hsl.errors import SpaceError
from hsl.planning.plan import make_plan
from hsl.planning.scores import asked_scores, scores_for
from hsl.space.axes import (
    axis_problem,
    configuration,
    default_sparsity,
    known_axes,
    options_of,
    value_problem,
)
from hsl.space.load import make_space, override
from hsl.sparsity.methods import METHODS
from hsl.training.configuration import Split, Training

SPACE = make_space(
    {
        "name": "t",
        "dataset": "digits",
        "model": "mlp",
        "training": {"epochs": 7, "lr": 0.3},
        "regimes": {"clean": {}, "few": {"keep": {"fraction": 0.5}}},
        "regime": "clean",
        "init": "dense",
        "split": {"seed": 4},
    }
)


def test_there_is_an_axis_for_everything_that_may_vary() -> None:
    assert {"regime", "method", "distribution", "sparsity", "model", "init"} <= set(known_axes())
    assert {f"training.{field}" for field in Training.model_fields} <= set(known_axes())
    for method in METHODS.values():
        assert {f"method.{h.name}" for h in method.hyperparameters} <= set(known_axes())


def test_a_misspelt_axis_is_named_with_a_close_match() -> None:
    assert axis_problem("sparsity") is None
    assert "unknown axis (did you mean 'sparsity'?); known: regime," in str(axis_problem("sparsty"))


@pytest.mark.parametrize(
    ("axis", "value"),
    [
        ("method", "rigl"),
        ("distribution", "erk"),
        ("sparsity", 0),
        ("model", "lenet"),
        ("model", {"name": "mlp", "widths": [3]}),
        ("init", "dense"),
        ("training.lr", 0.1),
        ("training.schedule", "step"),
        ("method.drop_fraction", 0.5),
        ("method.end", 0.5),
        ("split.seed", 3),
    ],
)
def test_a_valid_value_has_no_problem(axis: str, value: Any) -> None:
    assert value_problem(axis, value) is None


@pytest.mark.parametrize(
    ("axis", "value", "message"),
    [
        ("method", "rgl", "did you mean 'rigl'"),
        ("distribution", "erkk", "did you mean 'erk'"),
        ("sparsity", 1.0, "a number in [0, 1)"),
        ("model", "mpl", "did you mean 'mlp'"),
        ("init", "sparce", "'sparse', 'energy', 'signal' or 'dense'"),
        ("training.lr", -1, "greater than 0"),
        ("method.drop_fraction", 1.5, "it must be in [0, 1]"),
        ("method.drop_fraction", "much", "must be a number"),
    ],
)
def test_a_bad_value_is_told_with_what_is_allowed(axis: str, value: Any, message: str) -> None:
    assert message in str(value_problem(axis, value))


def test_values_override_the_space() -> None:
    made = configuration(
        SPACE,
        {
            "regime": "few",
            "method": "rigl",
            "distribution": "uniform",
            "sparsity": 0.8,
            "training.lr": 0.01,
            "method.drop_fraction": 0.4,
            "model": {"name": "mlp", "widths": [5]},
            "init": "sparse",
        },
    )
    assert made.regime == SPACE.regimes["few"].hardness
    assert (made.method, made.distribution, made.sparsity, made.init) == ("rigl", "uniform", 0.8, "sparse")
    assert (made.training.lr, made.training.epochs, made.split.seed) == (0.01, 7, 4)
    assert made.hyperparameters == {"drop_fraction": 0.4}
    assert made.model.options == {"widths": [5]}


def test_without_values_the_space_speaks() -> None:
    made = configuration(SPACE, {})
    assert (made.method, made.sparsity, made.distribution) == ("dense", 0.0, None)
    assert made.training == SPACE.training
    assert made.init == "dense"


def test_a_dense_configuration_ignores_what_makes_networks_sparse() -> None:
    values = {"method": "dense", "sparsity": 0.9, "distribution": "erk", "method.drop_fraction": 0.3}
    assert configuration(SPACE, values).id == configuration(SPACE, {}).id


def test_hyperparameters_of_other_methods_are_left_out() -> None:
    values = {"method": "static", "sparsity": 0.9}
    assert configuration(SPACE, {**values, "method.drop_fraction": 0.4}).id == configuration(SPACE, values).id


@pytest.mark.parametrize(
    ("axis", "one", "other"),
    [
        ("training.lr", 1, 1.0),
        ("training.epochs", 10.0, 10),
        ("training.milestones", [0.5, 0.75], (0.5, 0.75)),
    ],
)
def test_two_ways_to_write_a_value_make_one_configuration(axis: str, one: Any, other: Any) -> None:
    assert configuration(SPACE, {axis: one}).id == configuration(SPACE, {axis: other}).id
    assert isinstance(configuration(SPACE, {"training.epochs": 10.0}).training.epochs, int)


TUNED: dict[str, Any] = {"against": ["sparsity"]}
"""What a space that tunes its sparsity has to say beside it."""


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({}, None),
        ({"sparsity": 0.7}, 0.7),
        ({**TUNED, "sparsity": 0.7, "search": {"sparsity": {"uniform": [0.5, 0.9]}}}, 0.9),
        ({**TUNED, "search": {"sparsity": {"choice": [0.8, 0.95, 0.5]}}}, 0.95),
    ],
)
def test_the_default_sparsity_is_that_of_the_space_or_the_highest_that_it_tunes(
    content: dict[str, Any], expected: float | None
) -> None:
    space = make_space({"name": "t", "dataset": "digits", "model": "mlp", "method": "set", **content})
    assert default_sparsity(space) == expected


def test_options_are_those_of_a_factor_a_choice_or_the_space() -> None:
    base = {"name": "t", "dataset": "digits", "model": "mlp", "sparsity": 0.9}
    assert options_of(make_space({**base, "method": "set"}), "method") == ("set",)
    assert options_of(make_space({**base, "factors": {"method": ["set", "gmp"]}}), "method") == ("set", "gmp")
    tuned = make_space({**base, "search": {"method": {"choice": ["gmp", "set"]}}})
    assert options_of(tuned, "method") == ("gmp", "set")
    assert options_of(tuned, "distribution") == ()


SPLITS: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "method": "omp",
    "split": {"test": 0.3},
    "regimes": {"hard": {"keep": {"fraction": 0.5, "by": "el2n"}}},
    "factors": {"split.seed": [0, "1", 2.0], "sparsity": [0.5]},
}


def test_divisions_of_the_data_are_levels_with_parents_and_scores_of_their_own() -> None:
    space = make_space(SPLITS)
    plan = make_plan(space)
    splits = [Split(test=0.3, seed=seed) for seed in (0, 1, 2)]
    assert [cell.name for cell in plan.cells if cell.baseline] == [f"split.seed={i}/dense" for i in range(3)]
    for made in ([cell.example for cell in plan.cells if not cell.baseline], plan.parents):
        assert [one.split for one in made] == splits
    assert [scores.configuration.split for scores in plan.scores] == splits
    assert len({scores.id for scores in plan.scores}) == len({parent.id for parent in plan.parents}) == 3
    assert [scores_for(cell.example, space) for cell in plan.cells[:3]] == list(plan.scores)


def test_scores_are_asked_for_of_one_division() -> None:
    with pytest.raises(SpaceError, match=r"split\.seed: has 3 values; choose one, for example split\.seed=0"):
        asked_scores(make_space(SPLITS), "el2n", None, None)
    raw = copy.deepcopy(SPLITS)
    override(raw, "split.seed=1")
    assert asked_scores(make_space(raw), "el2n", None, None).configuration.split.seed == 1


def test_a_division_is_fixed_or_compared_and_never_tuned() -> None:
    domain = {"search": {"split.seed": {"choice": [0, 1]}}, "factors": {"sparsity": [0.5]}}
    with pytest.raises(SpaceError, match=r"split\.seed is compared, never tuned"):
        make_space({**SPLITS, **domain})
    with pytest.raises(SpaceError, match=r"split\.seed.*listed twice"):
        make_space({**SPLITS, "factors": {"split.seed": [1, "1"], "sparsity": [0.5]}})
    with pytest.raises(SpaceError, match="less than or equal to 4294967293"):
        make_space({**SPLITS, "factors": {"split.seed": [2**32], "sparsity": [0.5]}})
    raw = copy.deepcopy(SPLITS)
    override(raw, "split.seed=5")
    assert {cell.example.split.seed for cell in make_plan(make_space(raw)).cells} == {5}
