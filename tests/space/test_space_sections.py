"""The parts of a space that say how long a search goes on: defaults as documented, both sides of every limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from hsl.space.sections import (
    COST_COLUMNS,
    DIRECTIONS,
    MAX_CONFIRM_SEEDS,
    Budget,
    Confirm,
    Cost,
    Price,
    StopRule,
    WarmStart,
    seconds_of,
)

DEFAULTS: Mapping[type[BaseModel], Mapping[str, Any]] = {
    Budget: {
        "configurations_per_cell": 8,
        "epochs": None,
        "wall_time": None,
        "gpu_hours": None,
        "cost": None,
        "enough": None,
    },
    Confirm: {"top": 1, "seeds": 5, "min_seeds": 3, "stop": None},
    WarmStart: {"configurations": 2},
}

LIMITS = [
    (Budget, "configurations_per_cell", (1, 2, 100_000), (0, -1, 100_001, 1.5)),
    (Budget, "enough", (1e-9, 0.5, 0.999, None), (0, -0.1, 1, math.nan)),
    (Budget, "epochs", (1, 10**9, None), (0, -1, 1.5)),
    (Budget, "wall_time", (1e-9, 1, 1.5, None), (0, -1, math.nan)),
    (Budget, "gpu_hours", (1e-9, 1, 1.5, None), (0, -1, math.nan)),
    (Budget, "cost", (1e-9, 1, 1.5, None), (0, -1, math.nan)),
    (Confirm, "top", (1, 20), (0, 21, 1.5)),
    (Confirm, "seeds", (0, 1, 30), (-1, 31, 1.5)),
    (Confirm, "min_seeds", (3, 4, 100), (2, 0, 3.5)),
    (WarmStart, "configurations", (1, 100), (0, 101, 1.5)),
    (StopRule, "width", (1e-9, 0.5, 0.999), (0, -0.1, 1, 1.5, math.nan)),
]


@pytest.mark.parametrize("model", DEFAULTS)
def test_defaults_are_those_that_are_documented(model: type[BaseModel]) -> None:
    assert model().model_dump() == DEFAULTS[model]


@pytest.mark.parametrize(("model", "field", "accepted", "refused"), LIMITS)
def test_both_sides_of_every_limit(
    model: type[BaseModel], field: str, accepted: tuple[Any, ...], refused: tuple[Any, ...]
) -> None:
    for value in accepted:
        assert getattr(model(**{field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError):
            model(**{field: value})


def test_prices_are_from_nothing_to_anything_finite() -> None:
    price = TypeAdapter(Price).validate_python
    assert [price(value) for value in (0, 0.01, 1e9)] == [0, 0.01, 1e9]
    for value in (-0.01, math.inf, math.nan):
        with pytest.raises(ValidationError):
            price(value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1.0),
        ("1m", 60.0),
        ("1min", 60.0),
        ("1h", 3600.0),
        ("1d", 86_400.0),
        ("1d 2h 3min 4s", 93_784.0),
        ("1h30m", 5400.0),
        (" 0.5 h ", 1800.0),
        (12, 12),
        (None, None),
    ],
)
def test_times(text: Any, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "1", "1x", "h", "1h and", "-1h", "1,5h", "1h;2h", ".5h"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="write a time like 90s"):
        seconds_of(text)


def test_limits_are_what_was_given_but_the_configurations() -> None:
    assert Budget().limits == {}
    given = Budget(epochs=5, wall_time="1min", gpu_hours=0.5, cost=2, configurations_per_cell=3)
    assert given.limits == {"epochs": 5.0, "wall_time": 60.0, "gpu_hours": 0.5, "cost": 2.0}
    assert all(isinstance(limit, float) for limit in given.limits.values())


@pytest.mark.parametrize(
    ("given", "is_one"),
    [({}, False), ({"clear": False}, False), ({"clear": True}, True), ({"width": 0.1}, True)],
)
def test_a_stop_says_when(given: dict[str, Any], is_one: bool) -> None:
    if is_one:
        assert StopRule(**given).model_dump() == {"width": None, "clear": False, **given}
        return
    with pytest.raises(ValidationError, match="give width, clear: true, or both"):
        StopRule(**given)


@pytest.mark.parametrize(
    ("given", "looks"),
    [
        ({}, (5,)),
        ({"seeds": 0}, (0,)),
        ({"seeds": 5, "stop": {"clear": True}}, (3, 4, 5)),
        ({"seeds": 6, "min_seeds": 5, "stop": {"clear": True}}, (5, 6)),
        ({"seeds": 5, "min_seeds": 5, "stop": {"clear": True}}, (5,)),
        ({"seeds": 4, "min_seeds": 9, "stop": {"clear": True}}, (4,)),
        ({"seeds": 6, "min_seeds": 4}, (6,)),
    ],
)
def test_looks(given: dict[str, Any], looks: tuple[int, ...]) -> None:
    assert Confirm(**given).looks == looks


@pytest.mark.parametrize(
    ("top", "seeds", "configurations", "trials"), [(2, 3, 9, 6), (2, 3, 2, 6), (2, 3, 1, 3), (2, 0, 9, 0)]
)
def test_trials_of_a_confirmation(top: int, seeds: int, configurations: int, trials: int) -> None:
    assert Confirm(top=top, seeds=seeds).trials(configurations) == trials


def test_what_a_second_objective_may_be() -> None:
    names = {"training_flops", "inference_flops", "sparsity"}
    assert DIRECTIONS.keys() == COST_COLUMNS.keys() == set(get_args(Cost)) == names
    assert DIRECTIONS["sparsity"] == "maximize"
    assert {DIRECTIONS[name] for name in names - {"sparsity"}} == {"minimize"}
    assert MAX_CONFIRM_SEEDS == 30
