"""The schema of a space: every default as the annotated example says, and both sides of every limit."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from hsl.space.schema import Resources, SearchSpace
from hsl.stopping.settings import Median, Stratified

BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp"}

PLAIN = {
    "factors": {},
    "search": {},
    "regime": None,
    "method": None,
    "distribution": None,
    "sparsity": None,
    "init": None,
    "baseline": "dense",
    "priority": "even",
    "warm_start": None,
    "early_stopping": Stratified(),
    "objective": "matched",
    "against": (),
    "trial_timeout": 3600,
    "prices": {},
    "seed": 0,
}


def space(**given: Any) -> SearchSpace:
    return SearchSpace.model_validate({**BASE, **given})


def test_defaults() -> None:
    made = space()
    assert {name: getattr(made, name) for name in PLAIN} == PLAIN
    assert made.sampler.name == "tpe"
    assert (made.model.name, list(made.regimes)) == ("mlp", ["clean"])
    assert Resources().model_dump() == {"cpu": 1, "gpu": 0, "concurrent": None}


LIMITS: list[tuple[str, tuple[Any, ...], tuple[Any, ...]]] = [
    ("name", ("t", "T9", "0", "a.b_c-d"), ("", ".a", "-a", "_a", "a b", "a/b", "ä")),
    ("trial_timeout", (1e-9, 1, None), (0, -1, math.nan)),
    ("seed", (0, 1), (-1, 0.5)),
    ("init", ("sparse", "dense"), ("rewind",)),
    ("baseline", ("dense", None), ("sparse",)),
    ("priority", ("even", "uncertain"), ("odd",)),
    ("objective", ("matched", "clean", "worst_class"), ("test",)),
    ("against", ((), ("sparsity",), ("training_flops", "inference_flops")), (("accuracy",),)),
    ("prices", ({}, {"a": 0}, {"a": 1.5}), ({"a": -1}, {"a": math.inf})),
]


@pytest.mark.parametrize(("field", "accepted", "refused"), LIMITS)
def test_both_sides_of_every_limit(field: str, accepted: tuple[Any, ...], refused: tuple[Any, ...]) -> None:
    for value in accepted:
        assert getattr(space(**{field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError, match=field):
            space(**{field: value})


@pytest.mark.parametrize(
    ("field", "accepted", "refused"),
    [
        ("cpu", (0.01, 1, 64), (0, -1, math.nan)),
        ("gpu", (0, 0.01, 8), (-0.01, math.nan)),
        ("concurrent", (1, 2, None), (0, -1, 1.5)),
    ],
)
def test_both_sides_of_every_limit_of_what_a_trial_is_given(
    field: str, accepted: tuple[Any, ...], refused: tuple[Any, ...]
) -> None:
    for value in accepted:
        assert getattr(Resources(**{field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError):
            Resources(**{field: value})


@pytest.mark.parametrize("given", [{"factors": {"sparsity": []}}, {"regimes": {}}, {"regimes": {"a b": {}}}])
def test_what_is_empty_or_has_no_name_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=next(iter(given))):
        space(**given)


def test_none_and_off_leave_out_a_warm_start() -> None:
    for value in ("none", "off", False, None):
        assert space(warm_start=value).warm_start is None
    assert space(warm_start={}).warm_start.configurations == 2
    with pytest.raises(ValidationError):
        space(warm_start=True)


def test_a_front_is_not_stopped_early_unless_one_asks_for_it() -> None:
    assert space(against=["sparsity"]).early_stopping is None
    assert space(against=[]).early_stopping == Stratified()
    assert space(early_stopping="none").early_stopping is None
    assert space(against=["sparsity"], early_stopping="median").early_stopping == Median()
    with pytest.raises(ValidationError):
        SearchSpace.model_validate([1])
