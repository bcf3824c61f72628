"""Deciles are compared on the same samples: those of networks that were evaluated by other scores are left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from report_stores import known_store

from hsl.results.report.contents import make_report
from hsl.store.store import Store


def divided_otherwise(path: Path, chosen: str) -> Store:
    """The known store, in which trials whose id contains `chosen` were evaluated on other deciles."""
    store = known_store(path)
    rows: list[dict[str, Any]] = store.read("evaluations").to_pylist()
    there = [row for row in rows if chosen in row["trial_id"]]
    assert there
    store.append("evaluations", [{**row, "parameters": {"by": "el2n", "ties": "keyed"}} for row in there])
    return Store(path)


def panels_of(store: Store) -> list[str]:
    found = [figure for figure in make_report(store.uri).figures if figure.name == "deciles"]
    return [panel.title for figure in found for panel in figure.panels]


def test_a_network_on_other_samples_is_not_compared(tmp_path: Path) -> None:
    assert len(panels_of(known_store(tmp_path / "known"))) == 2
    (left,) = panels_of(divided_otherwise(tmp_path / "half", "hard/dense"))
    assert left.startswith("easy")


def test_of_seeds_on_other_samples_the_others_are_compared(tmp_path: Path) -> None:
    store = divided_otherwise(tmp_path / "store", "hard/dense/dense/1/seed3")
    figure = next(figure for figure in make_report(store.uri).figures if figure.name == "deciles")
    hard = [line for line in figure.table.rows if line[0].text == "hard"]
    assert {line[-1].text for line in hard} == {"4, paired"}


def test_where_nothing_can_be_compared_the_section_says_what_to_do(tmp_path: Path) -> None:
    store = divided_otherwise(tmp_path / "store", "/dense/")
    section = next(one for one in make_report(store.uri).sections if one.name == "deciles")
    assert "by the same scores for both" in " ".join(section.missing)
    assert not section.figures
