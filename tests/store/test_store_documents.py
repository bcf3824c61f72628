"""Values that something else wrote: the message says which table, column and row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from results_rows import cell_row, trial_row

from hsl.errors import StoreError
from hsl.store.documents import document, mapping, numbers
from hsl.store.rows import require_values, to_arrow


@pytest.mark.parametrize("text", ["{", "", '{"a": NaN}', "[" * 100_000])
def test_no_json_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match=r"trials.parameters of trial_id 'a' holds no JSON"):
        document({"trial_id": "a", "parameters": text}, "trials", "parameters")


@pytest.mark.parametrize("text", ["[]", "5", '"x"'])
def test_json_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(StoreError, match=r"cells.levels of cell 'c' holds no JSON object"):
        mapping({"cell": "c", "levels": text}, "cells", "levels")


@pytest.mark.parametrize("text", ['{"a": "x"}', '{"a": true}', '{"a": 1e999}', '{"a": ' + "9" * 400 + "}"])
def test_densities_are_finite_numbers(text: str) -> None:
    with pytest.raises(
        StoreError, match=r"trials.layer_densities of trial_id 'a' holds no JSON object of finite"
    ):
        numbers({"trial_id": "a", "layer_densities": text}, "trials", "layer_densities")


def test_what_is_right_is_read() -> None:
    row = {"trial_id": "a", "layer_densities": '{"conv": 1, "fc": 0.25}', "provenance": None}
    assert numbers(row, "trials", "layer_densities") == {"conv": 1.0, "fc": 0.25}
    assert mapping(row, "trials", "provenance") == {}
    assert document(row, "trials", "provenance") is None


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("method", None, "is no value, it takes string"),
        ("status", "other", "is 'other', it takes completed, stopped, failed"),
        ("epochs", -1, "is -1, it takes 0 to"),
        ("epochs", 2**60, f"is {2**60}, it takes 0 to"),
        ("test_clean_accuracy", float("nan"), "is nan, it takes a finite number"),
        ("seconds", float("-inf"), "is -inf, it takes a finite number"),
    ],
)
def test_a_value_that_no_row_can_have_is_named(column: str, value: Any, said: str) -> None:
    rows = to_arrow("trials", [trial_row(trial_id="good"), trial_row(trial_id="bad")])
    place = rows.column_names.index(column)
    values = [rows[column][0].as_py(), value]
    changed = rows.set_column(place, rows.field(column), pa.array(values, rows.field(column).type))
    require_values("trials", rows)
    with pytest.raises(StoreError) as refused:
        require_values("trials", changed)
    assert str(refused.value).startswith(f"trials.{column} of trial_id 'bad' {said}")


def test_what_a_sweep_writes_is_never_refused() -> None:
    diverged = trial_row(status="failed", objective=None, train_loss=float("inf"), seed=2**62)
    require_values("trials", to_arrow("trials", [diverged]))
    require_values("cells", to_arrow("cells", [cell_row()]))
