"""The audit of early stopping, against scipy, closed forms and a store written by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_rows import epoch_row, trial_row
from scipy import stats

from hsl.results.audit import audit
from hsl.results.correlation import within_groups
from hsl.store.store import Store


def test_one_group_is_spearmans_correlation() -> None:
    rng = np.random.default_rng(0)
    pairs = np.round(rng.random((40, 2)), 1)
    found = within_groups([pairs.tolist()])
    assert found is not None
    assert found.rho == pytest.approx(stats.spearmanr(*pairs.T).statistic)
    assert found.count == 40
    assert found.low < found.rho < found.high


def test_a_shift_between_groups_correlates_nothing() -> None:
    rng = np.random.default_rng(1)
    groups = [rng.random((30, 2)) for _ in range(3)]
    shifted = [(group + np.array([index, index])).tolist() for index, group in enumerate(groups)]
    assert within_groups(shifted) == within_groups([group.tolist() for group in groups])
    assert abs(stats.spearmanr(*np.concatenate(shifted).T).statistic) > 0.8


@pytest.mark.parametrize(
    "groups", [[], [[(1.0, 2.0)]], [[(1.0, 2.0), (2.0, 3.0)]], [[(1.0, float(i)) for i in range(9)]]]
)
def test_too_little_says_nothing(groups: Any) -> None:
    assert within_groups(groups) is None


@pytest.mark.parametrize("rho", [0.0, 0.6])
def test_the_interval_covers_the_truth(rho: float) -> None:
    """Expected rank correlation of a bivariate normal sample of size n: 6 (asin r + (n-2) asin(r/2)) / (pi (n+1))."""
    rng, size = np.random.default_rng(2), 8
    truth = 6 * (math.asin(rho) + (size - 2) * math.asin(rho / 2)) / (math.pi * (size + 1))
    covered = 0
    for _ in range(400):
        sample = rng.multivariate_normal([0, 0], [[1, rho], [rho, 1]], size=(5, size))
        found = within_groups(sample.tolist())
        assert found is not None
        covered += found.low <= truth <= found.high
    assert 0.92 <= covered / 400 <= 0.985


def store_of(folder: Path, trials: list[dict[str, Any]]) -> Store:
    """Trials with a value at rung 4 (epoch 4) and, if completed, one at epoch 9."""
    store = Store(folder / "store")
    store.write_space("objective: clean\nearly_stopping: {kind: stratified}\n")
    epochs, rows = [], []
    for n, t in enumerate(trials):
        done = t["final"] is not None
        last = 9 if done else 4
        at_rung = {"rung": 4, "cutoff": t.get("cutoff", 0.5), "val_clean_accuracy": t["value"]}
        at_rung["evidence"] = t.get("evidence")
        epochs.append(epoch_row(trial_id=f"t{n}", cell=t["cell"], sequence=2 * n, epoch=4) | at_rung)
        rows.append(
            trial_row(
                trial_id=f"t{n}", cell=t["cell"], sequence=2 * n + 1, stage=t.get("stage", "search"), epochs=last,
                sparsity=t.get("sparsity", 0.9), exempt=t["exempt"], objective=t["final"] or t["value"],
                status="completed" if done else "stopped",
            )
        )  # fmt: skip
    store.append("epochs", epochs)
    store.append("trials", rows)
    return store


def test_what_the_exempt_trials_say(tmp_path: Path) -> None:
    trials = [
        {"cell": "a", "value": 0.9, "final": 0.90, "exempt": False},
        {"cell": "a", "value": 0.1, "final": None, "exempt": False},
        {"cell": "a", "value": 0.2, "final": None, "exempt": False},
        {
            "cell": "a",
            "value": 0.3,
            "final": 0.95,
            "exempt": True,
        },  # thrown away, it would have been the best
        {"cell": "a", "value": 0.4, "final": 0.50, "exempt": True},
        {"cell": "a", "value": 0.6, "final": 0.80, "exempt": True},  # not behind
        {"cell": "b", "value": 0.2, "final": 0.10, "exempt": True, "cutoff": None},  # none was stopped yet
        {"cell": "b", "value": 0.7, "final": 0.70, "exempt": False},
        {"cell": "b", "value": 0.1, "final": None, "exempt": False, "stage": "confirm"},
    ]
    found = audit(store_of(tmp_path, trials)).to_pylist()
    rows = {row["cell"]: row for row in found if row["cell"] or not row["kind"]}
    assert list(rows) == [None, "a", "b"]
    a = rows["a"]
    assert (a["rung"], a["epoch"], a["entries"], a["stopped"], a["exempt"], a["behind"]) == (4, 4, 6, 2, 3, 2)
    assert (a["false_stops"], a["false_stop_rate"]) == (1, 0.5)
    assert a["regret"] == pytest.approx((0.05 + 0) / 2)
    wilson = stats.binomtest(1, 2).proportion_ci(method="wilson")
    assert (a["false_stop_low"], a["false_stop_high"]) == pytest.approx((wilson.low, wilson.high))
    assert (rows["b"]["entries"], rows["b"]["behind"], rows["b"]["false_stop_rate"]) == (2, 0, None)
    assert (rows[None]["entries"], rows[None]["exempt"], rows[None]["false_stops"]) == (8, 4, 1)
    assert (rows[None]["acts"], a["acts"], rows["b"]["acts"]) == (None, True, True)


@pytest.mark.parametrize("sign", [1, -1])
def test_correlation_and_state_are_those_of_each_kind(sign: int, tmp_path: Path) -> None:
    values = np.random.default_rng(3).random(30).tolist()
    trials = [
        {"cell": f"c{n % 2}", "value": v, "final": 0.5 + sign * v / 4, "exempt": True, "evidence": 1.0 + n}
        for n, v in enumerate(values)
    ]
    dense = [{**trial, "cell": "d", "sparsity": 0.0, "cutoff": None, "final": 0.5} for trial in trials[:3]]
    found = audit(store_of(tmp_path, [*trials, *dense])).to_pylist()
    names = [(row["kind"], row["cell"]) for row in found]
    sparse = "clean, sparse"
    assert names == [
        (None, None),
        ("clean, dense", None),
        ("clean, dense", "d"),
        (sparse, None),
        (sparse, "c0"),
        (sparse, "c1"),
    ]
    kinds = {row["kind"]: row for row in found if row["cell"] is None}
    assert kinds[sparse]["correlation"] == pytest.approx(sign)
    assert (kinds[sparse]["evidence"], kinds[sparse]["acts"]) == (30.0, True)
    assert (kinds["clean, dense"]["evidence"], kinds["clean, dense"]["acts"]) == (3.0, False)


def test_a_sweep_without_rungs_has_no_audit(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.append("trials", [trial_row()])
    assert audit(store).num_rows == 0
    assert "false_stop_rate" in audit(store).column_names
