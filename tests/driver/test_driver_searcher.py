"""The searcher and the stopper as Ray Tune calls them, without Ray running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ray.tune.search import Searcher

from hsl.driver.interruptions import Interruptions
from hsl.driver.jobs import Jobs
from hsl.driver.ledger import Ledger
from hsl.driver.session import Session, halted_jobs
from hsl.driver.supply import Supply
from hsl.driver.survey import Survey
from hsl.driver.trials import Trials
from hsl.driver.tune.scheduler import BudgetStopper
from hsl.driver.tune.searcher import CellSearcher
from hsl.driver.watch.progress import CellTally, Tally
from hsl.planning.job import Job
from hsl.planning.plan import Plan, make_plan
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.search.turns import Turns
from hsl.space.load import make_space
from hsl.stopping.pauses import Pauses
from hsl.stopping.rule import Decision, StoppingRule
from hsl.store.layout import Library
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.trial.report import Report

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


class Pausing(StoppingRule):
    """Lets the trials wait that it is told to."""

    can_pause = True

    def __init__(self) -> None:
        super().__init__()
        self.paused: set[str] = set()

    def is_paused(self, trial_id: str) -> bool:
        return trial_id in self.paused


class Driver:
    """What Tune does with a searcher and a stopper, at a time that passes when it is told to."""

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        queue: list[Job] | None = None,
        limits: dict[str, float] | None = None,
        rule: StoppingRule | None = None,
    ) -> None:
        self.now, self.count = 0.0, 0
        self.seen: list[str] = []
        self.jobs = Jobs(plan, Library("/nowhere"))
        self.studies = [CellStudy(plan.space, cell) for cell in plan.cells]
        self.store = Store(folder)
        self.store.write_space("name: t")
        self.session = Session(self.store, limits or {}, lambda: self.now)
        turns, pauses = Turns(plan, self.studies), Pauses[Job](rule or StoppingRule())
        turns.watch(self)
        supply = Supply(queue or [], turns, self.job, pauses, self.is_spent)
        survey = Survey(self.session, plan.space, Interruptions(), list)
        self.tally = Tally("search", {cell.name: CellTally(planned=2) for cell in plan.cells})
        ledger = Ledger(self.store, 0, lambda _: False, lambda _: None, self.tally)
        self.trials = Trials(supply, ledger, self.session, survey)
        self.searcher, self.stopper = CellSearcher(self.trials), BudgetStopper(self.trials)

    def is_spent(self) -> bool:
        return bool(self.session.account.exceeded())

    def job(self, study: CellStudy, proposal: Proposal) -> Job:
        return self.jobs.make(
            study.cell, "search", proposal.configuration, 0, proposal.values, proposal=proposal.number
        )

    def proposed(self, study: CellStudy, configuration_id: str) -> None:
        self.seen.append(f"proposed {study.cell.name}")

    def ended(self, study: CellStudy, configuration_id: str) -> None:
        self.seen.append(f"ended {study.cell.name}")

    def ask(self) -> Any:
        """The job that Tune is given; what is none it is given as it is."""
        self.count += 1
        answer = self.searcher.suggest(str(self.count))
        return Job.model_validate_json(answer["job"]) if isinstance(answer, dict) else answer

    def start(self, number: int) -> None:
        self.trials.start(str(number), None)

    def report(self, number: int, epoch: int, status: Status = Status.RUNNING, stop: bool = False) -> bool:
        """Whether the trial leaves its worker."""
        summary = {"epochs": epoch, "objective": 0.9}
        report = Report([], summary, status, None if status is Status.RUNNING else "it says so")
        halts = self.stopper(str(number), {"report": report})
        leaves = halts or report.is_last or stop
        self.trials.report(str(number), report, leaves)
        if leaves:
            self.searcher.on_trial_complete(str(number), {})
            self.trials.leave(str(number))
        return leaves

    def end(self, number: int, status: Status = Status.COMPLETED) -> None:
        self.start(number)
        self.report(number, 30, status)


def test_cells_wait_for_their_neighbours_and_then_take_over_their_best(tmp_path: Path) -> None:
    driver = Driver(make_plan(make_space({**SPACE, "warm_start": {"configurations": 1}})), tmp_path)
    first, second = driver.ask().identity, driver.ask().identity
    assert [first.cell, second.cell] == ["0.5", "0.5"]
    assert driver.ask() is None
    driver.end(1)
    assert driver.ask() is None
    driver.trials.fail("2", "no such machine")
    assert (driver.tally.running, driver.tally.failed) == (0, 1), "it was never started"
    third = driver.ask().identity
    assert (third.cell, third.parameters) == ("0.9", first.parameters)
    driver.ask()
    assert driver.ask() == Searcher.FINISHED
    driver.end(5)
    driver.end(6)
    assert driver.seen == ["proposed 0.5"] * 2 + ["ended 0.5"] * 2 + ["proposed 0.9"] * 2 + ["ended 0.9"] * 2


def test_the_queue_comes_first_and_a_spent_budget_ends_everything(tmp_path: Path) -> None:
    plan = make_plan(make_space(SPACE))
    job = Driver(plan, tmp_path / "a").ask()
    driver = Driver(plan, tmp_path / "b", [job], limits={"wall_time": 1.0})
    assert driver.ask() == job
    driver.now = 2.0
    driver.trials.step()
    assert driver.ask() == Searcher.FINISHED


def test_what_waits_at_a_rung_is_not_told(tmp_path: Path) -> None:
    rule = Pausing()
    driver = Driver(make_plan(make_space(SPACE)), tmp_path, rule=rule)
    asked = [driver.ask() for _ in range(4)]
    rule.paused.add(asked[1].trial_id)
    for number in (1, 2, 3):
        driver.start(number)
    driver.report(1, 9, stop=True)
    driver.report(2, 9, stop=True)
    driver.report(3, 30, Status.COMPLETED)
    by_cell = {study.cell.name: study for study in driver.studies}
    states = {name: [t.state.name for t in study.frozen().values()] for name, study in by_cell.items()}
    assert [job.identity.cell for job in asked] == ["0.5", "0.9", "0.5", "0.9"]
    assert states == {"0.5": ["PRUNED", "COMPLETE"], "0.9": ["RUNNING", "RUNNING"]}
    driver.trials.close()
    rows = {
        row["trial_id"]: (row["status"], row["reason"]) for row in driver.store.read("trials").to_pylist()
    }
    assert [rows[job.trial_id] for job in asked[:3]] == [
        ("stopped", "early stopping"),
        ("stopped", "not promoted"),
        ("completed", "it says so"),
    ]


def test_trials_halt_at_their_next_report_and_stay_under_way(tmp_path: Path) -> None:
    driver = Driver(make_plan(make_space(SPACE)), tmp_path, limits={"epochs": 10.0})
    asked = [driver.ask() for _ in range(4)]
    for number in (1, 2, 3):
        driver.start(number)
    assert not driver.report(1, 6)
    assert not driver.report(2, 4)
    assert driver.session.account.exceeded() == ["epochs"]
    assert driver.report(1, 7)
    assert driver.report(3, 1, Status.COMPLETED)
    driver.trials.close()
    under_way = {job.trial_id for job in halted_jobs(driver.store)}
    assert under_way == {asked[0].trial_id, asked[1].trial_id}
    assert [row["trial_id"] for row in driver.store.read("trials").to_pylist()] == [asked[2].trial_id]
    states = [t.state.name for study in driver.studies for t in study.frozen().values()]
    assert sorted(states) == ["COMPLETE", "RUNNING", "RUNNING", "RUNNING"]
    assert not driver.stopper.stop_all()


def test_a_trial_that_early_stopping_ends_in_the_moment_of_halting_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = Driver(make_plan(make_space(SPACE)), tmp_path, limits={"epochs": 1.0})
    driver.ask()
    driver.start(1)
    driver.report(1, 1)
    monkeypatch.setattr(driver.trials, "decide", lambda name, report: Decision.STOP)
    assert driver.report(1, 2)
    driver.trials.close()
    assert [row["reason"] for row in driver.store.read("trials").to_pylist()] == ["early stopping"]


def test_gpus_are_charged_while_trials_hold_them(tmp_path: Path) -> None:
    driver = Driver(make_plan(make_space({**SPACE, "resources": {"gpu": 0.5}})), tmp_path)
    for _ in range(2):
        driver.ask()
    driver.start(1)
    driver.now = 3600.0
    driver.start(2)
    driver.now = 7200.0
    driver.trials.step()
    assert driver.session.account.spent.gpu_hours == pytest.approx(0.5 + 1.0)
    assert driver.session.account.spent.wall_time == 7200.0
