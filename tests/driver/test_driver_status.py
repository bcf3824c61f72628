"""The status of a sweep, from its store alone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hsl.cli import app
from hsl.driver.events import Ended
from hsl.driver.jobs import Jobs
from hsl.driver.ledger import trial_row
from hsl.driver.watch.status import read_status
from hsl.errors import StoreError
from hsl.planning.job import Job
from hsl.planning.plan import make_plan
from hsl.search.study import CellStudy
from hsl.space.load import load_space
from hsl.space.stored import space_text
from hsl.store import checkpoints
from hsl.store.layout import Library
from hsl.store.lease import lease
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.training import checkpoint


@pytest.fixture
def store(space_file: Callable[..., Path], tmp_path: Path) -> str:
    """A sweep of four cells of three configurations, interrupted in one of them."""
    space = load_space(space_file())
    plan, uri = make_plan(space), str(tmp_path / "store")
    jobs = Jobs(plan, Library(uri))
    (cell,) = (cell for cell in plan.cells if cell.name == "hard/0.8")
    study = CellStudy(space, cell)
    jobs = [
        jobs.make(cell, "search", proposal.configuration, 0, proposal.values)
        for proposal in (study.ask(), study.ask(), study.ask())
        if proposal
    ]
    result = Store(uri)
    result.write_space(space_text(space))
    result.append("trials", [ended(jobs[0], 0, "completed", objective=0.9), ended(jobs[1], 1, "failed")])
    state = {"job": jobs[2].model_dump(mode="json"), "trainer": {"history": [{"epoch": 1}, {"epoch": 2}]}}
    checkpoints.write(jobs[2].inputs.checkpoint, checkpoint.to_bytes(state))
    return uri


def ended(job: Job, sequence: int, status: str, objective: float | None = None) -> dict[str, Any]:
    reason = "Traceback ...\nValueError: no such thing\n" if status == "failed" else None
    summary = {"epochs": 4 if status == "completed" else 1, "seconds": 10.0, "objective": objective}
    row = trial_row(job, Ended(Status(status), reason, summary))
    return {
        **row,
        "sequence": sequence,
        "exempt": False,
        "attempts": 1 + sequence,
        "ended_at": datetime.now(UTC) - timedelta(seconds=60),
    }


def test_an_interrupted_sweep(store: str) -> None:
    found = read_status(store)
    rows = {(row["stage"], row["cell"]): row for row in found.cells}
    assert len(rows) == 8
    assert rows["search", "hard/0.8"] == {
        "stage": "search",
        "cell": "hard/0.8",
        "planned": 3,
        "running": 1,
        "completed": 1,
        "stopped": 0,
        "failed": 1,
        "best_objective": 0.9,
        "best_accuracy": 0.9,
        "epochs": 4 + 1 + 2,
        "seconds": 20.0,
    }
    assert rows["confirm", "hard/0.8"]["planned"] == 2
    assert rows["search", "clean/dense"]["best_objective"] is None
    assert found.holder is None
    assert found.seconds_left is None
    assert found.retried == 1
    assert [(row["reason"], row["trials"]) for row in found.failures] == [("ValueError: no such thing", 1)]
    assert found.lines() == [
        "search: 2 of 12 trials ended (1 completed, 0 stopped early, 1 failed), 1 under way",
        "confirm: 0 of 8 trials ended (0 completed, 0 stopped early, 0 failed), 0 under way",
        "driver: none; the same hsl sweep continues",
        "spent: 7 epochs, 20 s of training",
        "1 trials were started again after they had lost a worker",
    ]


def test_a_sweep_that_runs_has_a_driver_a_rate_and_an_end(store: str) -> None:
    with lease(store) as _:
        file = Path(store) / "lease.json"
        content = json.loads(file.read_text())
        file.write_text(json.dumps({**content, "since": time.time() - 100}))
        found = read_status(store)
    assert found.holder is not None
    assert found.lines()[2].startswith(f"driver: process {found.holder.pid} on ")
    assert found.epochs_per_hour == pytest.approx(3600 * 5 / 100, rel=0.05)
    left = 1 * 7 / 2 + 9 * 4 + 8 * 4  # one like the mean of its cell, all others full trainings
    assert found.seconds_left == pytest.approx(left * 100 / 5, rel=0.05)


def session_row(name: str, minutes: int, **given: Any) -> dict[str, Any]:
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return {"session": name, "started_at": began, "updated_at": began + timedelta(minutes=minutes), **given}


def test_machines_losses_and_cost_of_all_runs(store: str) -> None:
    types = {
        "head": {"nodes": 1, "cpus": 0, "gpus": 0, "gpus_held": 0},
        "spot": {"nodes": 2, "cpus": 16, "gpus": 2, "gpus_held": 1.5},
    }
    ended, *_ = Store(store).read("trials").to_pylist()
    moved = {**ended, "losses": 2, "repeated_epochs": 5}
    Store(store).append("trials", [moved])
    under_way = [
        {"trial_id": "new", "losses": 1, "repeated_epochs": 1},
        {"trial_id": moved["trial_id"], "losses": 9},
    ]
    late = {"nodes": types, "running": 3, "pending": 2, "lost_nodes": 1, "cost": 1.0, "under_way": under_way}
    early = {"nodes": {}, "running": 7, "pending": 7, "lost_nodes": 2, "cost": 0.25, "gpu_hours": 1.5}
    Store(store).append("sessions", [session_row("b", 5, **late), session_row("a", 3, **early)])

    found = read_status(store).cluster
    assert found.nodes == [{"type": kind, **counts} for kind, counts in types.items()]
    assert (found.running, found.pending) == (3, 2)
    assert (found.lost_nodes, found.losses, found.repeated_epochs) == (3, 3, 6)
    assert (found.cost, found.gpu_hours) == (1.25, 1.5)
    assert found.seen_at == datetime(2026, 1, 1, 12, 5, tzinfo=UTC)
    assert read_status(store).lines()[-4:] == [
        "machines (when last seen, 2026-01-01 12:05): 1 head (0 CPUs), 2 spot (16 CPUs, 1.5 of 2 GPUs held)",
        "3 machines were lost, trials went on elsewhere 3 times",
        "6 epochs were trained again after interruptions",
        "cost so far: 1.25, 1.50 GPU hours",
    ]
    with lease(store) as _:
        live = read_status(store).lines()
    assert any(line.endswith("3 trials run, 2 wait for a machine") for line in live)
    shown = CliRunner().invoke(app, ["status", store, "--format", "json"])
    assert json.loads(shown.stdout)["cluster"]["nodes"][1]["gpus_held"] == 1.5


def test_a_driver_that_died_holds_nothing(store: str) -> None:
    content = {"owner": "a", "host": "elsewhere", "pid": 1, "since": 0.0, "expires": time.time() - 1}
    (Path(store) / "lease.json").write_text(json.dumps(content))
    assert read_status(store).holder is None


@pytest.mark.parametrize("format", ["table", "json", "csv"])
def test_the_command(store: str, format: str) -> None:
    shown = CliRunner().invoke(app, ["status", store, "--format", format])
    assert shown.exit_code == 0
    assert "hard/0.8" in shown.stdout
    if format == "json":
        document = json.loads(shown.stdout)
        assert document["name"] == "tiny"
        assert document["holder"] is None
        assert document["rungs"] == []
        assert document["failures"][0]["trials"] == 1
    if format == "csv":
        assert len(shown.stdout.splitlines()) == 9
    if format == "table":
        assert "ValueError: no such thing" in shown.stdout


def test_it_needs_neither_torch_nor_ray(store: str) -> None:
    program = (
        "import sys; from hsl.driver.watch.status import read_status; "
        "assert sum(row['running'] for row in read_status(sys.argv[1]).cells) == 1; "
        "sys.exit(bool({'torch', 'ray'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program, store], check=False, timeout=600).returncode == 0


def test_a_store_without_a_space_is_refused(tmp_path: Path, store: str) -> None:
    with pytest.raises(StoreError, match="no result store here"):
        read_status(str(tmp_path / "nothing"))
    (Path(store) / "space.yaml").unlink()
    with pytest.raises(StoreError, match="what was planned is unknown"):
        read_status(store)
