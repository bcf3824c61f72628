"""Which samples stay: defaults of every way to say it, both sides of every limit, and what contradicts itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import ValidationError

from hsl.hardness.schema.keep import SCORING_EPOCH, SCORING_MODELS, Keep, LongTail, usual_epoch

HALF: dict[str, Any] = {"fraction": 0.5}
EL2N: dict[str, Any] = {"fraction": 0.5, "by": "el2n"}
NOTHING: dict[str, Any] = {
    "count": None,
    "by": "random",
    "which": "random",
    "offset": None,
    "mislabel_cut": None,
    "power": None,
    "own": None,
    "long_tail": None,
    "class_balanced": False,
    "models": None,
    "epoch": None,
    "ties": None,
    "precision": None,
    "budget": "epochs",
}
SCORED: dict[str, Any] = {
    **NOTHING,
    "by": "el2n",
    "which": "hardest",
    "models": 10,
    "epoch": 0.1,
    "ties": "keyed",
}
SCORED["precision"] = "double"
TAIL: dict[str, Any] = {"imbalance": 0.1}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (HALF, {**NOTHING, "fraction": 0.5}),
        (EL2N, {**SCORED, "fraction": 0.5}),
        ({**EL2N, "which": "easiest"}, {**SCORED, "fraction": 0.5, "which": "easiest"}),
        ({**EL2N, "by": "forgetting"}, {**SCORED, "fraction": 0.5, "by": "forgetting", "epoch": 1.0}),
        ({**EL2N, "models": 2, "epoch": 0.5}, {**SCORED, "fraction": 0.5, "models": 2, "epoch": 0.5}),
        ({**EL2N, "models": None, "epoch": None}, {**SCORED, "fraction": 0.5}),
        (
            {**EL2N, "which": "stratified"},
            {**SCORED, "fraction": 0.5, "which": "stratified", "mislabel_cut": 0.0},
        ),
        (
            {**EL2N, "which": "probabilistic"},
            {**SCORED, "fraction": 0.5, "which": "probabilistic", "power": 1.0},
        ),
        (
            {"by": "el2n", "percentiles": [20, 80]},
            {**SCORED, "fraction": 0.6, "which": "window", "offset": 0.2},
        ),
        ({"by": "el2n", "percentiles": [20, 100]}, {**SCORED, "fraction": 0.8}),
        ({"count": 5}, {**NOTHING, "fraction": 1.0, "count": 5}),
        (
            {"long_tail": TAIL},
            {**NOTHING, "fraction": 1.0, "long_tail": {"imbalance": 0.1, "profile": "exponential"}},
        ),
    ],
)
def test_defaults_are_written_out(given: dict[str, Any], expected: dict[str, Any]) -> None:
    assert Keep.model_validate(given).model_dump() == expected


@pytest.mark.parametrize(
    ("field", "base", "accepted", "refused"),
    [
        ("fraction", {}, (1e-9, 0.5, 1.0), (0.0, -0.1, 1.001, math.nan)),
        ("count", {}, (1, 10**6), (0, -1, 1.5, True)),
        ("models", EL2N, (1, 10), (0, -1, 1.5)),
        ("epoch", EL2N, (1e-9, 1.0), (0.0, 1.001, math.nan)),
        ("offset", {**EL2N, "which": "window"}, (1e-9, 0.5), (0.0, -0.1, 1.0)),
        ("mislabel_cut", {**EL2N, "which": "stratified"}, (0.0, 0.5), (-0.001, 1.0, math.nan)),
        ("power", {**EL2N, "which": "probabilistic"}, (1e-9, 1.0, 99.0), (0.0, -1.0, math.inf, math.nan)),
        ("budget", HALF, ("epochs", "steps"), ("samples",)),
        ("ties", EL2N, ("keyed", "id"), ("random", "")),
        ("precision", EL2N, ("double", "single"), ("half", 64)),
        ("class_balanced", EL2N, (True, False), (1, "yes")),
    ],
)
def test_both_sides_of_every_limit(
    field: str, base: dict[str, Any], accepted: tuple[Any, ...], refused: tuple[Any, ...]
) -> None:
    for value in accepted:
        assert getattr(Keep.model_validate({**base, field: value}), field) == value
    for value in refused:
        with pytest.raises(ValidationError):
            Keep.model_validate({**base, field: value})


@pytest.mark.parametrize(("imbalance", "fits"), [(0.0, False), (1e-9, True), (0.999, True), (1.0, False)])
def test_a_long_tail_lies_between_nothing_and_balance(imbalance: float, fits: bool) -> None:
    if fits:
        assert LongTail(imbalance=imbalance).model_dump() == {
            "imbalance": imbalance,
            "profile": "exponential",
        }
        return
    with pytest.raises(ValidationError):
        LongTail(imbalance=imbalance)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({**HALF, "which": "hardest"}, "which: hardest needs a score"),
        ({**HALF, "models": 3}, "models, epoch, ties and precision belong to a score"),
        ({**HALF, "epoch": 0.5}, "models, epoch, ties and precision belong to a score"),
        ({**HALF, "ties": "id"}, "models, epoch, ties and precision belong to a score"),
        ({**HALF, "precision": "single"}, "models, epoch, ties and precision belong to a score"),
        ({**EL2N, "which": "random"}, "which: random does not look at el2n"),
        ({"count": 5, "by": "el2n"}, "a count by el2n does not say"),
        ({"long_tail": TAIL, "by": "el2n"}, "a long tail is drawn at random"),
        ({"long_tail": TAIL, "class_balanced": True}, "a long tail is drawn at random"),
        ({"count": 5, **HALF}, "fraction, count and long_tail each say"),
        ({"long_tail": TAIL, **HALF}, "fraction, count and long_tail each say"),
        ({"long_tail": TAIL, "count": 5}, "fraction, count and long_tail each say"),
        ({**EL2N, "offset": 0.1}, "offset belongs to which: window"),
        ({**EL2N, "mislabel_cut": 0.1}, "mislabel_cut belongs to which: stratified"),
        ({**EL2N, "power": 2.0}, "power belongs to which: probabilistic"),
        ({**EL2N, "which": "window"}, "a window needs an offset"),
        ({**EL2N, "which": "window", "offset": 0.501}, r"0\.501 of the samples are left out, so no 0\.5"),
        ({**EL2N, "which": "stratified", "mislabel_cut": 0.6}, r"0\.6 of the samples are left out"),
        ({**EL2N, "by": "aum", "which": "probabilistic"}, "probabilistic needs a score of at least 0"),
        ({**HALF, "share": 0.5}, "share"),
        ([1], "Keep"),
    ],
)
def test_what_contradicts_itself_is_refused(given: Any, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Keep.model_validate(given)


def test_a_whole_order_may_be_left_out_but_for_rounding() -> None:
    for fraction, offset in ((0.5, 0.5), (0.7, 0.3), (0.9, 0.1), (1 / 3, 2 / 3)):
        Keep.model_validate({"fraction": fraction, "by": "el2n", "which": "window", "offset": offset})


@pytest.mark.parametrize(
    ("given", "keeps_all", "options"),
    [
        (HALF, False, {}),
        ({"fraction": 1.0}, True, {}),
        ({"fraction": 1.0, "by": "el2n"}, True, {}),
        ({"count": 5}, False, {}),
        ({"long_tail": TAIL}, False, {}),
        ({**EL2N, "which": "window", "offset": 0.25}, False, {"offset": 0.25}),
        ({**EL2N, "which": "stratified"}, False, {"mislabel_cut": 0.0}),
        ({**EL2N, "which": "probabilistic", "power": 2.0}, False, {"power": 2.0}),
    ],
)
def test_what_a_selection_is_given(given: dict[str, Any], keeps_all: bool, options: dict[str, float]) -> None:
    keep = Keep.model_validate(given)
    assert (keep.keeps_all, keep.options) == (keeps_all, options)


def test_scores_are_asked_when_their_papers_asked_them() -> None:
    """Ten models at epoch 20 of 200 (Data Diet); a trajectory is that of a whole training."""
    assert (SCORING_MODELS, SCORING_EPOCH) == (10, 20 / 200)
    for score in ("el2n", "grand", "loss"):
        assert usual_epoch(score) == 0.1
    for score in ("forgetting", "aum"):
        assert usual_epoch(score) == 1.0
