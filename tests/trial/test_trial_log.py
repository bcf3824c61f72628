"""What a trial prints and logs is in its file, across interruptions, without secrets."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from hsl.cli import app
from hsl.driver.jobs import Jobs
from hsl.driver.tune.trainable import SweepTrial
from hsl.errors import HslError, NothingMatchedError
from hsl.planning.job import Job
from hsl.planning.plan import make_plan
from hsl.results.logs import read_log
from hsl.search.study import CellStudy
from hsl.space.load import make_space
from hsl.store.layout import Library
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.trial import run
from hsl.trial.log import TrialLog, shortened

SPACE = {
    "name": "t",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [16]},
    "training": {"epochs": 5, "checkpoint_every": 2, "batch_size": 256},
    "factors": {"sparsity": [0.8]},
    "method": "rigl",
    "baseline": None,
}


def test_everything_that_is_printed_or_logged_is_in_order(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = TrialLog(str(tmp_path / "logs/t.txt"))
    log.note("begins")
    with log.capture():
        sys.stdout.write("printed in ")
        sys.stdout.write("parts\n")
        logging.getLogger("hsl.sparsity").info("moved")
        logging.getLogger("somewhere").warning("careful")
        logging.getLogger("somewhere").info("not of interest")
        sys.stderr.write("UserWarning: old\n")
        sys.stdout.write("no line end")
    logging.getLogger("hsl.sparsity").warning("outside")
    log.write()
    log.note("two\nlines")
    log.write()
    lines = (tmp_path / "logs/t.txt").read_text().splitlines()
    told = [line.split(" ", 2)[2] for line in lines]
    assert told[:4] == [
        "begins",
        "printed in parts",
        "INFO hsl.sparsity: moved",
        "WARNING somewhere: careful",
    ]
    assert told[4] == "UserWarning: old"
    assert told[-3:] == ["no line end", "two", "lines"]
    assert "interest" not in str(told)
    assert "outside" not in str(told)
    assert "printed in parts" in capsys.readouterr().out


def test_who_takes_over_goes_on_in_the_same_file_and_secrets_are_left_out(tmp_path: Path) -> None:
    uri = f"file://{tmp_path}/logs/t.txt"
    (tmp_path / "logs").mkdir()
    for line in ("first AWS_SECRET_ACCESS_KEY=abcdef", "second s3://key:abcdef@bucket"):
        log = TrialLog(uri)
        log.note(line)
        log.write()
    text = (tmp_path / "logs/t.txt").read_text()
    assert [line.split(" ", 3)[2] for line in text.splitlines()] == ["first", "second"]
    assert "abcdef" not in text


def test_a_store_out_of_reach_costs_no_line(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    log = TrialLog(str(tmp_path / "logs/t.txt"))
    log.note("one")
    log.write()
    (tmp_path / "logs").unlink()
    log.note("two")
    log.write()
    assert [line[-3:] for line in (tmp_path / "logs/t.txt").read_text().splitlines()] == ["one", "two"]


@given(st.lists(st.text(alphabet="ab ", max_size=30), max_size=60), st.integers(40, 400))
def test_long_logs_lose_their_middle(lines: list[str], limit: int) -> None:
    text = "".join(f"{line}\n" for line in lines)
    short = shortened(text, limit)
    if len(text) <= limit:
        assert short == text
        return
    head, _, rest = short.partition("... ")
    note, _, tail = rest.partition("\n")
    assert text.startswith(head)
    assert text.endswith(tail)
    assert int(note.split()[0]) == len(text) - len(head) - len(tail) > 0
    assert len(head) + len(tail) <= limit


def job_of(folder: Path, **changes: Any) -> Job:
    space = make_space(SPACE | changes)
    plan = make_plan(space)
    (cell,) = plan.cells
    proposal = CellStudy(space, cell).ask()
    assert proposal
    jobs = Jobs(plan, Library(str(folder)))
    return jobs.make(cell, "search", proposal.configuration, 0, proposal.values)


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[Job], SweepTrial]:
    """Makes a worker as Ray does, without Ray."""
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "node"))
    monkeypatch.setattr(run, "REPORT_SECONDS", 0.0)
    return lambda job: SweepTrial({"job": job.model_dump_json()})


def told(folder: Path, job: Job) -> list[str]:
    return [line.split(" ", 2)[2] for line in read_log(Store(folder), job.trial_id).splitlines()]


def test_the_log_of_a_trial_whose_worker_was_lost(
    worker: Callable[[Job], SweepTrial], tmp_path: Path
) -> None:
    job = job_of(tmp_path / "store")
    Store(tmp_path / "store").write_space("name: t")
    first = worker(job)
    reports = [first.step()["report"] for _ in range(3)]  # the third epoch is in no checkpoint
    assert {report.node for report in reports} == {"node"}
    assert {report.began for report in reports} == {0}
    second = worker(job)
    report = second.step()["report"]
    assert (report.began, report.epoch) == (2, 2)
    while not second.step()["done"]:
        pass
    lines = told(tmp_path / "store", job)
    starts = [number for number, line in enumerate(lines) if line.startswith("trial ")]
    assert "starts on" in lines[starts[0]]
    assert "continues after epoch 2 on" in lines[starts[1]]
    epochs = [line.split(":")[0] for line in lines if line.startswith("epoch ")]
    assert epochs == ["epoch 1", "epoch 2", "epoch 3", "epoch 4", "epoch 5"]
    assert [line for line in lines if line.startswith("checkpoint")] == [
        f"checkpoint after epoch {epoch}" for epoch in (2, 4, 5)
    ]
    assert any("masks have moved" in line for line in lines)
    assert lines[-1] == "completed"


def test_the_log_of_a_trial_that_fails_has_the_traceback(
    worker: Callable[[Job], SweepTrial], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Store(tmp_path / "store").write_space("name: t")
    job = job_of(tmp_path / "store")
    monkeypatch.setattr(run.TrialRun, "advance", lambda self: 1 // 0)
    assert worker(job).step()["report"].status is Status.FAILED
    lines = told(tmp_path / "store", job)
    assert lines[1] == "failed: Traceback (most recent call last):"
    assert lines[-1].startswith("ZeroDivisionError: ")


def test_a_trial_that_the_sweep_ends_says_so(worker: Callable[[Job], SweepTrial], tmp_path: Path) -> None:
    Store(tmp_path / "store").write_space("name: t")
    jobs = [job_of(tmp_path / "store"), job_of(tmp_path / "store", method="set")]
    taken = worker(jobs[0])
    taken.step()
    assert taken.reset_config({"job": jobs[1].model_dump_json()})
    assert told(tmp_path / "store", jobs[0])[-1].startswith("the sweep ended it")
    while not taken.step()["done"]:
        pass
    taken.stop()
    assert told(tmp_path / "store", jobs[1])[-1] == "completed"


def test_hsl_logs_takes_the_beginning_of_an_id(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write_space("name: t")
    for name in ("abc-0", "abc-01", "abd-0"):
        store.write_file(f"logs/{name}.txt", pa.py_buffer(f"of {name}\n\x1b[2Jend\n".encode()))
    run = CliRunner().invoke
    assert run(app, ["logs", str(tmp_path), "abd"]).stdout == "of abd-0\n\\x1b[2Jend\n"
    assert run(app, ["logs", str(tmp_path), "abc-0"]).stdout.startswith("of abc-0\n")
    with pytest.raises(HslError, match="3 trials begin with 'ab': abc-0, abc-01, abd-0"):
        read_log(store, "ab")
    with pytest.raises(NothingMatchedError, match="no trial 'x' has a log"):
        read_log(store, "x")
    assert isinstance(run(app, ["logs", str(tmp_path), "x"]).exception, NothingMatchedError)
