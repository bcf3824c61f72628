"""One trial, one cell."""

from __future__ import annotations

from pathlib import Path

import pytest
from results_rows import cell_row, filled, trial_row

from hsl.errors import NothingMatchedError
from hsl.results.dense import counterparts
from hsl.results.inspect import for_people, inspect
from hsl.store.store import Store

HOSTILE = "it's'; DROP TABLE trials"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    cells = [
        cell_row(cell="a/0.9", regime="a", levels={"regime": "a", "sparsity": 0.9}),
        cell_row(cell="a/dense", regime="a", levels={"regime": "a"}, baseline=True),
        cell_row(cell="b/dense", regime="b", levels={"regime": "b"}, baseline=True),
        cell_row(cell=HOSTILE, regime="b", levels={"regime": "b", "sparsity": 0.9}),
    ]
    dense = {"cell": "a/dense", "regime": "a", "method": "dense", "sparsity": 0.0}
    trials = [
        trial_row(trial_id="x-0", configuration_id="x", cell="a/0.9", regime="a", objective=0.9),
        trial_row(trial_id="y-0", configuration_id="y", cell="a/0.9", regime="a", objective=0.8),
        trial_row(
            trial_id="y-1",
            configuration_id="y",
            cell="a/0.9",
            regime="a",
            stage="confirm",
            test_matched_accuracy=0.5,
            seed=1,
        ),
        trial_row(trial_id="z-0", configuration_id="z", cell="a/0.9", regime="a", status="stopped"),
        trial_row(trial_id="d-0", configuration_id="d", objective=0.9, **dense),
        trial_row(trial_id="e-0", configuration_id="e", objective=0.7, **dense),
        trial_row(trial_id="q-0", configuration_id="q", cell=HOSTILE, regime="b"),
    ]
    return filled(tmp_path, trials, cells)


def test_trials_of_a_cell_are_ranked_beside_dense(store: Store) -> None:
    found = inspect(store, "a/0.9").to_pylist()
    assert [(row["role"], row["rank"], row["trial_id"]) for row in found] == [
        ("winner", 1, "y-1"),  # confirmed goes before better by the seed that selected it
        ("winner", 1, "y-0"),
        ("candidate", 2, "x-0"),
        ("candidate", None, "z-0"),
        ("dense", 1, "d-0"),
    ]
    assert for_people(inspect(store, "a/0.9"))["parameters"][0].as_py() == "lr=0.1"


def test_everything_about_a_trial(store: Store) -> None:
    found = inspect(store, "x-0")
    assert found.to_pylist() == [row for row in store.read("trials").to_pylist() if row["trial_id"] == "x-0"]
    shown = {row["property"]: row["value"] for row in for_people(found).to_pylist()}
    assert shown["configuration.training.lr"] == "0.1"
    assert shown["seconds"] == "2 s"
    assert "reason" not in shown


def test_a_name_is_never_sql(store: Store) -> None:
    assert inspect(store, HOSTILE)["trial_id"].to_pylist() == ["q-0"]


def test_cell_without_trials_is_empty(store: Store) -> None:
    assert len(inspect(store, "b/dense")) == 0


def test_unknown_name_lists_what_is_there(store: Store) -> None:
    with pytest.raises(NothingMatchedError, match=r"'a/0.8'.*did you mean 'a/0.9'"):
        inspect(store, "a/0.8")


@pytest.mark.parametrize(
    ("cell", "dense"), [("a/0.9", "a/dense"), (HOSTILE, "b/dense"), ("a/dense", "a/dense")]
)
def test_dense_cell_has_the_same_regime(cell: str, dense: str | None, store: Store) -> None:
    assert counterparts(store.read("cells"), store.read("trials")).get(cell) == dense
