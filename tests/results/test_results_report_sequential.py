"""The report of a sweep that added seeds until it was clear: every interval and p-value is at the stricter level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_stores import NOISE, SEEDS, known_store
from results_rows import cell_row
from scipy import stats

from hsl.errors import StoreError
from hsl.results.report.contents import make_report
from hsl.results.report.structs import Figure, Report
from hsl.results.sequential import asked_levels
from hsl.store.store import Store

GAIN = 0.0003
"""Clear at 95 %, not clear at 99 %."""


def report_at(folder: Path, confidence: float | None) -> Report:
    store = known_store(folder / "store", gain=GAIN)
    cells = [{**row, "confidence": confidence} for row in store.read("cells").to_pylist()]
    store.append("cells", cells)
    return make_report(store.uri)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_at(tmp_path_factory.mktemp("plain"), None)


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return report_at(tmp_path_factory.mktemp("strict"), 0.99)


def figure(report: Report, name: str) -> Figure:
    return next(figure for figure in report.figures if figure.name == name)


def headline(report: Report) -> list[tuple[str, float | None]]:
    """Verdict and corrected p-value of every sparse winner."""
    (table,) = report.sections[0].tables
    verdict, p = table.columns.index("verdict"), table.columns.index("p, corrected")
    return [(row[verdict].text, row[p].key) for row in table.rows if row[verdict].text != "baseline"]


def sides() -> list[tuple[np.ndarray, np.ndarray]]:
    """Test accuracies of the sparse winners and of dense, in the order of the table."""
    noise = np.array(NOISE)
    return [(base + noise * (1 + 0.1 * s), 0.8 + noise) for base in (0.80, 0.80 + GAIN) for s in (0.8, 0.9)]


def test_p_values_are_enlarged_before_they_are_corrected(plain: Report, strict: Report) -> None:
    p_values = np.array([stats.ttest_rel(*side).pvalue for side in sides()])
    for report, factor in ((plain, 1), (strict, 5)):
        expected = stats.false_discovery_control(np.minimum(1, factor * p_values))
        assert [p for _, p in headline(report)] == pytest.approx(list(expected), rel=1e-6)


def test_what_is_clear_only_at_95_percent_is_no_verdict(plain: Report, strict: Report) -> None:
    assert [verdict for verdict, _ in headline(plain)][2:] == ["▲ better than dense"] * 2
    assert {verdict for verdict, _ in headline(strict)} == {"= no difference shown"}
    assert strict.finding.startswith("No sparse winner is shown to differ")


@pytest.mark.parametrize(("confidence", "of"), [(0.95, "plain"), (0.99, "strict")])
def test_whiskers_are_those_of_scipy_at_that_level(
    confidence: float, of: str, request: pytest.FixtureRequest
) -> None:
    report: Report = request.getfixturevalue(of)
    values = 0.80 + GAIN + np.array(NOISE) * 1.09  # at sparsity 0.9, which is on the front as the cheaper one
    low, high = stats.t.interval(confidence, len(SEEDS) - 1, values.mean(), stats.sem(values))
    for name in ("sparsity", "pareto"):
        drawn = [ends(row) for panel in figure(report, name).panels for row in panel.rows]
        assert (pytest.approx(100 * low, abs=1e-3), pytest.approx(100 * high, abs=1e-3)) in drawn, name


def test_deciles_are_compared_at_that_level(strict: Report) -> None:
    noise = 0.80 + GAIN + np.array(NOISE) * 1.08  # the accuracies at sparsity 0.8, the easiest as they are
    low, high = stats.t.interval(0.99, len(SEEDS) - 1, 100 * noise.mean(), 100 * stats.sem(noise))
    easiest = next(row for row in figure(strict, "deciles").panels[1].rows if row["kind"] == "sparse")
    assert ends(easiest) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


def ends(row: Any) -> tuple[float | None, float | None]:
    return row.get("low"), row.get("high")


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5, float("inf")])
def test_a_stored_level_that_is_none_is_refused(tmp_path: Path, level: float) -> None:
    store = Store(tmp_path / "store")
    store.append("cells", [cell_row(cell="clean/0.9", confidence=level)])
    with pytest.raises(StoreError, match=r"cells.confidence of cell 'clean/0.9'"):
        asked_levels(store.read("cells", ["cell", "confidence"]))
