"""Sweeps with every kind of early stopping on real Ray: who waits is promoted or dropped, restarts change nothing."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hsl.results.audit import audit
from hsl.store.outcomes import Reason
from hsl.store.store import Store

Run = Callable[..., "subprocess.CompletedProcess[str]"]
Start = Callable[..., "subprocess.Popen[str]"]
Wait = Callable[[Path, int], None]
SpaceFile = Callable[..., Path]

EPOCHS, PER_CELL = 8, 9
CELLS = {"dense", "0.8"}


@pytest.fixture
def space(space_file: SpaceFile) -> Callable[..., Path]:
    """A space of two cells whose configurations differ much, with some early stopping."""

    def write(batch_size: int = 64, **early_stopping: Any) -> Path:
        return space_file(
            training={"epochs": EPOCHS, "batch_size": batch_size},
            regimes={"clean": {}},
            factors={"sparsity": [0.8]},
            search={
                "method": {"choice": ["static", "rigl"]},
                "training.lr": {"loguniform": [0.001, 0.5]},
            },
            budget={"configurations_per_cell": PER_CELL},
            early_stopping=early_stopping,
            confirm={"seeds": 0},
        )

    return write


def rows_of(store: Path) -> list[dict[str, Any]]:
    """Trials, each with all of its epochs once."""
    rows = Store(store).read("trials").to_pylist()
    seen: dict[str, list[int]] = {}
    for row in Store(store).read("epochs").to_pylist():
        seen.setdefault(row["trial_id"], []).append(row["epoch"])
    assert {name: sorted(epochs) for name, epochs in seen.items()} == {
        row["trial_id"]: list(range(1, row["epochs"] + 1)) for row in rows
    }
    assert len(rows) == len(CELLS) * PER_CELL
    assert {row["cell"] for row in rows if row["status"] == "completed"} == CELLS
    assert list((store / "checkpoints").glob("*")) == []
    return rows


@pytest.mark.slow
def test_promotion_pauses_at_rungs_and_ends_every_cell(
    sweep: Run, space: Callable[..., Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    done = sweep(space(kind="promotion", grace=1, reduction_factor=3, exempt=0.0), store)
    assert done.returncode == 0, done.stderr
    rows = rows_of(store)
    dropped = [row for row in rows if row["status"] == "stopped"]
    assert {row["reason"] for row in dropped} == {Reason.PAUSED}
    assert {row["epochs"] for row in dropped} <= {1, 3}
    for cell in CELLS:
        completed = [row for row in rows if row["cell"] == cell and row["status"] == "completed"]
        assert 1 <= len(completed) <= 4
    noted = {(row["rung"], row["epoch"]) for row in audit(Store(store)).to_pylist()}
    assert noted == {(1, 1), (3, 3)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["stratified", "median", "ray_asha", "ray_hyperband", "ray_median"])
def test_every_kind_ends_and_continues_with_nothing(
    kind: str, sweep: Run, space: Callable[..., Path], tmp_path: Path
) -> None:
    store = tmp_path / "store"
    done = sweep(space(kind=kind), store)
    assert done.returncode == 0, done.stderr
    rows = rows_of(store)
    assert any(row["status"] == "stopped" for row in rows) or kind == "ray_hyperband"
    again = sweep(space(kind=kind), store)
    assert "0 trials trained" in again.stderr
    assert rows_of(store) == rows


@pytest.mark.slow
def test_a_killed_driver_promotes_what_it_would_have(
    started: Start, sweep: Run, space: Callable[..., Path], wait_for_epochs: Wait, tmp_path: Path
) -> None:
    """Who waited and who was promoted is rebuilt from the store; what is trained twice has the same numbers."""
    store = tmp_path / "store"
    slow_enough = 8  # not to have ended before it is killed
    file = space(slow_enough, kind="promotion", grace=1, reduction_factor=2, exempt=0.0)
    for epochs in (6, 20):
        driver = started(file, store)
        wait_for_epochs(store, epochs)
        driver.send_signal(signal.SIGKILL)
        driver.wait(timeout=600)
    killed = {row["trial_id"]: row for row in Store(store).read("trials").to_pylist()}
    done = sweep(file, store)
    assert done.returncode == 0, done.stderr
    rows = {row["trial_id"]: row for row in rows_of(store)}
    assert killed.keys() <= rows.keys()
    assert sum(row["epochs"] for row in killed.values()) < sum(row["epochs"] for row in rows.values())
    for name, row in killed.items():
        assert row["reason"] == Reason.PAUSED or rows[name]["objective"] == row["objective"]
    for cell in CELLS:
        for rung in (1, 2, 4):
            there = [row for row in rows.values() if row["cell"] == cell and row["epochs"] >= rung]
            further = [row for row in there if row["epochs"] > rung]
            assert len(further) >= max(1, len(there) // 2)
    again = sweep(file, store)
    assert "0 trials trained" in again.stderr

    undisturbed = tmp_path / "undisturbed"
    assert sweep(file, undisturbed).returncode == 0
    others = {row["trial_id"]: row for row in rows_of(undisturbed)}
    assert others.keys() == rows.keys()
    same = [name for name in rows if rows[name]["epochs"] == others[name]["epochs"]]
    assert len(same) > len(rows) / 2
    assert all(rows[name]["val_clean_loss"] == others[name]["val_clean_loss"] for name in same)
