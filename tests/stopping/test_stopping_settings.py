"""The kinds of early stopping: their defaults as documented, and both sides of every limit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from hsl.stopping.settings import (
    EARLY_STOPPING,
    Grace,
    Kind,
    Median,
    Promotion,
    RayAsha,
    RayHyperband,
    RayMedian,
    Stratified,
    _kind,
)

DEFAULTS: Mapping[type[Kind], Mapping[str, Any]] = {
    Stratified: {
        "kind": "stratified",
        "grace": 0.1,
        "exempt": 0.05,
        "reduction_factor": 4,
        "brackets": 1,
        "min_entries": 3,
        "tolerance": 0.002,
        "min_correlation": 0.0,
    },
    Promotion: {"kind": "promotion", "grace": 0.1, "exempt": 0.05, "reduction_factor": 4, "min_entries": 3},
    Median: {"kind": "median", "grace": 0.1, "exempt": 0.05, "min_entries": 3, "tolerance": 0.002},
    RayAsha: {"kind": "ray_asha", "grace": 0.1, "reduction_factor": 4},
    RayHyperband: {"kind": "ray_hyperband", "reduction_factor": 3},
    RayMedian: {"kind": "ray_median", "grace": 0.1, "min_entries": 3},
}

LIMITS: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "grace": ((1e-9, 0.5, 0.999, 1, 1.0, 2, 1000), (0, -0.1, -1, 1.5, 2.5, math.inf, math.nan)),
    "exempt": ((0, 0.05, 0.999), (-0.001, 1, 1.001, math.nan)),
    "tolerance": ((0, 0.002, 0.999), (-0.001, 1, 1.001, math.nan)),
    "reduction_factor": ((2, 3, 100), (1, 0, -2, 2.5)),
    "brackets": ((1, 2, 10), (0, 11, 1.5)),
    "min_entries": ((1, 2, 1000), (0, -1, 1.5)),
    "min_correlation": ((-1, 0, 0.999), (-1.001, 1, math.nan)),
}
"""Accepted and refused values of a field, those next to each limit among them."""


@pytest.mark.parametrize("model", DEFAULTS)
def test_defaults_are_those_that_are_documented(model: type[Kind]) -> None:
    assert model().model_dump() == DEFAULTS[model]


@pytest.mark.parametrize(
    ("model", "field"), [(model, field) for model in DEFAULTS for field in DEFAULTS[model] if field != "kind"]
)
def test_both_sides_of_every_limit(model: type[Kind], field: str) -> None:
    accepted, refused = LIMITS[field]
    for value in accepted:
        assert getattr(model(**{field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError):
            model(**{field: value})


def test_grace_from_one_on_is_whole_epochs() -> None:
    grace = TypeAdapter(Grace).validate_python
    for value, expected in ((1, 1), (1.0, 1), (3.0, 3)):
        assert grace(value) == expected
        assert isinstance(grace(value), int)
    assert isinstance(grace(0.5), float)


def test_kinds_are_known_by_name() -> None:
    for model, defaults in DEFAULTS.items():
        assert EARLY_STOPPING[defaults["kind"]] is model


@pytest.mark.parametrize(
    ("model", "progress", "can_pause", "milestones"),
    [
        (Kind, "epochs_at_target", False, ()),
        (Stratified, "epochs_at_target", False, (3, 12)),
        (Promotion, "epochs_at_target", True, (3, 12)),
        (Median, "epochs_at_target", False, tuple(range(3, 30))),
        (RayAsha, "epoch", False, tuple(range(1, 30))),
        (RayHyperband, "epoch", True, tuple(range(1, 30))),
        (RayMedian, "epoch", False, tuple(range(1, 30))),
    ],
)
def test_what_a_kind_asks_of_thirty_epochs(
    model: type[Kind], progress: str, can_pause: bool, milestones: tuple[int, ...]
) -> None:
    kind = model()
    assert (kind.progress, kind.can_pause, kind.milestones(30)) == (progress, can_pause, milestones)


@pytest.mark.parametrize("model", [Stratified, Promotion])
def test_the_rungs_follow_the_settings(model: type[Stratified | Promotion]) -> None:
    assert model(grace=2, reduction_factor=3).milestones(55) == (2, 6, 18, 54)
    assert model(grace=2, reduction_factor=3).milestones(54) == (2, 6, 18)


def test_the_median_rule_looks_at_every_epoch_from_its_grace_on() -> None:
    assert Median(grace=4).milestones(7) == (4, 5, 6)
    assert Median(grace=0.5).milestones(7) == (4, 5, 6)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("median", {"kind": "median"}),
        ({"kind": "median", "grace": 2}, {"kind": "median", "grace": 2}),
        ({}, {"kind": "stratified"}),
        ({"grace": 2}, {"grace": 2, "kind": "stratified"}),
        ("none", None),
        ({"kind": "none"}, None),
        (False, None),
        (None, None),
        (True, True),
        (7, 7),
        (0, 0),
    ],
)
def test_a_name_a_mapping_and_nothing(given: Any, expected: Any) -> None:
    found = _kind(given)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"kind": "none", "grace": 2}, "kind none takes no other key"),
        ("nome", "unknown kind 'nome'.*did you mean 'none'"),
        ("asha", "known: stratified, promotion, median, ray_asha, ray_hyperband, ray_median, .*none"),
    ],
)
def test_other_kinds_are_refused(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _kind(given)
