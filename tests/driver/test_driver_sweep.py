"""Whole sweeps on real Ray: nothing twice, nothing missing, whatever happens to the driver."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hsl.store.store import Store

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Path, int], None]
SpaceFile = Callable[..., Path]

pytestmark = pytest.mark.timeout(3600)  # the first of these tests waits for a whole sweep

SEARCH_TRIALS = 2 * 3 + 2 * 3  # two regimes; three dense and three sparse configurations each
CONFIRM_TRIALS = 4 * 2  # four cells, two seeds
RESULTS = (
    "objective",
    "test_matched_accuracy",
    "train_loss",
    "val_clean_loss",
    "nonzeros",
    "layer_densities",
)


def trials(store: Path) -> dict[str, dict[str, Any]]:
    rows = Store(store).read("trials").to_pylist()
    assert len({row["trial_id"] for row in rows}) == len(rows)
    return {row["trial_id"]: row for row in rows}


def assert_complete(store: Path) -> None:
    """Every trial once, with each of its epochs once."""
    epochs: dict[str, list[int]] = {}
    for row in Store(store).read("epochs").to_pylist():
        epochs.setdefault(row["trial_id"], []).append(row["epoch"])
    trained = {name: list(range(1, row["epochs"] + 1)) for name, row in trials(store).items()}
    assert {name: sorted(seen) for name, seen in epochs.items()} == trained


def results(store: Path) -> dict[str, list[Any]]:
    return {name: [row[column] for column in RESULTS] for name, row in trials(store).items()}


@pytest.fixture(scope="module")
def undisturbed(sweep: Run, space_file: SpaceFile, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a sweep that nothing happened to."""
    store = tmp_path_factory.mktemp("runs") / "undisturbed"
    done = sweep(space_file(), store)
    assert done.returncode == 0, done.stderr
    assert "hard" in done.stdout
    return store


def test_a_sweep_trains_every_planned_trial_once(undisturbed: Path) -> None:
    rows = trials(undisturbed).values()
    assert_complete(undisturbed)
    assert sum(row["stage"] == "search" for row in rows) == SEARCH_TRIALS
    assert sum(row["stage"] == "confirm" for row in rows) == CONFIRM_TRIALS
    assert {row["status"] for row in rows} == {"completed"}
    assert {row["cell"] for row in rows} == {"clean/dense", "hard/dense", "clean/0.8", "hard/0.8"}
    confirmed = {f"{row['trial_id']}.safetensors" for row in rows if row["stage"] == "confirm"}
    assert {file.name for file in (undisturbed / "checkpoints").iterdir()} == confirmed
    sparse = [row for row in rows if row["method"] != "dense"]
    assert {row["method"] for row in sparse} == {"static", "rigl", "omp"}
    for row in sparse:
        assert row["nonzeros"] == round(0.2 * row["parameters_total"])
        assert row["inference_flops"] < 0.3


def test_training_flops_count_the_parent(undisturbed: Path) -> None:
    flops: dict[str, list[float]] = {}
    for row in trials(undisturbed).values():
        flops.setdefault(row["method"], []).append(row["training_flops"])
    assert flops["dense"] == pytest.approx([1.0] * len(flops["dense"]))
    assert max(flops["static"]) < min(flops["rigl"]) < 1 < min(flops["omp"])


def test_confirmation_uses_fresh_seeds_of_the_validation_winner(undisturbed: Path) -> None:
    rows = trials(undisturbed).values()
    for cell in {row["cell"] for row in rows}:
        search = [row for row in rows if row["cell"] == cell and row["stage"] == "search"]
        confirm = [row for row in rows if row["cell"] == cell and row["stage"] == "confirm"]
        chosen = [row for row in search if row["configuration_id"] == confirm[0]["configuration_id"]]
        assert [row["objective"] for row in chosen] == [max(row["objective"] for row in search)]
        assert {row["seed"] for row in search} == {0}
        assert sorted(row["seed"] for row in confirm) == [1, 2]


def test_run_again_does_nothing(undisturbed: Path, sweep: Run, space_file: SpaceFile) -> None:
    before = {file: file.stat().st_mtime_ns for file in undisturbed.rglob("*.parquet")}
    done = sweep(space_file(), undisturbed)
    assert done.returncode == 0, done.stderr
    assert "0 trials trained" in done.stderr
    assert {file: file.stat().st_mtime_ns for file in undisturbed.rglob("*.parquet")} == before


@pytest.mark.slow
def test_killed_driver_continues_to_the_same_numbers(
    undisturbed: Path,
    started: Start,
    sweep: Run,
    space_file: SpaceFile,
    wait_for_epochs: Wait,
    tmp_path: Path,
) -> None:
    space, store = space_file(), tmp_path / "killed"
    driver = started(space, store)
    wait_for_epochs(store, 8)
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=600)
    assert len(trials(store)) < SEARCH_TRIALS + CONFIRM_TRIALS
    done = sweep(space, store)
    assert done.returncode == 0, done.stderr
    assert_complete(store)
    assert results(store) == results(undisturbed)


@pytest.mark.slow
def test_a_grown_space_trains_only_what_is_new(
    undisturbed: Path, sweep: Run, space_file: SpaceFile, tmp_path: Path
) -> None:
    before, grown = results(undisturbed), tmp_path / "grown"
    shutil.copytree(undisturbed, grown)
    done = sweep(space_file(confirm={"top": 1, "seeds": 3}), grown)
    assert done.returncode == 0, done.stderr
    assert "4 trials trained" in done.stderr
    after = results(grown)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 4


@pytest.mark.slow
def test_interrupted_driver_ends_cleanly(
    started: Start, space_file: SpaceFile, wait_for_epochs: Wait, tmp_path: Path
) -> None:
    store = tmp_path / "interrupted"
    driver = started(space_file(), store)
    wait_for_epochs(store, 4)
    os.killpg(driver.pid, signal.SIGINT)
    assert driver.wait(timeout=600) == 130
    assert driver.stderr is not None
    assert "the same command continues" in driver.stderr.read()
    assert len(Store(store).read("epochs")) >= 4


def trial_workers(leader: int) -> list[int]:
    """Processes of the session of `leader` that train trials."""
    command = ["pgrep", "-s", str(leader), "-f", "ray::(SweepTrial|ResourceTrainable)"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return [int(line) for line in found.stdout.split()]


@pytest.mark.slow
def test_killed_workers_lose_nothing(
    undisturbed: Path, started: Start, space_file: SpaceFile, tmp_path: Path
) -> None:
    store = tmp_path / "workers"
    driver = started(space_file(), store)
    killed, last = 0, 0.0
    until = time.monotonic() + 1200
    while driver.poll() is None and time.monotonic() < until:
        workers = trial_workers(driver.pid)
        if workers and killed < 3 and time.monotonic() - last > 3:
            os.kill(workers[0], signal.SIGKILL)
            killed, last = killed + 1, time.monotonic()
        time.sleep(0.1)
    assert driver.wait(timeout=600) == 0
    assert killed
    assert_complete(store)
    assert results(store).items() <= results(undisturbed).items()
