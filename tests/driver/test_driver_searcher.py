"""The searcher, the stopper and the accountant as Ray Tune calls them, without Ray running."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.search import Searcher

from hsl.driver.interruptions import Losses
from hsl.driver.jobs import Jobs
from hsl.driver.session import Session, halted_jobs
from hsl.driver.tune.accountant import Accountant, BudgetStopper
from hsl.driver.tune.searcher import CellSearcher
from hsl.planning.job import NOT_PROMOTED, Job
from hsl.planning.plan import Plan, make_plan
from hsl.search.study import CellStudy, Proposal
from hsl.search.turns import Turns
from hsl.space.load import make_space
from hsl.stopping.pauses import Pauses
from hsl.stopping.rule import Judge
from hsl.store.layout import Library
from hsl.store.store import Store

SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": "mlp",
    "factors": {"sparsity": [0.5, 0.9]},
    "method": "set",
    "search": {"training.lr": {"loguniform": [0.02, 0.2]}},
    "baseline": None,
    "sampler": "random",
    "budget": {"configurations_per_cell": 2},
}


class Driver:
    """What Tune does with a searcher."""

    def __init__(self, plan: Plan, queue: list[Job] | None = None) -> None:
        self.plan, self.spent = plan, False
        self.jobs = Jobs(plan, Library("/nowhere"))
        self.pauses: Pauses[Job] = Pauses(Judge())
        self.studies = [CellStudy(plan.space, cell) for cell in plan.cells]
        turns = Turns(plan, self.studies)
        self.searcher = CellSearcher(queue or [], turns, self.job, self.pauses, lambda: self.spent, self)
        self.seen: list[str] = []
        self.count = 0

    def job(self, study: CellStudy, proposal: Proposal) -> Job:
        made = self.jobs.make(study.cell, "search", proposal.configuration, 0, proposal.values)
        return made.model_copy(update={"proposal": proposal.number})

    def proposed(self, study: CellStudy, configuration_id: str) -> None:
        self.seen.append(f"proposed {study.cell.name}")

    def ended(self, study: CellStudy, configuration_id: str) -> None:
        self.seen.append(f"ended {study.cell.name}")

    def ask(self) -> Any:
        self.count += 1
        answer = self.searcher.suggest(str(self.count))
        return self.searcher.jobs[str(self.count)] if isinstance(answer, dict) else answer

    def end(self, trial_id: int, error: bool = False, **result: Any) -> None:
        job = self.searcher.jobs[str(trial_id)]
        self.pauses.end(job.cell, job.trial_id, job)
        self.searcher.on_trial_complete(str(trial_id), result or None, error)


DONE: dict[str, Any] = {"status": "completed", "epoch": 30, "objective": 0.9}


def test_cells_wait_for_their_neighbours_and_then_take_over_their_best() -> None:
    driver = Driver(make_plan(make_space({**SPACE, "warm_start": {"configurations": 1}})))
    first, second = driver.ask(), driver.ask()
    assert [first.cell, second.cell] == ["0.5", "0.5"]
    assert driver.ask() is None
    driver.end(1, **DONE)
    assert driver.ask() is None
    driver.end(2, error=True)
    third = driver.ask()
    assert (third.cell, third.parameters) == ("0.9", first.parameters)
    driver.ask()
    assert driver.ask() == Searcher.FINISHED
    driver.end(5, **DONE)
    driver.end(6, **DONE)
    assert driver.seen == ["proposed 0.5"] * 2 + ["ended 0.5"] * 2 + ["proposed 0.9"] * 2 + ["ended 0.9"] * 2


def test_the_queue_comes_first_and_a_spent_budget_ends_everything() -> None:
    plan = make_plan(make_space(SPACE))
    made = Driver(plan)
    job = made.ask()
    driver = Driver(plan, [job])
    assert driver.ask() == job
    driver.spent = True
    assert driver.ask() == Searcher.FINISHED


def test_what_is_halted_or_waits_at_a_rung_is_not_told() -> None:
    driver = Driver(make_plan(make_space(SPACE)))
    for _ in range(4):
        driver.ask()
    driver.end(1, **DONE | {"status": "halted"})
    driver.end(2, **DONE | {"status": "stopped", "reason": NOT_PROMOTED})
    driver.end(3, **DONE)
    driver.end(4, **DONE)
    by_cell = {study.cell.name: study for study in driver.studies}
    states = {name: [t.state.name for t in study.frozen().values()] for name, study in by_cell.items()}
    assert states == {"0.5": ["RUNNING", "COMPLETE"], "0.9": ["RUNNING", "COMPLETE"]}
    assert {name: study.is_settled for name, study in by_cell.items()} == {"0.5": False, "0.9": True}


def tune_trial(name: str) -> Any:
    return SimpleNamespace(trial_id=name)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    store = Store(tmp_path / "store")
    store.write_space("name: t")
    return Session(store, {"epochs": 10.0})


def test_trials_halt_at_their_next_report_and_stay_under_way(session: Session, tmp_path: Path) -> None:
    space = make_space(SPACE)
    driver = Driver(make_plan(space))
    for _ in range(3):
        driver.ask()
    accountant = Accountant(session, space, driver.searcher.jobs, Losses())
    stopper = BudgetStopper(session)

    def report(name: str, epoch: int, status: str = "running") -> dict[str, Any]:
        result = {"epoch": epoch, "status": status, "done": status != "running"}
        result["done"] = stopper(name, result) or result["done"]
        accountant.on_trial_result(0, [], tune_trial(name), result)
        return result

    for name in "123":
        accountant.on_trial_start(0, [], tune_trial(name))
    assert not report("1", 6)["done"]
    assert not report("2", 4)["done"]
    assert session.account.exceeded() == ["epochs"]
    assert report("1", 7)["status"] == "halted"
    assert report("3", 1, "completed")["status"] == "completed"
    accountant.close()
    jobs = driver.searcher.jobs
    under_way = [content["trial_id"] for content in halted_jobs(Store(tmp_path / "store"))]
    assert under_way == [jobs["1"].trial_id, jobs["2"].trial_id]
    assert not stopper.stop_all()


def test_gpus_are_charged_while_trials_hold_them(tmp_path: Path) -> None:
    now = [0.0]
    store = Store(tmp_path / "store")
    store.write_space("name: t")
    session = Session(store, {}, lambda: now[0])
    space = make_space({**SPACE, "resources": {"gpu": 0.5}})
    driver = Driver(make_plan(space))
    for _ in range(2):
        driver.ask()
    accountant = Accountant(session, space, driver.searcher.jobs, Losses())
    accountant.on_trial_start(0, [], tune_trial("1"))
    now[0] = 3600.0
    accountant.on_trial_start(0, [], tune_trial("2"))
    now[0] = 7200.0
    accountant.on_step_end(0, [])
    assert session.account.spent.gpu_hours == pytest.approx(0.5 + 1.0)
    assert session.account.spent.wall_time == 7200.0
