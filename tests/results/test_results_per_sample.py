"""Answers over seeds and test samples, from a store that keeps which samples are correct."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_rows import cell_row, filled, trial_row

from hsl.errors import StoreError
from hsl.results.best import best
from hsl.results.compare import compare
from hsl.results.crossed import crossed_interval
from hsl.results.report.evidence import gather
from hsl.results.report.significance import compare_winners
from hsl.results.report.winners import SAMPLES_TOO, section
from hsl.results.show.text import caption, compared, compared_caption, summary
from hsl.results.stats import GAIN, SHARE
from hsl.store.packed import packed
from hsl.store.store import Store

SAMPLES = np.arange(1000, 1300)
CELLS = [
    cell_row(levels={"regime": "clean", "sparsity": 0.9}),
    cell_row(cell="clean/dense", levels={"regime": "clean"}, baseline=True),
]
DENSE: dict[str, Any] = {"cell": "clean/dense", "method": "dense", "distribution": None, "sparsity": 0.0}
SPARSE: dict[str, Any] = {"cell": "clean/0.9"}


def answers(seeds: int, accuracy: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hard = rng.normal(scale=0.2, size=len(SAMPLES))
    return rng.normal(scale=0.02, size=(seeds, 1)) + hard + rng.random((seeds, len(SAMPLES))) < accuracy


def kept(
    store: Path, sides: dict[str, tuple[np.ndarray, dict[str, Any]]], ids: np.ndarray = SAMPLES
) -> Store:
    """A store of confirmed trials, and of which samples each of them has correct."""
    trials, evaluations = [], []
    for name, (correct, about) in sides.items():
        for seed, row in enumerate(correct):
            accuracy = float(row.mean())
            own = {"trial_id": f"{name}-{seed}", "configuration_id": name, "seed": seed, **about}
            both = {"test_matched_accuracy": accuracy, "test_clean_accuracy": accuracy, "objective": 0.8}
            trials.append(trial_row(stage="confirm", **own, **both))
            evaluations += [
                {
                    "trial_id": own["trial_id"],
                    "cell": about["cell"],
                    "checkpoint": checkpoint,
                    "epoch": 9,
                    "split": "test",
                    "measure": "sample",
                    "detail": "matched",
                    "accuracy": accuracy,
                    "samples": len(ids),
                    "correct": packed(ids, row if checkpoint == "final" else ~row),
                }
                for checkpoint in ("final", "best")
            ]
    made = filled(store, trials, CELLS)
    made.append("evaluations", evaluations)
    return made


@pytest.fixture
def sides() -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    return {"s": (answers(5, 0.8), SPARSE), "d": (answers(5, 0.75, 1), DENSE)}


def sparse(table: Any) -> dict[str, Any]:
    (row,) = [row for row in table.to_pylist() if not row.get("baseline")]
    return row


def test_best_and_compare_are_paired_by_seed_and_sample(tmp_path: Path, sides: Any) -> None:
    store = kept(tmp_path, sides)
    a, b = (correct.astype(float) for correct, _ in sides.values())
    row, other = sparse(best(store)), sparse(compare(store, "NOT baseline", "baseline"))
    assert row["samples"] == other["samples"] == len(SAMPLES)
    ends = (row["test_samples_low"], row["test_samples_high"])
    assert ends == pytest.approx(crossed_interval([a], 0.95, SHARE))
    for found in (row, other):
        ends = (found["difference_samples_low"], found["difference_samples_high"])
        assert ends == pytest.approx(crossed_interval([a - b], 0.95, GAIN))
        assert ends[0] < found["difference_low"] < found["difference_high"] < ends[1]


def test_other_seeds_are_paired_by_sample_alone(tmp_path: Path, sides: Any) -> None:
    sides["d"] = (sides["d"][0], DENSE)
    store = kept(tmp_path, sides)
    rows = store.read("trials").to_pylist()
    store.append("trials", [{**row, "seed": row["seed"] + 10} for row in rows if row["method"] == "dense"])
    row = sparse(best(store))
    a, b = (correct.astype(float) for correct, _ in sides.values())
    assert row["difference_kind"] == "unpaired"
    ends = (row["difference_samples_low"], row["difference_samples_high"])
    assert ends == pytest.approx(crossed_interval([a, -b], 0.95, GAIN))


def test_people_are_told_what_an_interval_covers(tmp_path: Path, sides: Any) -> None:
    store = kept(tmp_path, sides)
    found, other = best(store), compare(store, "NOT baseline", "baseline")
    line = "CI+: over training seeds and test samples, on one fixed split, of 300 samples."
    assert line in caption(found)
    assert line in compared_caption(other, "a", "b")
    (row,) = [row for row in summary(found).to_pylist() if row["difference [CI]"]]
    assert row["difference [CI+]"] == compared(other).to_pylist()[0]["difference [CI+]"]
    low, high = row["difference [CI+]"].strip("[]").split(", ")
    assert float(low) < 100 * sparse(found)["difference"] < float(high)


def test_without_them_there_is_neither_a_number_nor_a_word(tmp_path: Path, sides: Any) -> None:
    store = filled(tmp_path, kept(tmp_path / "kept", sides).read("trials").to_pylist(), CELLS)
    found = best(store)
    assert sparse(found)["samples"] is sparse(found)["difference_samples_low"] is None
    assert "CI+" not in caption(found) + "".join(summary(found).column_names)


@pytest.mark.parametrize("case", ["worst class", "one is missing", "two seeds", "other samples"])
def test_where_they_do_not_fit_there_is_no_interval(tmp_path: Path, sides: Any, case: str) -> None:
    if case == "two seeds":
        sides = {name: (correct[:2], about) for name, (correct, about) in sides.items()}
    store = kept(tmp_path, sides)
    if case in ("one is missing", "other samples"):
        rows = store.read("evaluations").to_pylist()
        row = next(row for row in rows if row["trial_id"] == "s-0" and row["checkpoint"] == "final")
        correct = packed(SAMPLES + 1, sides["s"][0][0]) if case == "other samples" else None
        store.append("evaluations", [{**row, "correct": correct}])
    row = sparse(best(store, metric="worst_class" if case == "worst class" else "matched"))
    assert row["samples"] is row["test_samples_low"] is row["difference_samples_low"] is None


def test_what_is_damaged_is_refused(tmp_path: Path, sides: Any) -> None:
    store = kept(tmp_path, sides)
    rows = store.read("evaluations").to_pylist()
    store.append("evaluations", [{**row, "correct": "no samples"} for row in rows])
    with pytest.raises(StoreError, match="predictions of samples cannot be read"):
        best(store)


def test_best_over_ten_thousand_samples_takes_less_than_a_second(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    ids = np.arange(50_000, 60_000)
    made = {"d": (rng.random((5, len(ids))) < 0.9, DENSE)}
    made |= {f"s{i}": (rng.random((5, len(ids))) < 0.9, {**SPARSE, "regime": f"r{i}"}) for i in range(12)}
    store = kept(tmp_path, made, ids)
    began = time.process_time()
    assert best(store)["samples"].null_count == 0
    assert time.process_time() - began < 1.0


def test_the_report_has_them_as_well(tmp_path: Path, sides: Any) -> None:
    store = kept(tmp_path, sides)
    (table,) = section(evidence := gather(str(tmp_path)), compare_winners(evidence, [])).tables
    assert table.columns[-1] == SAMPLES_TOO
    shown = [row[-1].text for row in table.rows]
    assert sorted(shown) == sorted(["", summary(best(store)).to_pylist()[-1]["difference [CI+]"]])
