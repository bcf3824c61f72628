"""A sweep whose workers and driver are killed again and again ends as the one that nothing happened to."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hsl.errors import StoreError
from hsl.store.store import Store

Start = Callable[..., "subprocess.Popen[str]"]

DRIVER_KILLS = 5
WORKER_KILL_SECONDS = 5.0
WORKER_KILLS = 10
LIMIT_SECONDS = 2400

SPACE: dict[str, Any] = {
    "training": {"epochs": 4, "batch_size": 64, "checkpoint_every": 1},
    "factors": {"regime": ["clean", "hard"], "sparsity": [0.5, 0.9]},
    "search": {
        "method": {"choice": ["static", "rigl", "gmp", "omp"]},
        "training.lr": {"loguniform": [0.02, 0.2]},
        "training.batch_size": {"choice": [32, 64]},
    },
    "budget": {"configurations_per_cell": 17},
    "confirm": {"top": 1, "seeds": 2},
}
TRIALS = 6 * 17 + 6 * 2

MEASURED = {"seconds"}
"""Columns that differ from run to run."""

DISTURBED = {"attempts", "repeated_epochs"}
"""Columns that tell what a trial went through, beside what was found."""

TIMES = MEASURED | DISTURBED | {"sequence", "started_at", "ended_at", "provenance", "node", "device"}


def stored_epochs(store: Path) -> int:
    try:
        return len(Store(store).read("epochs"))
    except StoreError:
        return 0


def workers_of(leader: int) -> list[int]:
    command = ["pgrep", "-s", str(leader), "-f", "ray::(SweepTrial|ResourceTrainable|_ResourceTrainable)"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


class Chaos:
    """Kills workers from time to time, each time after something new was stored.

    A worker that has come since the last time is spared: where workers take long to start, one trial would be
    struck until it is given up.
    """

    def __init__(self, store: Path, seed: int) -> None:
        self._store = store
        self._random = random.Random(seed)
        self._due_at, self._seen = time.monotonic(), 0
        self._known: set[int] = set()
        self.workers = 0

    def strike(self, leader: int, epochs: int) -> None:
        """Kill a random worker of a driver, if it is time and there has been progress."""
        is_early = time.monotonic() - self._due_at < WORKER_KILL_SECONDS
        if is_early or epochs <= self._seen or self.workers >= WORKER_KILLS:
            return
        workers = set(workers_of(leader))
        known, self._known = sorted(workers & self._known), workers
        self._due_at, self._seen = time.monotonic(), epochs
        if known:
            os.kill(self._random.choice(known), signal.SIGKILL)
            self.workers += 1

    def damage(self) -> None:
        """Cut off a newest checkpoint, and leave half a part in the store."""
        checkpoints = sorted((self._store / "checkpoints").glob("*.safetensors"))
        if checkpoints:
            file = self._random.choice(checkpoints)
            file.write_bytes(file.read_bytes()[:-1000])
        whole = next((self._store / "epochs").glob("part-*.parquet")).read_bytes()
        (self._store / "epochs" / "part-00ff-1.parquet").write_bytes(whole[: len(whole) // 2])


def run_under_chaos(start: Start, space: Path, store: Path, chaos: Chaos) -> float:
    """Drive a sweep to its end, killing its driver at `DRIVER_KILLS` points of its progress."""
    began = time.monotonic()
    total = TRIALS * SPACE["training"]["epochs"]
    kills = [total * (number + 1) // (DRIVER_KILLS + 1) for number in range(DRIVER_KILLS)]
    driver = start(space, store)
    while time.monotonic() - began < LIMIT_SECONDS:
        if driver.poll() is not None:
            assert driver.returncode == 0, reasons(store)
            assert not kills, "the sweep ended before its driver was killed as often as promised"
            return time.monotonic() - began
        epochs = stored_epochs(store)
        if kills and epochs >= kills[0]:
            kills.pop(0)
            driver.kill()
            driver.wait(timeout=600)
            if len(kills) == DRIVER_KILLS // 2:
                chaos.damage()
            driver = start(space, store)
        else:
            chaos.strike(driver.pid, epochs)
        time.sleep(0.2)
    raise TimeoutError("the sweep under chaos does not end")


def rows_by_key(store: Path, table: str, without: set[str]) -> dict[Any, dict[str, Any]]:
    rows = Store(store).read(table).to_pylist()
    keyed = {(row["trial_id"], row.get("epoch")): row for row in rows}
    assert len(keyed) == len(rows)
    return {key: {name: row[name] for name in row.keys() - without} for key, row in keyed.items()}


def reasons(store: Path) -> dict[str, str]:
    """Why trials failed, by their ids."""
    return {
        row["trial_id"]: row["reason"] for row in Store(store).read("trials").to_pylist() if row["reason"]
    }


def repeated(store: Path) -> int:
    """Epochs that were trained again."""
    return sum(row["repeated_epochs"] for row in Store(store).read("trials").to_pylist())


@pytest.mark.slow
def test_nothing_is_lost_or_done_twice_under_chaos(
    started: Start, space_file: Callable[..., Path], tmp_path: Path
) -> None:
    space = space_file(**SPACE)
    calm, disturbed = tmp_path / "calm", tmp_path / "disturbed"
    began = time.monotonic()
    driver = started(space, calm)
    assert driver.wait(timeout=LIMIT_SECONDS) == 0
    calm_seconds = time.monotonic() - began

    chaos = Chaos(disturbed, seed=1)
    seconds = run_under_chaos(started, space, disturbed, chaos)

    trials = rows_by_key(calm, "trials", TIMES)
    assert len(trials) == TRIALS
    assert {row["status"] for row in trials.values()} == {"completed"}
    assert rows_by_key(disturbed, "trials", TIMES) == trials
    without = {"sequence", *MEASURED}
    assert rows_by_key(disturbed, "epochs", without) == rows_by_key(calm, "epochs", without)
    assert repeated(calm) == 0
    assert repeated(disturbed) <= 1, "more than the epoch whose checkpoint was cut"
    assert chaos.workers >= 2, "on a loaded machine few are old enough to be killed"
    assert not (disturbed / "lease.json").exists()
    retried = sum(row["attempts"] > 1 for row in Store(disturbed).read("trials").to_pylist())
    print(
        f"\n{TRIALS} trials; undisturbed {calm_seconds:.0f} s; with {DRIVER_KILLS} kills of the driver and "
        f"{chaos.workers} of workers {seconds:.0f} s; {retried} trials started again within a run"
    )
