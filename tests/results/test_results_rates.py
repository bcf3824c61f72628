"""What a store says about speed and spending, against sums by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from results_rows import filled, trial_row

from hsl.results.rates import Rates, recorded_rates
from hsl.store.store import Store

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def store_of(folder: Path, *sessions: dict[str, Any]) -> Store:
    """Two trials of 10 and 30 seconds, with 400 and 800 passes, and some sessions."""
    store = filled(folder, [trial_row(passes=p, seconds=s) for p, s in ((400.0, 10.0), (800.0, 30.0))])
    rows = [{"session": f"s{n}", "started_at": NOW, "updated_at": NOW} | s for n, s in enumerate(sessions)]
    if rows:
        store.append("sessions", rows)
    return store


def test_sessions_are_added_up(tmp_path: Path) -> None:
    first = {"epochs": 3.0, "wall_time": 5.0, "gpu_hours": 0.25, "cost": 0.5}
    second = {"epochs": 4.0, "wall_time": 15.0, "gpu_hours": 0.5, "cost": 1.5}
    spent = {"epochs": 7.0, "wall_time": 20.0, "gpu_hours": 0.75, "cost": 2.0}
    assert recorded_rates(store_of(tmp_path, first, second)) == Rates(
        passes_per_second=1200 / 40, parallel=40 / 20, cost_per_hour=3600 * 2.0 / 20, spent=spent
    )


@pytest.mark.parametrize(
    ("session", "parallel", "hourly"),
    [
        ({"wall_time": 80.0}, 0.5, None),
        ({"wall_time": 80.0, "cost": 0.0}, 0.5, None),
        ({"wall_time": 0.0, "cost": 1.0}, None, None),
        ({"wall_time": 40.0, "cost": 1.0}, 1.0, 90.0),
    ],
)
def test_without_time_or_prices_there_is_no_rate(
    tmp_path: Path, session: dict[str, Any], parallel: float | None, hourly: float | None
) -> None:
    found = recorded_rates(store_of(tmp_path, session))
    assert found is not None
    assert (found.parallel, found.cost_per_hour) == (parallel, hourly)


def test_without_sessions_nothing_was_spent(tmp_path: Path) -> None:
    nothing = dict.fromkeys(("epochs", "wall_time", "gpu_hours", "cost"), 0.0)
    assert recorded_rates(store_of(tmp_path)) == Rates(30.0, None, None, nothing)


def test_without_a_training_nothing_is_known(tmp_path: Path) -> None:
    assert recorded_rates(Store(tmp_path / "nowhere")) is None
    assert recorded_rates(filled(tmp_path / "empty", [])) is None
    assert recorded_rates(filled(tmp_path / "timeless", [trial_row(passes=9.0, seconds=0.0)])) is None
    assert recorded_rates(filled(tmp_path / "passless", [trial_row(passes=0.0, seconds=1.0)])) is None
