"""Values of a regime as people write them, and what is said of those that mean nothing."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError
from pydantic_core import PydanticCustomError

from hsl.hardness.schema.fields import (
    ClassMap,
    CorruptionName,
    Count,
    Norm,
    Pixels,
    ScoreName,
    Share,
    Step,
    as_window,
)
from hsl.registry import PLUGINS


def made(kind: Any, value: object) -> Any:
    return TypeAdapter(kind).validate_python(value)


def refused(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        made(kind, value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("8/255", 8 / 255),
        (" 8 / 255 ", 8 / 255),
        (0.25, 0.25),
        (0, 0.0),
        (1, 1.0),
        ("1/2/2", 0.25),
        ("255/255", 1.0),
    ],
)
def test_pixels(value: object, number: float) -> None:
    assert made(Pixels, value) == number


@pytest.mark.parametrize("value", [True, None, "a", "1/0", [1], "1/b"])
def test_what_is_no_number_of_pixels(value: object) -> None:
    assert "is not a number; write pixel units" in refused(Pixels, value)


@pytest.mark.parametrize(
    ("value", "meant"), [(8, 8), ("2", 2), (255, 255), (256, None), (1.5, None), (-1, None), ("3/2", None)]
)
def test_a_level_is_recognised(value: object, meant: int | None) -> None:
    message = refused(Pixels, value)
    assert "outside 0-1" in message
    assert (f"did you mean {meant}/255?" in message) if meant else ("did you mean" not in message)


def test_a_step_moves() -> None:
    assert made(Step, "2/255") == 2 / 255
    assert "moves nothing" in refused(Step, 0)


def test_norms() -> None:
    assert [made(Norm, name) for name in ("linf", "l2")] == ["linf", "l2"]
    assert "unknown norm 'l1'" in refused(Norm, "l1")


@pytest.mark.parametrize("value", [0, 0.0, 1.01, -0.5, "0.5"])
def test_shares_are_above_nothing_and_at_most_all(value: object) -> None:
    refused(Share, value)


def test_smallest_values() -> None:
    assert (made(Share, 1e-9), made(Share, 1.0), made(Count, 1)) == (1e-9, 1.0, 1)
    refused(Count, 0)
    refused(Count, True)


@pytest.mark.parametrize(
    ("value", "pairs"),
    [
        ({3: 5, 5: 3}, ((3, 5), (5, 3))),
        ([[5, 0], (1, 2)], ((1, 2), (5, 0))),
        ("cifar10", ((2, 0), (3, 5), (4, 7), (5, 3), (9, 1))),
    ],
)
def test_maps_of_classes(value: object, pairs: tuple[tuple[int, int], ...]) -> None:
    assert made(ClassMap, value) == pairs


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("cifar11", "did you mean 'cifar10'"),
        ({}, "is no map of classes"),
        (7, "is no map of classes"),
        ({3: 3}, "is no map of classes"),
        ([[1, 2, 3]], "is no map of classes"),
        ([[1, True]], "is no map of classes"),
        ([[1, -1]], "is no map of classes"),
        ([[1, 2.0]], "is no map of classes"),
        ([12], "is no map of classes"),
        ([[1, 2], [1, 3]], "has a class twice"),
    ],
)
def test_what_is_no_map_of_classes(value: object, message: str) -> None:
    assert message in refused(ClassMap, value)


def test_corruptions() -> None:
    assert made(CorruptionName, "fog") == "fog"
    assert made(CorruptionName, ["fog"]) == "fog"
    assert made(CorruptionName, ["snow", "fog"]) == ("fog", "snow")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "is no corruption"),
        (3, "is no corruption"),
        (["fog", 3], "is no corruption"),
        (["fog", "fog"], "names a corruption twice"),
        ("fogg", "did you mean 'fog'"),
        (["fog", "snw"], "did you mean 'snow'"),
    ],
)
def test_what_is_no_corruption(value: object, message: str) -> None:
    assert message in refused(CorruptionName, value)


def test_scores_are_known_by_name() -> None:
    assert made(ScoreName, "el2n") == "el2n"
    assert "did you mean 'el2n'" in refused(ScoreName, "el2m")


def test_percentiles_are_a_window_of_the_hardest_first() -> None:
    given = {"percentiles": [20, 80], "by": "el2n"}
    assert as_window(given) == {"by": "el2n", "fraction": 0.6, "which": "window", "offset": 0.2}
    assert as_window({"percentiles": (70, 100)}) == {"fraction": 0.3, "which": "hardest"}
    assert as_window({"percentiles": [0, 100]}) == {"fraction": 1.0, "which": "hardest"}
    assert as_window({"percentiles": [0, 0.5]}) == {"fraction": 0.005, "which": "window", "offset": 0.995}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"percentiles": [20, 80], "fraction": 0.5, "which": "hardest"}, "leave fraction, which out"),
        ({"percentiles": [20]}, "give the lower and the upper"),
        ({"percentiles": [0.2, 0.8]}, "they are in percent"),
        ({"percentiles": [1, 2, 3]}, "give the lower and the upper"),
        ({"percentiles": [True, 80]}, "give the lower and the upper"),
        ({"percentiles": "20"}, "give the lower and the upper"),
        ({"percentiles": ["20", 80]}, "give the lower and the upper"),
        ({"percentiles": [80, 20]}, "0 <= lower < upper <= 100"),
        ({"percentiles": [20, 20]}, "0 <= lower < upper <= 100"),
        ({"percentiles": [-1, 20]}, "0 <= lower < upper <= 100"),
        ({"percentiles": [20, 101]}, "0 <= lower < upper <= 100"),
    ],
)
def test_percentiles_that_say_nothing(given: dict[str, Any], message: str) -> None:
    with pytest.raises(PydanticCustomError, match=message):
        as_window(given)


def test_a_plug_in_is_taken_as_it_is_unless_it_is_forbidden(monkeypatch: pytest.MonkeyPatch) -> None:
    assert made(CorruptionName, "own.module:noise") == "own.module:noise"
    assert made(ScoreName, "own.module:score") == "own.module:score"
    monkeypatch.setenv(PLUGINS, "off")
    assert "own.module:noise" in refused(CorruptionName, "own.module:noise")
    assert "--allow-plugins" in refused(ScoreName, "own.module:score")
