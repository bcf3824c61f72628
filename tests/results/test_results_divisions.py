"""Answers over several divisions of a data set: winners are never chosen among them, and each counts once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_rows import cell_row, filled, trial_row
from scipy import stats

from hsl.errors import HslError
from hsl.results.best import best
from hsl.results.claims.view import read_tables
from hsl.results.compare import compare
from hsl.results.divisions import ALIKE_SPLITS, FEW_SPLITS, pooled
from hsl.results.show.text import caption, compared, compared_caption, summary
from hsl.store.store import Store

DENSE: dict[str, Any] = {"method": "dense", "distribution": None, "sparsity": 0.0}
GAINS = (0.02, 0.05, 0.01)
NOISE = (0.0, 0.01, -0.01)


def divided(folder: Path, gains: tuple[float, ...] = GAINS, confirmed: bool = True) -> Store:
    """Of each division two sparse configurations, of which the better one gains over dense; tests get easier."""
    trials, cells = [], []
    for split, gain in enumerate(gains):
        for cell, own in ((f"{split}/0.9", {}), (f"{split}/dense", DENSE)):
            baseline = bool(own)
            levels = {"regime": "clean", "split.seed": split} | ({} if baseline else {"sparsity": 0.9})
            cells.append(cell_row(cell=cell, levels=levels, baseline=baseline))
            for name, extra in (("good", gain), ("bad", gain - 0.3))[: 1 if baseline else 2]:
                for seed, noise in enumerate(NOISE):
                    test = 0.5 + 0.1 * split + noise + (0 if baseline else extra + 0.001 * seed)
                    trials.append(
                        trial_row(
                            cell=cell,
                            split_seed=split,
                            configuration_id=f"{cell}/{name}",
                            **{"stage": "confirm" if confirmed else "search", "seed": seed, **own},
                            objective=test,
                            val_matched_accuracy=test,
                            test_matched_accuracy=test,
                        )
                    )
    return filled(folder, trials, cells)


def sparse(table: Any) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if not row.get("baseline")]


def test_a_winner_of_every_division_counts_once(tmp_path: Path) -> None:
    store = divided(tmp_path)
    (row,) = sparse(best(store))
    gains = np.array(GAINS) + 0.001
    tests = 0.5 + 0.1 * np.arange(3) + gains
    assert (row["splits"], row["seeds"], row["configuration_id"]) == (3, 9, None)
    assert (row["method"], row["difference_kind"], row["difference_note"]) == ("rigl", "paired", None)
    assert (row["test_mean"], row["difference"]) == pytest.approx((tests.mean(), gains.mean()))
    assert row["candidates"] == 2
    ends = stats.ttest_1samp(gains, 0).confidence_interval(0.975)  # of two
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((ends.low, ends.high))
    ends = stats.ttest_1samp(tests, 0).confidence_interval(0.975)
    assert (row["test_low"], row["test_high"]) == pytest.approx((ends.low, ends.high))


def test_best_and_compare_say_the_same(tmp_path: Path) -> None:
    store = divided(tmp_path)
    (row,) = sparse(best(store))
    (other,) = compare(store, "NOT baseline", "baseline").to_pylist()
    names = ("difference", "difference_low", "difference_high", "splits", "candidates")
    assert [other[name] for name in names] == pytest.approx([row[name] for name in names])
    expected = stats.ttest_1samp(np.array(GAINS) + 0.001, 0).pvalue
    assert (other["seeds"], other["p_value"]) == (3, pytest.approx(2 * expected))


def test_by_division_each_has_its_own_winner_and_interval(tmp_path: Path) -> None:
    rows = sparse(best(divided(tmp_path), by=["split_seed"]))
    assert [row["splits"] for row in rows] == [1, 1, 1]
    assert [row["difference"] for row in rows] == pytest.approx([gain + 0.001 for gain in GAINS])
    assert [row["configuration_id"] for row in rows] == [f"{split}/0.9/good" for split in range(3)]


@pytest.mark.parametrize("asked", [{"top": 2}, {"pareto": ("accuracy", "seconds")}])
def test_more_than_the_first_is_of_one_division(tmp_path: Path, asked: dict[str, Any]) -> None:
    store = divided(tmp_path)
    assert "split_seed" in best(store, **asked).column_names
    with pytest.raises(HslError, match="add split_seed to by"):
        best(store, by=["regime"], **asked)


@pytest.mark.parametrize(
    ("gains", "note"), [(GAINS[:2], FEW_SPLITS), ((0.02, 0.02, 0.02), ALIKE_SPLITS), (GAINS, None)]
)
def test_why_there_is_no_interval(tmp_path: Path, gains: tuple[float, ...], note: str | None) -> None:
    store = divided(tmp_path, gains)
    (row,) = sparse(best(store))
    (other,) = compare(store, "configuration_id LIKE '%good' AND NOT baseline", "baseline").to_pylist()
    assert row["difference_note"] == note
    assert (row["difference_low"] is None) == (other["difference_low"] is None) == (note is not None)
    assert note is None or other["verdict"] == note


def test_what_is_not_confirmed_has_no_interval(tmp_path: Path) -> None:
    (row,) = sparse(best(divided(tmp_path, confirmed=False)))
    assert (row["splits"], row["confirmed"], row["difference_kind"]) == (3, False, "point")
    assert row["test_low"] is row["difference_low"] is row["difference_note"] is None


def test_divisions_of_one_side_only_are_left_out_of_a_comparison(tmp_path: Path) -> None:
    store = divided(tmp_path)
    (row,) = compare(store, "method = 'rigl' AND split_seed < 2", "baseline AND split_seed > 0").to_pylist()
    assert (row["splits"], row["seeds"], row["b_mean"]) == (1, 3, pytest.approx(0.6))


def test_people_are_told(tmp_path: Path) -> None:
    store = divided(tmp_path)
    found, other = best(store), compare(store, "method = 'rigl'", "baseline")
    assert "3 splits" in summary(found).to_pylist()[-1]["test % [95 % CI] n"]
    assert compared(other).to_pylist()[0]["n"] == "3 x 3 splits"
    for said in (caption(found), compared_caption(other, "a", "b")):
        assert "Of rows of several splits they are over splits and training seeds" in said
    assert "several splits" not in caption(best(store, by=["split_seed"]))


def test_intervals_over_divisions_hold_what_another_division_has() -> None:
    """A division, its winner, and its seeds vary; the interval over five of them holds the mean of all."""
    rng, held = np.random.default_rng(3), 0
    for _ in range(1000):
        gains = 0.01 + 0.01 * rng.normal(size=5) + 0.02 * rng.normal(size=(3, 5)).mean(0)
        rows = [_answer(gain) for gain in gains]
        (row,) = pooled(rows, ())
        held += row["difference_low"] <= 0.01 <= row["difference_high"]
    assert 0.93 <= held / 1000 <= 0.97


def _answer(gain: float) -> dict[str, Any]:
    numbers = ("dense_mean", "val_mean", "objective", "score", "seconds", "sparsity", "nonzeros")
    return {
        **dict.fromkeys((*numbers, "training_flops", "inference_flops"), 0.5),
        **dict.fromkeys(("seeds", "seeds_lost", "considered", "stopped", "failed", "candidates"), 1),
        **dict.fromkeys(("cell", "configuration_id", "method", "distribution", "parameters"), ""),
        "baseline": False,
        "confirmed": True,
        "level": 0.95,
        **dict.fromkeys(("finished", "dense_finished"), 8),
        "advantage": 0.0,
        "difference_kind": "paired",
        "test_mean": 0.5 + gain,
        "difference": gain,
    }


def test_claims_never_mix_divisions(tmp_path: Path) -> None:
    both = read_tables(divided(tmp_path / "both"))["others"].to_pylist()
    assert {row["cell"]: row["factors"] for row in both}["1/0.9"] == '{"split.seed": 1}'
    trials = [trial_row(cell="a", split_seed=0), trial_row(cell="b", split_seed=1)]
    merged = filled(tmp_path / "merged", trials, [cell_row(cell="a"), cell_row(cell="b")])
    factors = {row["factors"] for row in read_tables(merged)["others"].to_pylist()}
    assert factors == {'{"split.seed": 0}', '{"split.seed": 1}'}, "although no cell says so"
    one = read_tables(filled(tmp_path / "one", trials[:1], [cell_row(cell="a")]))["others"].to_pylist()
    assert [row["factors"] for row in one] == ["{}"]
