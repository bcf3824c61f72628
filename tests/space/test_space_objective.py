"""By what a search is judged, and which regime is meant where none is named."""

import pytest

from hsl.hardness.schema.regimes import Regime
from hsl.space.objective import SpaceRegime, default_regime, metric_name


@pytest.mark.parametrize(
    ("named", "regimes", "expected"),
    [(None, ["b", "a"], "b"), ("a", ["b", "a"], "a"), ("", ["b", "a"], "b"), (None, {"x": 1, "y": 2}, "x")],
)
def test_the_first_regime_is_meant_where_none_is_named(named, regimes, expected):
    assert default_regime(named, regimes) == expected


def test_columns_of_objectives():
    assert metric_name("matched") == "val_matched_accuracy"
    assert metric_name("clean") == "val_clean_accuracy"
    assert metric_name("worst_class") == "val_worst_class_accuracy"


def test_the_objective_is_no_part_of_what_makes_data_hard():
    given = {"label_noise": {"rate": 0.25}}
    judged = SpaceRegime.model_validate({**given, "objective": "clean"})
    assert judged.objective == "clean"
    assert SpaceRegime().objective is None
    assert type(judged.hardness) is Regime
    assert judged.hardness == Regime.model_validate(given)
