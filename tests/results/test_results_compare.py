"""Comparisons of two filters, on stores whose truth is known."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from results_rows import cell_row, filled, trial_row
from scipy import stats

from hsl.errors import HslError, NothingMatchedError, UnknownNameError
from hsl.results.best import best
from hsl.results.compare import compare
from hsl.results.show.output import show_compared
from hsl.store.store import Store


def confirmed(value: float, seed: int, method: str = "rigl", **given: Any) -> dict[str, object]:
    row = {"stage": "confirm", "seed": seed, "method": method, "test_matched_accuracy": value, "cell": method}
    return trial_row(**{"configuration_id": method} | row | given)


def pair(path: Path, a: list[float], b: list[float], shift: int = 0, **given: Any) -> Store:
    """Trials of rigl and of set; the seeds of set are `shift` further."""
    rows = [confirmed(value, seed, "rigl", **given) for seed, value in enumerate(a)]
    return filled(path, [*rows, *(confirmed(v, seed + shift, "set", **given) for seed, v in enumerate(b))])


def answer(store: Store, a: str = "method = 'rigl'", b: str = "method = 'set'", **given: Any) -> list[dict]:
    return compare(store, a, b, **given).to_pylist()


def test_null_of_a_thousand_groups(tmp_path: Path) -> None:
    generator = np.random.default_rng(5)
    seeds = generator.normal(0.8, 0.05, (1000, 5))  # what a seed does to both methods
    rows = [
        confirmed(value, seed, method, regime=f"r{group:04}")
        for method in ("rigl", "set")
        for group, values in enumerate(seeds + generator.normal(0, 0.01, (1000, 5)))
        for seed, value in enumerate(values.tolist())
    ]
    found = compare(filled(tmp_path, rows), "method = 'rigl'", "method = 'set'")
    low, high = (np.array(found[f"difference_{end}"]) for end in ("low", "high"))
    assert np.mean(np.array(found["p_value"]) < 0.05) <= 0.06
    assert 0.93 <= np.mean((low <= 0) & (high >= 0)) <= 0.97
    assert set(found["verdict"].to_pylist()) == {"no difference shown"}


def test_known_effect_is_found_and_is_scipys(tmp_path: Path) -> None:
    a, b = [0.90, 0.91, 0.95, 0.88, 0.92], [0.85, 0.87, 0.90, 0.84, 0.86]
    (row,) = answer(pair(tmp_path, a, b))
    assert row["difference_kind"] == "paired"
    assert row["p_value"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert row["difference"] == pytest.approx(row["a_mean"] - row["b_mean"])
    assert row["verdict"] == "a is better"
    (back,) = answer(Store(tmp_path), "method = 'set'", "method = 'rigl'")
    assert back["verdict"] == "b is better"
    assert back["difference"] == pytest.approx(-row["difference"])


def test_other_seeds_are_welchs(tmp_path: Path) -> None:
    a, b = [0.9, 0.91, 0.95], [0.8, 0.7, 0.86]
    (row,) = answer(pair(tmp_path, a, b, shift=10))
    assert row["difference_kind"] == "unpaired"
    assert row["p_value"] == pytest.approx(stats.ttest_ind(a, b, equal_var=False).pvalue)


@pytest.mark.parametrize(
    ("a", "b", "verdict", "p_value"),
    [
        ([0.9, 0.8, 0.7], [0.9, 0.8, 0.7], "no difference shown", 1.0),
        ([0.9, 0.8, 0.7], [0.8, 0.7, 0.6], "seeds do not vary", None),
        ([0.9, 0.9], [0.1, 0.2], "not enough seeds", None),
        ([0.9], [0.1], "not enough seeds", None),
    ],
)
def test_ties_and_few_seeds_claim_nothing(
    a: list[float], b: list[float], verdict: str, p_value: float | None, tmp_path: Path
) -> None:
    (row,) = answer(pair(tmp_path, a, b))
    assert (row["verdict"], row["p_value"]) == (verdict, p_value)
    assert (row["difference_low"], row["difference_high"]) == (None, None)


def with_dense(path: Path) -> Store:
    """Two regimes with two sparsities each and their dense baselines."""
    generator = random.Random(0)
    rows, cells = [], []
    for regime in ("clean", "pgd"):
        for sparsity in (0.0, 0.8, 0.9):
            cell, dense = f"{regime}/{sparsity}", sparsity == 0
            levels = {"regime": regime} | ({} if dense else {"sparsity": sparsity})
            cells.append(cell_row(cell=cell, regime=regime, levels=levels, baseline=dense))
            named = {"cell": cell, "configuration_id": cell, "regime": regime, "sparsity": sparsity}
            for seed in range(4):
                value = (0.9 if regime == "clean" else 0.5) + sparsity / 10 + generator.gauss(0, 0.001)
                rows.append(confirmed(value, seed, "dense" if dense else "set", **named))
    return filled(path, rows, cells)


def test_dense_is_compared_to_every_sparsity_of_its_regime(tmp_path: Path) -> None:
    rows = answer(with_dense(tmp_path), "not baseline", "baseline")
    assert [(row["regime"], row["sparsity"]) for row in rows] == [
        ("clean", 0.8),
        ("clean", 0.9),
        ("pgd", 0.8),
        ("pgd", 0.9),
    ]
    for row in rows:
        assert row["difference"] == pytest.approx(row["sparsity"] / 10, abs=0.004)
        assert row["b_mean"] == pytest.approx(0.9 if row["regime"] == "clean" else 0.5, abs=0.004)


def test_without_groups_regimes_are_paired_with_themselves(tmp_path: Path) -> None:
    (row,) = answer(with_dense(tmp_path), "sparsity = 0.9", "sparsity = 0.8", by=())
    assert row["difference"] == pytest.approx(0.01, abs=0.002)
    assert row["seeds"] == 4  # the seeds are the sample, not seeds times regimes
    assert row["difference_high"] - row["difference_low"] < 0.02  # regimes 0.4 apart do not widen it


def test_sides_of_different_sparsity_are_grouped_by_regime(tmp_path: Path) -> None:
    rows = answer(with_dense(tmp_path), "sparsity = 0.9", "sparsity = 0.8")
    assert [row["regime"] for row in rows] == ["clean", "pgd"]
    assert "sparsity" not in rows[0]


def test_search_stopped_and_failed_trials_do_not_count(tmp_path: Path) -> None:
    store = pair(tmp_path, [0.9, 0.8, 0.7], [0.7, 0.5, 0.6])
    before = answer(store)
    for change in ({"stage": "search"}, {"status": "stopped"}, {"status": "failed"}):
        store.append("trials", [confirmed(0.0, 1, **change)])
    store.append("trials", [confirmed(float("nan"), 2)])
    assert answer(store) == [{**row, "seeds_lost": 3} for row in before], "they are said, and do not count"


def test_winners_are_compared_and_not_their_runners_up(tmp_path: Path) -> None:
    """As `best` chooses them, by validation: the runner-up of rigl is worse, that of set is better on test."""
    rows = [
        confirmed(value + seed / 1000, seed, method, configuration_id=f"{method} {name}", objective=objective)
        for method, name, objective, value in (
            ("rigl", "first", 0.9, 0.8), ("rigl", "second", 0.8, 0.3),
            ("set", "first", 0.9, 0.7), ("set", "second", 0.8, 0.95),
        )
        for seed in range(4)
    ]  # fmt: skip
    store = filled(tmp_path, rows)
    (row,) = answer(store)
    assert (row["seeds"], row["seeds_lost"]) == (4, 0)
    assert row["difference"] == pytest.approx(0.1)
    means = {row["method"]: row["test_mean"] for row in best(store, by=["method"]).to_pylist()}
    assert (row["a_mean"], row["b_mean"]) == pytest.approx((means["rigl"], means["set"]))


def test_best_and_compare_count_the_same_seeds(tmp_path: Path) -> None:
    """One configuration has a seed without a test accuracy and one without an objective, which would make it first."""
    rows = [confirmed(0.9, seed, "rigl", configuration_id="a", objective=0.8) for seed in range(4)]
    rows.append(confirmed(float("nan"), 4, "rigl", configuration_id="a", objective=0.99))
    rows.append(confirmed(0.1, 5, "rigl", configuration_id="a", objective=float("nan")))
    rows += [
        confirmed(0.7 + seed / 100, seed, "rigl", configuration_id="b", objective=0.82) for seed in range(5)
    ]
    rows += [confirmed(0.5 + seed / 90, seed, "set", configuration_id="c") for seed in range(5)]
    store = filled(tmp_path, rows)
    (row,) = answer(store)
    shown = {row["method"]: row for row in best(store, by=["method"], top=2).to_pylist() if row["rank"] == 1}
    assert (row["a_mean"], row["seeds"]) == (shown["rigl"]["test_mean"], shown["rigl"]["seeds"])
    other = next(
        row for row in best(store, by=["method"], top=2).to_pylist() if row["configuration_id"] == "a"
    )
    assert (other["seeds"], other["seeds_lost"], other["test_mean"]) == (4, 2, pytest.approx(0.9))


def test_lost_seeds_and_those_of_an_unpaired_test_are_counted(tmp_path: Path) -> None:
    rows = [confirmed(0.9 + n / 1000, n, "rigl") for n in range(5)]
    rows += [confirmed(0.5 + n / 999, n + 4, "set") for n in range(5)]
    rows.append(confirmed(0.0, 9, "set", status="failed"))
    (row,) = answer(filled(tmp_path, rows))
    assert (row["difference_kind"], row["seeds"], row["seeds_lost"]) == ("unpaired", 5, 1)


@pytest.mark.parametrize(
    ("a", "b", "given", "error", "message"),
    [
        ("1 = 1", "method = 'set'", {}, HslError, "3 trials match both"),
        ("method = 'gmp'", "method = 'set'", {}, NothingMatchedError, "matches \"method = 'gmp'\""),
        ("method = 'rigl'", "method = 'set'", {"by": ("method",)}, NothingMatchedError, "in common"),
        ("method = 'rigl'", "method = 'set'", {"by": ("metod",)}, UnknownNameError, "did you mean 'method'"),
        ("method = 'rigl'", "method = 'set'", {"metric": "mached"}, UnknownNameError, "matched"),
        ("true; DROP TABLE trials", "method = 'set'", {}, HslError, "condition"),
        ("trial_id IN (SELECT content FROM read_text('/etc/passwd'))", "true", {}, HslError, "condition"),
    ],
)
def test_what_cannot_be_compared(
    a: str, b: str, given: dict[str, Any], error: type[HslError], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        compare(pair(tmp_path, [0.9, 0.8, 0.7], [0.7, 0.5, 0.6]), a, b, **given)


def test_shown_for_people(tmp_path: Path) -> None:
    stream = io.StringIO()
    found = compare(with_dense(tmp_path), "sparsity = 0.9", "baseline")
    show_compared(found, "sparsity = 0.9", "baseline\x1b[2J", stream=stream)
    shown = stream.getvalue()
    assert "a is better" in shown
    assert "Benjamini-Hochberg" in shown
    assert "\x1b" not in shown


def test_sides_that_average_several_cells_say_so(tmp_path: Path) -> None:
    store = with_dense(tmp_path)
    (row,) = answer(store, "sparsity = 0.9", "sparsity = 0.8", by=())
    assert (row["a_cells"], row["b_cells"]) == (2, 2)  # clean and pgd
    shown = people(store, "sparsity = 0.9", "sparsity = 0.8", by=())
    assert "cells a, b" in shown
    assert "is the mean of their winners" in shown
    apart = people(store, "sparsity = 0.9", "sparsity = 0.8")
    assert "cells" not in apart.replace("winner of each cell", "")


def people(store: Store, a: str, b: str, **given: Any) -> str:
    stream = io.StringIO()
    show_compared(compare(store, a, b, **given), a, b, stream=stream)
    return stream.getvalue()
