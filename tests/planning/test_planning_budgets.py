"""What `hsl plan` says of budgets, against counts by hand and against a store's own record."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hsl.planning.budgets import Forecast, forecast
from hsl.planning.cost import Cost, estimate
from hsl.planning.plan import make_plan
from hsl.results.rates import Rates, recorded_rates
from hsl.space.load import make_space
from hsl.store.store import Store

SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "sparsity": 0.9,
    "method": "omp",
    "search": {"training.lr": {"loguniform": [0.01, 0.1]}},
    "training": {"epochs": 10},
    "budget": {"configurations_per_cell": 6},
    "confirm": {"top": 2, "seeds": 3},
}
EPOCHS = 10 + 2 * 6 * 10 + 2 * 2 * 3 * 10
"""One parent, two cells of six configurations, of each the two best with three seeds."""


def forecasts(rates: Rates | None = None, **content: Any) -> dict[str, Forecast]:
    plan = make_plan(make_space({**SPACE, **content}))
    costs = estimate(plan, rates.passes_per_second if rates else None)
    return {found.budget: found for found in forecast(plan, costs, rates)}


def test_epochs_are_counted_with_those_of_parents() -> None:
    found = forecasts(budget={"configurations_per_cell": 6, "epochs": EPOCHS - 1})
    assert found["epochs"] == Forecast("epochs", EPOCHS, EPOCHS - 1, 0.0)
    assert found["epochs"].ends_early
    assert not forecasts(budget={"configurations_per_cell": 6, "epochs": EPOCHS})["epochs"].ends_early


def test_without_a_record_this_machine_does_the_work() -> None:
    plan = make_plan(make_space(SPACE))
    seconds = sum(cost.core_seconds or 0 for cost in estimate(plan))
    found = forecasts(prices={"default": 7.2, "cheap": 0.1})
    assert found["wall_time"].needed == pytest.approx(seconds / (os.cpu_count() or 1))
    assert found["cost"].needed == pytest.approx(seconds / (os.cpu_count() or 1) * 0.002)
    assert "gpu_hours" not in found


def test_what_is_not_known_is_none() -> None:
    found = forecasts(resources={"gpu": 0.5}, prices={"A100": 2.0})
    seconds = sum(cost.core_seconds or 0 for cost in estimate(make_plan(make_space(SPACE))))
    assert found["gpu_hours"].needed == pytest.approx(seconds / 2 / 3600)
    assert (found["wall_time"].needed, found["cost"].needed) == (None, None)
    plan = make_plan(make_space(SPACE))
    unknown = {f.budget: f.needed for f in forecast(plan, [Cost("search", 1, 5, None, None)])}
    assert unknown == {"epochs": 5.0, "wall_time": None}


def test_a_record_replaces_assumptions(tmp_path: Path) -> None:
    """40 s of training in 16 s, on nodes for 9.00 an hour, at 500 passes per second."""
    store = Store(tmp_path / "store")
    assert recorded_rates(store) is None
    now = datetime.now(UTC)
    session = {"started_at": now, "updated_at": now, "gpu_hours": 0.0}
    rows = [
        {"session": "a", "epochs": 30.0, "wall_time": 10.0, "cost": 0.025, **session},
        {"session": "b", "epochs": 12.0, "wall_time": 6.0, "cost": 0.015, **session},
    ]
    store.append("sessions", rows)
    store.append("trials", [trial(f"t{n}", seconds=10.0, passes=5000.0) for n in range(4)])
    rates = recorded_rates(store)
    assert rates is not None
    spent = {"epochs": 42.0, "wall_time": 16.0, "gpu_hours": 0.0, "cost": pytest.approx(0.04)}
    assert rates == Rates(500.0, 2.5, pytest.approx(9.0), spent)
    found = forecasts(rates, prices={"default": 1.0}, budget={"configurations_per_cell": 6, "cost": 0.1})
    costs = estimate(make_plan(make_space(SPACE)), 500.0)
    seconds = sum(cost.core_seconds or 0 for cost in costs)
    assert found["wall_time"].needed == pytest.approx(seconds / 2.5)
    assert found["cost"].needed == pytest.approx(seconds / 2.5 * 9 / 3600)
    assert found["cost"].limit == 0.1


def trial(name: str, **given: Any) -> dict[str, Any]:
    fixed = {"configuration_id": name, "cell": "c", "stage": "search", "seed": 0, "dataset": "digits"}
    more = {"model": "mlp", "regime": "clean", "method": "set", "sparsity": 0.9, "parameters": {}}
    end = {"status": "completed", "epochs": 1, "budget_epochs": 1, "exempt": False, "attempts": 1}
    return {"trial_id": name, "sequence": int(name[1:]), **fixed, **more, **end, "configuration": {}, **given}
