"""What more choice is worth, against all subsets and against a simulated search."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from results_rows import cell_row, filled, trial_row

from hsl.results.advantage import advantage, expected_best
from hsl.results.best import best
from hsl.results.show.text import caption, summary
from hsl.store.store import Store

values = st.lists(st.floats(0, 1), min_size=1, max_size=7)


@given(values, st.data())
def test_the_expected_best_is_the_mean_over_all_subsets(found: list[float], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(found)))
    assert expected_best(found, count) == pytest.approx(
        fmean(max(some) for some in combinations(found, count))
    )


@given(values, values)
def test_whoever_has_more_has_the_advantage(mine: list[float], its: list[float]) -> None:
    gain, loss = advantage(mine, its), advantage(its, mine)
    assert gain is not None
    assert gain == -(loss or 0.0)
    assert (gain >= 0) if len(mine) >= len(its) else (gain <= 0)
    if len(mine) == len(its):
        assert gain == 0


def test_nothing_is_known_of_a_side_without_values() -> None:
    assert advantage([], [0.5]) is None
    assert advantage([0.5], []) is None


def test_it_is_the_gain_of_the_best_of_24_over_the_best_of_8() -> None:
    """Of equally good configurations, by the noise of validation alone."""
    random = np.random.default_rng(0)
    found = random.normal(0, 1, (2000, 24))
    told = fmean(advantage(row.tolist(), [0.0] * 8) or 0.0 for row in found)
    assert told == pytest.approx(found.max(1).mean() - found[:, :8].max(1).mean(), abs=0.05)


def searched(path: Path, sparse: int, dense: int) -> Store:
    """A regime with two sparse cells and a dense one, each with its number of finished configurations."""
    random = np.random.default_rng(1)
    rows, cells = [], []
    for cell, sparsity, count in (("dense", 0.0, dense), ("0.8", 0.8, sparse), ("0.9", 0.9, sparse)):
        levels = {"regime": "clean"} | ({"sparsity": sparsity} if sparsity else {})
        cells.append(cell_row(cell=cell, levels=levels, baseline=not sparsity))
        kind = {"cell": cell, "sparsity": sparsity, "method": "set" if sparsity else "dense"}
        for number in range(count):
            own = {"configuration_id": f"{cell}-{number}", "objective": random.normal(0.8, 0.01)}
            rows.append(trial_row(**kind, **own, val_matched_accuracy=0.8, test_matched_accuracy=0.8))
        rows.append(trial_row(**kind, configuration_id=f"{cell}-x", status="stopped", objective=0.99))
    return filled(path, rows, cells)


def test_best_says_how_many_each_side_has_had(tmp_path: Path) -> None:
    store = searched(tmp_path, 8, 8)
    found = best(store)
    for row in found.to_pylist():
        assert row["finished"] == 8
        assert (row["dense_finished"], row["advantage"]) == ((None, None) if row["baseline"] else (8, 0.0))
    assert "advantage" not in summary(found).column_names
    assert "advantage" not in caption(found)
    (pooled,) = [row for row in best(store, by=["regime"]).to_pylist() if not row["baseline"]]
    trials = [row for row in store.read("trials").to_pylist() if row["status"] == "completed"]
    own = [row["objective"] for row in trials if row["sparsity"] > 0]
    assert (pooled["finished"], pooled["dense_finished"]) == (16, 8)
    assert pooled["advantage"] == pytest.approx(max(own) - expected_best(own, 8))
    assert pooled["advantage"] > 0


def test_people_see_the_advantage_where_the_sides_are_unequal(tmp_path: Path) -> None:
    found = best(searched(tmp_path, 3, 6))
    rows = summary(found).to_pylist()
    assert [row["of"] for row in rows] == ["6", "3 / 6", "3 / 6"]
    assert all(row["advantage"].startswith("-") for row in rows[1:])
    assert "what the best of so many more is expected to gain" in caption(found).replace("\n", " ")
