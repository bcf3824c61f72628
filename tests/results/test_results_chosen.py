"""Worlds without differences: intervals and verdicts hold although the best of several cells is what they are about."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from results_rows import cell_row, filled, trial_row
from scipy import stats

from hsl.errors import HslError
from hsl.results.best import best
from hsl.results.compare import compare
from hsl.results.stats import level_of_chosen
from hsl.store.store import Store

SEEDS, REGIMES = 5, 500
PROMISED = 0.025
MARGIN = 3 * np.sqrt(PROMISED * (1 - PROMISED) / REGIMES)


def world(path: Path, cells: int, configurations: int = 1) -> tuple[Store, np.ndarray, np.ndarray]:
    """Regimes with a dense cell and sparse ones that are all equally good: the network of a seed decides.

    Validation sees the same network as test, so that whichever is chosen by it is lucky in both.

    Returns:
        The store, and the validation and test accuracies [regimes, cells x configurations, seeds].
    """
    random = np.random.default_rng(cells + 10 * configurations)
    shape = (REGIMES, 1 + cells * configurations, SEEDS)
    networks = random.normal(0.8, 0.01, shape)
    val, test = (networks + random.normal(0, 0.003, shape) for _ in range(2))
    trials, rows = [], []
    for regime in range(REGIMES):
        name = f"r{regime:04}"
        for place in range(shape[1]):
            dense, cell, number = place == 0, (place - 1) // configurations, (place - 1) % configurations
            sparsity = 0.0 if dense else round(0.5 + 0.04 * cell, 2)
            levels = {"regime": name} | ({} if dense else {"sparsity": sparsity})
            named = {"cell": f"{name}/{'dense' if dense else sparsity}", "regime": name}
            if dense or number == 0:
                rows.append(cell_row(**named, levels=levels, baseline=dense))
            kind = {"method": "dense" if dense else "set", "sparsity": sparsity, "stage": "confirm"}
            configuration = f"{name}-{place}"
            for seed in range(SEEDS):
                values = {
                    "objective": val[regime, place, seed],
                    "test_matched_accuracy": test[regime, place, seed],
                }
                trials.append(trial_row(**named, **kind, **values, seed=seed, configuration_id=configuration))
    return filled(path, trials, rows), val[:, 1:], test - test[:, :1]


def falsely_better_without_correction(val: np.ndarray, gains: np.ndarray) -> float:
    """Share of regimes whose chosen configuration has an interval of 95 % above 0 that does not know of the choice."""
    chosen = val.mean(axis=2).argmax(axis=1)
    picked = gains[np.arange(REGIMES), 1 + chosen]
    low = picked.mean(axis=1) - stats.t.ppf(0.975, SEEDS - 1) * stats.sem(picked, axis=1)
    return float((low > 0).mean())


@pytest.mark.parametrize("cells", [3, 9])
def test_the_best_of_several_cells_is_falsely_better_as_often_as_promised(cells: int, tmp_path: Path) -> None:
    store, val, gains = world(tmp_path, cells)
    rows = [row for row in best(store, by=["regime"]).to_pylist() if not row["baseline"]]
    assert len(rows) == REGIMES
    assert {row["candidates"] for row in rows} == {cells}
    better = np.mean([row["difference_low"] > 0 for row in rows])
    assert better <= PROMISED + MARGIN
    assert falsely_better_without_correction(val, gains) > PROMISED + MARGIN, "the choice has its price"
    one = rows[0]
    place = 1 + val[0].mean(axis=1).argmax()
    level = 1 - 0.05 / cells
    low, high = stats.t.interval(level, SEEDS - 1, gains[0, place].mean(), stats.sem(gains[0, place]))
    assert (one["difference_low"], one["difference_high"]) == pytest.approx((low, high))


def test_so_is_the_best_of_several_configurations_of_a_cell(tmp_path: Path) -> None:
    """As of `confirm: {top: 6}`; `compare` has its p-value corrected alike."""
    store, val, gains = world(tmp_path, 1, configurations=6)
    rows = [row for row in best(store).to_pylist() if not row["baseline"]]
    assert {row["candidates"] for row in rows} == {6}
    assert np.mean([row["difference_low"] > 0 for row in rows]) <= PROMISED + MARGIN
    compared = compare(store, "not baseline", "baseline").to_pylist()
    assert {row["candidates"] for row in compared} == {6}
    assert np.mean([row["difference"] > 0 and row["p_value"] < 0.05 for row in compared]) <= PROMISED + MARGIN
    assert falsely_better_without_correction(val, gains) > PROMISED + MARGIN
    place = 1 + val[0].mean(axis=1).argmax()
    p = stats.ttest_1samp(gains[0, place], 0).pvalue
    assert compared[0]["p_value"] == pytest.approx(min(1.0, 6 * p))


def test_without_a_choice_nothing_is_widened(tmp_path: Path) -> None:
    store, _, gains = world(tmp_path, 1)
    rows = [row for row in best(store).to_pylist() if not row["baseline"]]
    assert {row["candidates"] for row in rows} == {1}
    low, high = stats.t.interval(0.95, SEEDS - 1, gains[0, 1].mean(), stats.sem(gains[0, 1]))
    assert (rows[0]["difference_low"], rows[0]["difference_high"]) == pytest.approx((low, high))


def test_the_level_of_one_of_none_is_that_of_one() -> None:
    assert level_of_chosen(0.95, 0) == level_of_chosen(0.95, 1) == 0.95
    assert level_of_chosen(0.95, 5) == pytest.approx(0.99)


@pytest.mark.parametrize(
    "column", ["test_matched_accuracy", "TEST_clean_accuracy", "best_test_matched_accuracy"]
)
def test_no_condition_selects_seeds_by_their_test_results(column: str, tmp_path: Path) -> None:
    store = filled(tmp_path, [trial_row(stage="confirm", test_matched_accuracy=0.8)])
    condition = f"{column} > 0.75"
    with pytest.raises(HslError, match="test results choose nothing"):
        best(store, where=condition)
    with pytest.raises(HslError, match="test results choose nothing"):
        compare(store, "sparsity = 0.9", condition)
