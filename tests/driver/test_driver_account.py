"""Budgets: what is counted, over restarts too, when a sweep stops, and that it continues to the same results."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsl.cluster.prices import price_of
from hsl.driver.account import Account, Spent
from hsl.driver.session import Session, halted_jobs, last_epochs, spent_before
from hsl.errors import SpaceError
from hsl.planning.job import Job
from hsl.space.checks import check_priced
from hsl.space.load import make_space
from hsl.space.sections import Budget, seconds_of
from hsl.space.stored import check_continues, space_text
from hsl.store.store import Store

BASE: dict[str, Any] = {"name": "t", "dataset": "digits", "model": "mlp"}

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90s", 90),
        ("45min", 2700),
        ("45m", 2700),
        ("2h", 7200),
        ("1h 30min", 5400),
        ("1.5d", 129_600),
        (30, 30),
        (0.5, 0.5),
    ],
)
def test_times_as_people_write_them(text: Any, seconds: float) -> None:
    assert seconds_of(text) == seconds
    assert Budget(wall_time=text).wall_time == seconds


@pytest.mark.parametrize("text", ["2 hours", "h", "-2h", "", "2h or so", 0, -1])
def test_other_times_are_refused(text: Any) -> None:
    with pytest.raises(SpaceError, match=r"budget\.wall_time"):
        make_space({**BASE, "budget": {"wall_time": text}})


def test_money_needs_prices() -> None:
    with pytest.raises(SpaceError, match=r"budget\.cost: needs to know .* prices"):
        check_priced(make_space({**BASE, "budget": {"cost": 10}}), None)
    space = make_space({**BASE, "budget": {"cost": 10}, "prices": {"default": 1.5}})
    check_priced(space, None)
    assert space.budget.limits == {"cost": 10.0}


def test_limits_may_change_in_both_directions_but_configurations_only_grow() -> None:
    def with_budget(**budget: Any) -> Any:
        return make_space({**BASE, "budget": {"configurations_per_cell": 4, **budget}})

    stored = space_text(with_budget(wall_time="2h"))
    for budget in ({}, {"wall_time": "1h"}, {"wall_time": "3h", "epochs": 5}, {"configurations_per_cell": 9}):
        check_continues(stored, with_budget(**budget), "store")
    with pytest.raises(Exception, match="configurations_per_cell"):
        check_continues(stored, with_budget(configurations_per_cell=3), "store")


def test_time_and_gpus_and_money_are_charged() -> None:
    account = Account({"wall_time": 100.0, "gpu_hours": 1.0, "cost": 3.0})
    account.charge(90.0, gpus=8.0, price=36.0)
    assert account.spent == Spent(0.0, 90.0, pytest.approx(0.2), pytest.approx(0.9))
    assert account.exceeded() == []
    account.charge(10.0, gpus=0.0, price=1000.0)
    assert account.exceeded() == ["wall_time", "cost"]
    spent = "budget.wall_time is spent (1.67 min of 1.67 min), budget.cost is spent (3.68 of 3.00)"
    assert account.in_words() == spent


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 9))), st.integers(0, 30))
def test_an_epoch_that_is_trained_again_counts_once(reports: list[tuple[str, int]], split: int) -> None:
    """In whatever order epochs are reported, and wherever the driver was restarted."""
    first = Account({"epochs": 5.0})
    for trial, epoch in reports[:split]:
        first.count(trial, epoch)
    seen: dict[str, int] = {}
    for trial, epoch in reports[:split]:
        seen[trial] = max(epoch, seen.get(trial, 0))
    second = Account({"epochs": 5.0}, first.spent, seen)
    for trial, epoch in reports[split:]:
        second.count(trial, epoch)
    total = sum(max(epoch for t, epoch in reports if t == trial) for trial in {t for t, _ in reports})
    assert second.spent.epochs == total
    assert second.exceeded() == (["epochs"] if total >= 5 else [])


def node(group: str = "", accelerator: str = "", gpus: float = 0.0, alive: bool = True) -> dict[str, Any]:
    resources = {"CPU": 4.0, **({"GPU": gpus, f"accelerator_type:{accelerator}": 1.0} if accelerator else {})}
    return {"Alive": alive, "Resources": resources, "Labels": {"ray.io/node-group": group} if group else {}}


def test_nodes_cost_by_type_then_accelerator_then_default() -> None:
    prices = {"worker": 1.0, "A100": 2.0, "default": 0.25}
    nodes = [node("worker", "A100", 8), node("big", "A100", 4), node(), node("worker", alive=False)]
    assert price_of(nodes, prices) == (1.0 + 8.0 + 0.25, set())
    assert price_of([node("big", "H100", 1), node()], {"A100": 2.0}) == (0.0, {"big", "default"})


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def job(number: int = 0) -> Job:
    content = {"dataset": "digits", "model": {"name": "mlp"}, "training": {"epochs": 3 + number}}
    made = {"trial_id": f"t{number}", "configuration": content, "seed": 0, "cell": "c", "regime": "clean"}
    return Job.model_validate({**made, "stage": "search", "checkpoint": f"/x/{number}", "proposal": number})


def test_sessions_add_up_over_restarts_and_remember_what_was_under_way(tmp_path: Path) -> None:
    clock, store = Clock(), Store(tmp_path / "store")
    store.write_space("name: t")
    for run in range(3):
        session = Session(store, {"wall_time": 35.0}, clock)
        session.price = 7200.0
        session.tick(0.0)
        clock.now += 10.0
        session.tick(2.0)
        session.account.count(f"trial {run}", 4)
        session.save([job(run)])
        clock.now += 1.0
        session.tick(0.0)
        session.save([job(run), job(run + 10)])
        clock.now += 500.0  # between two runs nobody pays
    assert spent_before(store) == Spent(12.0, 33.0, pytest.approx(60 / 3600), pytest.approx(66.0))
    assert len(store.read("sessions")) == 3
    found = {job.trial_id: job for job in halted_jobs(store)}
    expected = [job(run + more) for run in range(3) for more in (0, 10)]
    assert found == {made.trial_id: made for made in expected}
    again = Session(store, {"wall_time": 33.0}, clock)
    assert again.account.exceeded() == ["wall_time"]


def test_a_session_in_which_nothing_was_trained_leaves_no_trace(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.write_space("name: t")
    Session(store, {}).save([])
    assert len(store.read("sessions")) == 0
    assert last_epochs(store) == {}


RESULTS = ("objective", "test_matched_accuracy", "train_loss", "nonzeros", "epochs", "proposal", "status")


def results(store: Path) -> dict[str, list[Any]]:
    rows = Store(store).read("trials").to_pylist()
    assert len({row["trial_id"] for row in rows}) == len(rows)
    return {row["trial_id"]: [row[name] for name in RESULTS] for row in rows}


LONG = {
    "training": {"epochs": 400, "batch_size": 64, "checkpoint_every": 150, "evaluate_every": 50},
    "regimes": {"clean": {}},
    "factors": {"sparsity": [0.8]},
    "confirm": {"top": 1, "seeds": 1},
}


@pytest.mark.slow
def test_a_sweep_stops_at_its_budget_and_continues_to_the_same_results(
    sweep: Run, space_file: Callable[..., Path], tmp_path: Path
) -> None:
    """Trials longer than the time between two reports are halted in the midst, and go on when there is more."""
    whole, halted = tmp_path / "whole", tmp_path / "halted"
    space = space_file(**LONG)
    assert sweep(space, whole).returncode == 0
    limits = (300, 900, 1500)
    for limit in limits:
        done = sweep(space, halted, f"budget.epochs={limit}")
        assert done.returncode == 0, done.stderr
        assert "budget.epochs is spent" in done.stderr
        spent = spent_before(Store(halted)).epochs
        assert limit <= spent
        again = sweep(space, halted, f"budget.epochs={limit}")
        assert "0 trials trained" in again.stderr
        assert spent_before(Store(halted)).epochs == spent
    assert len(results(halted)) < len(results(whole))
    done = sweep(space, halted)
    assert done.returncode == 0, done.stderr
    assert "is spent" not in done.stderr
    assert results(halted) == results(whole)
