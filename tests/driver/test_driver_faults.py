"""Faults of every kind on real Ray: each leaves the sweep able to finish with every trial exactly once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from hsl.store.store import Store

LIMIT_SECONDS = 2400

pytestmark = pytest.mark.slow


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python in a process of its own that finds the plug-ins of this folder."""
    path = os.pathsep.join([str(Path(__file__).parents[1] / "support"), os.environ.get("PYTHONPATH", "")])

    def start(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *arguments],
            env={**environment, "PYTHONPATH": path},
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    return start


def rows_of(store: Path) -> list[dict[str, Any]]:
    rows = Store(store).read("trials").to_pylist()
    assert len({row["trial_id"] for row in rows}) == len(rows)
    epochs: dict[str, list[int]] = {}
    for row in Store(store).read("epochs").to_pylist():
        epochs.setdefault(row["trial_id"], []).append(row["epoch"])
    for row in rows:
        assert sorted(epochs.get(row["trial_id"], [])) == list(range(1, row["epochs"] + 1))
    return rows


def test_faults_of_workers_are_results_or_are_repeated(
    run: Callable[..., subprocess.CompletedProcess[str]], space_file: Callable[..., Path], tmp_path: Path
) -> None:
    faults, store = tmp_path / "faults", tmp_path / "store"
    faults.mkdir()
    for name in ("1-hang", "2-kill", "3-memory", "4-kill", "5-exception"):
        (faults / name).touch()
    space = space_file(
        model={"name": "search_faulty:build", "folder": str(faults)},
        regimes={"clean": {}},
        factors={"sparsity": [0.8]},
        method="static",
        search={"training.batch_size": {"choice": [32, 48, 64, 96, 128]}},
        baseline=None,
        budget={"configurations_per_cell": 5},
        confirm={"seeds": 0},
        trial_timeout=12,
    )
    done = run("-m", "hsl.cli", "sweep", str(space), "--store", str(store), "--allow-plugins")
    assert done.returncode == 3, done.stderr
    assert not list(faults.iterdir())
    rows = rows_of(store)
    assert len(rows) == 5
    reasons = sorted(
        (row["reason"] or "").strip().splitlines()[-1][:40] for row in rows if row["status"] == "failed"
    )
    assert [reason.partition(":")[0].partition(" (")[0] for reason in reasons] == [
        "ZeroDivisionError",
        "no report within trial_timeout",
        "out of memory",
    ]
    completed = [row for row in rows if row["status"] == "completed"]
    assert len(completed) == 2
    assert (
        sum(row["attempts"] for row in rows) == 5 + 3 + 3
    )  # hang, two kills; three more for the poisoned one

    shown = run("-m", "hsl.cli", "status", str(store), "--allow-plugins")
    assert shown.returncode == 0, shown.stderr
    assert "search: 5 of 5 trials ended (2 completed, 0 stopped early, 3 failed), 0 under way" in shown.stdout
    assert "no report within trial_timeout (12 s)" in shown.stdout


def test_a_machine_without_memory_fails_the_trial_that_takes_it(
    run: Callable[..., subprocess.CompletedProcess[str]],
    space_file: Callable[..., Path],
    tmp_path: Path,
    environment: dict[str, str],
) -> None:
    memory = psutil.virtual_memory()
    environment["RAY_memory_usage_threshold"] = str(
        (memory.total - memory.available + (5 << 30)) / memory.total
    )
    environment["RAY_memory_monitor_refresh_ms"] = "100"
    faults, store = tmp_path / "faults", tmp_path / "store"
    faults.mkdir()
    space = space_file(
        model={"name": "search_faulty:build", "folder": str(faults)},
        regimes={"clean": {}},
        factors={"sparsity": [0.8]},
        method="static",
        search={"training.batch_size": {"choice": [24, 64]}},
        baseline=None,
        budget={"configurations_per_cell": 2},
        confirm={"seeds": 0},
        resources={"cpu": 2},
    )
    done = run("-m", "hsl.cli", "sweep", str(space), "--store", str(store), "--allow-plugins")
    assert done.returncode == 3, done.stderr
    failed, completed = sorted(rows_of(store), key=lambda row: row["status"] == "completed")
    assert completed["status"] == "completed"
    assert failed["reason"].startswith("out of memory")
    assert json.loads(failed["parameters"]) == {"training.batch_size": 24}


FAILING_DRIVER = """
import sys
from rich.console import Console
from hsl.driver.tune.callback import DriverCallback
from hsl.space.load import load_space
from hsl.driver.sweep import SweepRequest, sweep

told, every, failures = 0, int(sys.argv[3]), int(sys.argv[4])
real = DriverCallback.on_trial_result

def on_trial_result(self, *arguments, **keywords):
    global told, failures
    told += 1
    if told % every == 0 and failures > 0:
        failures -= 1
        raise ZeroDivisionError("a bug in a callback")
    real(self, *arguments, **keywords)

DriverCallback.on_trial_result = on_trial_result
print(sweep(SweepRequest(load_space(sys.argv[1]), sys.argv[2]), Console(width=200)))
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def test_a_driver_that_fails_starts_again_from_its_store(
    run: Run, space_file: Callable[..., Path], tmp_path: Path
) -> None:
    space, store = space_file(regimes={"clean": {}}, factors={"sparsity": [0.8]}), tmp_path / "store"
    done = run("-c", FAILING_DRIVER, str(space), str(store), "3", "2")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.count("the driver failed (ZeroDivisionError: a bug in a callback); it starts again") == 2
    )
    assert len(rows_of(store)) == 2 * 3 + 2 * 2


def test_a_driver_that_only_fails_gives_up_and_leaves_a_store_that_continues(
    run: Run, space_file: Callable[..., Path], tmp_path: Path
) -> None:
    space = space_file(
        regimes={"clean": {}}, factors={"sparsity": [0.8]}, method="static", baseline=None, search={}
    )
    store = tmp_path / "store"
    done = run("-c", FAILING_DRIVER, str(space), str(store), "1", "99")
    assert done.returncode == 1
    assert "3 of 3 times without progress" in done.stdout
    assert "a bug in a callback" in done.stderr
    assert not (store / "lease.json").exists()
    assert run("-c", FAILING_DRIVER, str(space), str(store), "1", "0").returncode == 0
    assert len(rows_of(store)) == 1 + 2
