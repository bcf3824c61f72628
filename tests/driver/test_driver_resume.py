"""The parts of the driver, without Ray: ledger, past, progress, winners, parents, the run of one trial."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hsl.driver.confirm import confirm_jobs, winners
from hsl.driver.events import Ended
from hsl.driver.jobs import Jobs
from hsl.driver.ledger import Ledger
from hsl.driver.resume import known, read_past, refill
from hsl.driver.stages import Stages
from hsl.driver.tune.trainable import reason_of
from hsl.driver.watch.progress import CellTally, Progress, Tally, table_of
from hsl.errors import DivergedError
from hsl.planning.job import Job, Reporting
from hsl.planning.plan import Plan, make_plan
from hsl.prepare.parents import ParentTask, ScoresTask, make_here, missing
from hsl.search.study import CellStudy
from hsl.search.turns import Turns
from hsl.space.load import load_space
from hsl.stopping.stratified import Rungs
from hsl.store import checkpoints
from hsl.store.layout import Library
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.trial import run as trial_module
from hsl.trial.report import Report
from hsl.trial.run import TrialRun

OBJECTIVE = "val_matched_accuracy"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def plan(space_file: Callable[..., Path]) -> Plan:
    return make_plan(
        load_space(space_file(early_stopping={"grace": 1, "reduction_factor": 2, "exempt": 0.0}))
    )


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(str(tmp_path / "store"))


@pytest.fixture
def jobs(plan: Plan, library: Library) -> Jobs:
    return Jobs(plan, library)


def first_job(plan: Plan, jobs: Jobs, cell: str = "clean/0.8", seed: int = 0, asked: int = 0) -> Job:
    """The job of a proposal of a cell."""
    (planned,) = [item for item in plan.cells if item.name == cell]
    study = CellStudy(plan.space, planned)
    proposals = [study.ask() for _ in range(asked + 1)]
    proposal = proposals[asked]
    assert proposal is not None
    return jobs.make(planned, "search", proposal.configuration, seed, proposal.values)


def dense_job(plan: Plan, jobs: Jobs) -> Job:
    return first_job(plan, jobs, cell="clean/dense")


def run_to_end(job: Job) -> tuple[list[dict[str, Any]], Report]:
    run, rows = TrialRun(job, "cpu"), []
    while True:
        result = run.advance()
        rows += result.rows
        if result.is_last:
            return rows, result


def timeless(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def test_a_trial_reports_at_every_rung_and_at_the_end(plan: Plan, jobs: Jobs) -> None:
    run = TrialRun(dense_job(plan, jobs), "cpu")
    assert [[row["epoch"] for row in run.advance().rows] for _ in range(3)] == [[1], [2], [3, 4]]


def test_a_trial_reports_in_time_even_far_from_a_rung(
    plan: Plan, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_module, "REPORT_SECONDS", 0.0)
    job = dense_job(plan, jobs).model_copy(update={"reporting": Reporting(objective=OBJECTIVE)})
    assert [row["epoch"] for row in TrialRun(job, "cpu").advance().rows] == [1]


def test_a_resumed_trial_reports_what_was_lost_and_ends_the_same(plan: Plan, jobs: Jobs) -> None:
    job = dense_job(plan, jobs)
    expected, last = run_to_end(job)
    checkpoints.remove(job.inputs.checkpoint)
    interrupted = TrialRun(job, "cpu")
    interrupted.advance()
    started_at = interrupted.advance().summary["started_at"]
    rows, result = run_to_end(job)
    assert result.summary["started_at"] == started_at
    assert timeless(rows) == timeless(expected)
    assert {k: v for k, v in result.summary.items() if k not in {"seconds", "started_at"}} == {
        k: v for k, v in last.summary.items() if k not in {"seconds", "started_at"}
    }


def test_a_full_disk_costs_a_trial_its_checkpoints_only(
    plan: Plan, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = dense_job(plan, jobs)
    expected, _ = run_to_end(job)
    checkpoints.remove(job.inputs.checkpoint)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints, "write", full)
    first = TrialRun(job, "cpu").advance()
    assert "No space left on device" in first.note
    rows, result = run_to_end(job)
    assert timeless(rows) == timeless(expected)
    assert result.status == "completed"


def test_reasons_of_failures() -> None:
    assert reason_of(DivergedError("the loss is nan")) == "the loss is nan"
    try:
        raise ValueError("a bug")
    except ValueError as error:
        assert "Traceback" in reason_of(error)


def ledger_of(store: Store, job: Job, forgotten: list[str]) -> Ledger:
    tally = Tally("search", {job.identity.cell: CellTally(planned=2)})
    return Ledger(store, 0, lambda _: False, lambda ended: forgotten.append(ended.trial_id), tally)


def test_the_ledger_numbers_what_arrives_and_forgets_only_what_is_durable(
    plan: Plan, jobs: Jobs, tmp_path: Path
) -> None:
    store, job, forgotten = Store(tmp_path / "store"), dense_job(plan, jobs), []
    rows, result = run_to_end(job)
    ledger = ledger_of(store, job, forgotten)
    ledger.start(job)
    ledger.report(job, rows)
    ledger.end(job, Ended(Status.COMPLETED, summary=result.summary))
    assert forgotten == []
    ledger.close()
    assert forgotten == [job.trial_id]
    (row,) = store.read("trials").to_pylist()
    assert row["sequence"] == len(rows)
    assert row["status"] == "completed"
    assert row["objective"] == rows[-1][OBJECTIVE]
    assert [epoch["sequence"] for epoch in store.read("epochs").to_pylist()] == list(range(len(rows)))


def test_the_past_of_a_store(
    plan: Plan, jobs: Jobs, library: Library, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = Store(library.root)
    ended, under_way = dense_job(plan, jobs), first_job(plan, jobs, cell="clean/dense", asked=1)
    rows, result = run_to_end(ended)
    ledger = ledger_of(store, ended, [])
    ledger.report(ended, rows)
    ledger.end(ended, Ended(Status.COMPLETED, summary=result.summary))
    ledger.close()
    TrialRun(under_way, "cpu").advance()
    (tmp_path / "store/checkpoints/damaged-0.safetensors").write_bytes(b"not a checkpoint")

    with caplog.at_level(logging.WARNING):
        past = read_past(store, library)
    assert [row["trial_id"] for row in past.trials] == [ended.trial_id]
    assert [job.trial_id for job in past.under_way] == [under_way.trial_id]
    assert "damaged-0" in caplog.text

    (cell,) = [cell for cell in plan.cells if cell.name == "clean/dense"]
    study = CellStudy(plan.space, cell)
    turns = Turns(plan, [study], known(past))
    assert study.issued == 2
    turn = turns.propose()
    assert turn is not None
    assert turn[1].configuration.id not in {
        ended.identity.configuration.id,
        under_way.identity.configuration.id,
    }

    rungs = Rungs(plan.space.early_stopping, plan.space.training.epochs, 0)
    refill(rungs, past, {cell.name: OBJECTIVE for cell in plan.cells})
    assert {name for pool in rungs._pools.values() for name in pool.entries} == {ended.trial_id}


def test_failed_trials_are_trained_again_on_demand_and_once(plan: Plan, jobs: Jobs, library: Library) -> None:
    store, job = Store(library.root), first_job(plan, jobs)
    ledger = ledger_of(store, job, [])
    ledger.report(job, [{"epoch": 1, "epochs_at_target": 1}])
    ledger.end(job, Ended(Status.FAILED, "out of memory", {"epochs": 1}))
    ledger.close()
    assert Stages(plan, store, library, jobs).search().queue == []
    stages = Stages(plan, store, library, jobs, retry_failed=True)
    stage = stages.search()
    assert stage.queue == [job]
    assert stage.past.next_sequence == 2
    assert stage.past.ended() == set()
    study = stage.turns.studies[job.identity.cell]
    assert study.issued == 1
    assert stages.search().queue == []

    again = Ledger(store, stage.past.next_sequence, lambda _: False, lambda _: None, ledger.tally)
    again.end(job, Ended(Status.COMPLETED, summary={"epochs": 4}))
    again.close()
    assert [row["status"] for row in store.read("trials").to_pylist()] == ["completed"]


def test_winners_are_completed_trials_by_validation() -> None:
    rows = [
        {"cell": "a", "status": "completed", "objective": 0.7, "configuration_id": "x"},
        {"cell": "a", "status": "stopped", "objective": 0.9, "configuration_id": "y"},
        {"cell": "a", "status": "completed", "objective": 0.8, "configuration_id": "w"},
        {"cell": "a", "status": "completed", "objective": 0.8, "configuration_id": "v"},
        {"cell": "a", "status": "completed", "objective": None, "configuration_id": "u"},
        {"cell": "b", "status": "completed", "objective": 1.0, "configuration_id": "t"},
    ]
    assert [row["configuration_id"] for row in winners(rows, "a", top=2)] == ["v", "w"]


def test_confirmation_has_fresh_seeds_and_no_rungs(plan: Plan, jobs: Jobs) -> None:
    job = dense_job(plan, jobs)
    row = {
        "cell": job.identity.cell,
        "status": "completed",
        "objective": 0.5,
        "configuration_id": job.identity.configuration.id,
        "configuration": json.dumps(job.identity.configuration.stored()),
        "parameters": '{"training.lr": 0.1}',
    }
    jobs = confirm_jobs(plan, [row], jobs)
    assert [confirmed.identity.seed for confirmed in jobs] == [1, 2]
    assert [confirmed.identity.configuration for confirmed in jobs] == [job.identity.configuration] * 2
    assert all(confirmed.reporting.milestones == () for confirmed in jobs)


def test_parents_and_scores_are_made_once(plan: Plan, jobs: Jobs, library: Library) -> None:
    tasks = [*jobs.prerequisites.of_search(), *jobs.prerequisites.of_search()]
    wanted = list(missing(tasks))
    assert sorted(type(task).__name__ for task in wanted) == ["ParentTask", "ParentTask", "ScoresTask"]
    make_here((task for kind in (ScoresTask, ParentTask) for task in wanted if isinstance(task, kind)), "cpu")
    assert list(missing(tasks)) == []
    job = next(
        job
        for job in (first_job(plan, jobs, asked=number) for number in range(3))
        if job.identity.configuration.method == "omp"
    )
    assert job.inputs.parent is not None
    assert Path(job.inputs.parent).exists()


def test_a_parent_belongs_to_a_seed_and_a_regime(plan: Plan, library: Library) -> None:
    clean, hard = plan.parents
    assert len({library.parent(parent.trial_id(seed)) for parent in (clean, hard) for seed in (0, 1)}) == 4


def test_progress_in_plain_lines(plan: Plan, jobs: Jobs) -> None:
    job, out = dense_job(plan, jobs), io.StringIO()
    tally = Tally("search", {job.identity.cell: CellTally(planned=3)})
    with Progress(Console(file=out, width=40), dict).showing(tally):
        tally.start(job.identity.cell)
        assert tally.running == 1
        tally.end(job.identity.cell, Status.COMPLETED, 0.75)
        tally.count(job.identity.cell, Status.FAILED, None)
    assert "search: 2 of 3 trials ended (0 stopped early, 1 failed), 0 running" in out.getvalue()
    assert len(out.getvalue().splitlines()) == 1


def test_the_live_view_names_every_cell_and_its_best(plan: Plan, jobs: Jobs) -> None:
    job = dense_job(plan, jobs)
    tally = Tally("search", {job.identity.cell: CellTally(planned=3), "clean/0.8": CellTally(planned=3)})
    tally.start(job.identity.cell)
    tally.end(job.identity.cell, Status.COMPLETED, 0.75)
    console = Console(file=io.StringIO(), record=True, width=100)
    console.print(table_of(tally, {"CPU": 2.0, "memory": 1e9}))
    shown = console.export_text()
    assert "75.0 %" in shown
    assert "clean/0.8" in shown
    assert "2 CPU" in shown
    assert "memory" not in shown
