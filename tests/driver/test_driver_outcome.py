"""What `hsl sweep` says at its end, or instead of it: exit codes, reasons, what stands in the way."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import Outcome, command
from in_process import without_ray

from hsl.store.lease import lease
from hsl.store.store import Store

SpaceFile = Callable[..., Path]
Command = Callable[..., Outcome]

ONE_CELL: dict[str, Any] = {
    "regimes": {"clean": {}},
    "factors": {"sparsity": [0.8]},
    "method": "static",
    "confirm": {"seeds": 0},
}


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Runs commands in this process, without Ray."""
    without_ray(monkeypatch, tmp_path / "cache")
    return command


def test_a_failed_trial_is_a_result_and_an_exit_code(
    here: Command, space_file: SpaceFile, tmp_path: Path
) -> None:
    space, store = space_file(**ONE_CELL, search={"training.lr": {"choice": [0.1, 1e30]}}), tmp_path / "store"
    done = here("sweep", str(space), "--store", str(store))
    assert done.returncode == 3, done.stderr
    rows = Store(store).read("trials").to_pylist()
    failed = [row for row in rows if row["status"] == "failed"]
    assert {json.loads(row["parameters"])["training.lr"] for row in failed} == {1e30}
    assert all("training loss" in row["reason"] for row in failed)
    assert sum(row["status"] == "completed" for row in rows) == 2
    assert "clean" in done.stdout, "what did not fail is shown"


def test_a_sweep_in_which_every_trial_fails_says_why(
    here: Command, space_file: SpaceFile, tmp_path: Path
) -> None:
    space = space_file(**ONE_CELL, search={"training.lr": {"choice": [1e30]}}, baseline=None)
    done = here("sweep", str(space), "--store", str(tmp_path / "store"))
    assert done.returncode == 3, done.stderr
    assert "1 trial failed, and none was completed:" in done.stderr
    assert "\n  1 x " in done.stderr
    assert "try a smaller training.lr" in done.stderr
    assert done.stdout == ""


def test_another_space_is_refused_with_the_difference(
    here: Command, space_file: SpaceFile, tmp_path: Path
) -> None:
    space, store = space_file(**ONE_CELL), str(tmp_path / "store")
    assert here("sweep", str(space), "--store", store).returncode == 0
    done = here("sweep", str(space), "--store", store, "training.batch_size=32")
    assert done.returncode == 2
    assert "training.batch_size: stored 64, given 32" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_driver_is_refused(here: Command, space_file: SpaceFile, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with lease(str(store)):
        done = here("sweep", str(space_file()), "--store", str(store))
    assert done.returncode == 2
    assert "another sweep" in done.stderr
    assert f"process {os.getpid()}" in done.stderr
    assert not (store / "space.yaml").exists()
