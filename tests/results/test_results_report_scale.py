"""The report of a store with a million epochs."""

from pathlib import Path

import pytest
from report_stores import large_store

from hsl.results.report.contents import make_report
from hsl.results.report.page import page


@pytest.mark.slow
def test_a_million_epochs_make_a_page_of_a_few_megabytes(tmp_path: Path) -> None:
    store = large_store(tmp_path / "store")
    report = make_report(store.uri)
    assert len(page(report).encode()) < 4e6
    assert all(sum(len(panel.rows) for panel in figure.panels) < 25_000 for figure in report.figures)
    assert ("trials", "50,000 trials") in report.facts
