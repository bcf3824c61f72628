"""A sweep whose cells end when nothing that is left is worth a trial, in this process."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from in_process import without_ray
from rich.console import Console

from hsl.driver.sweep import SweepReport, SweepRequest, sweep
from hsl.driver.watch.status import read_status
from hsl.space.load import make_space
from hsl.store.store import Store

SPACE: dict[str, Any] = {
    "name": "enough",
    "dataset": "digits",
    "split": {"limit": 100},
    "model": {"name": "mlp", "widths": [8]},
    "training": {"epochs": 2, "checkpoint_every": 1},
    "factors": {"sparsity": [0.5, 0.8]},
    "method": "static",
    "search": {"training.lr": {"loguniform": [0.02, 0.2]}},
    "sampler": "transfer",
    "early_stopping": "none",
    "confirm": {"seeds": 0},
}
PLANNED = 6


def test_cells_that_have_enough_end_and_stay_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_ray(monkeypatch, tmp_path / "cache")
    uri = str(tmp_path / "store")
    store, said = Store(uri), io.StringIO()

    def run(**budget: Any) -> SweepReport:
        space = make_space({**SPACE, "budget": {"configurations_per_cell": PLANNED, **budget}})
        return sweep(SweepRequest(space, uri), Console(file=said, width=200))

    def enough() -> list[int | None]:
        return store.read("cells", ["enough"])["enough"].to_pylist()

    first = run(enough=0.9)  # no accuracy exceeds another one by so much
    assert first.trained < 3 * PLANNED
    assert enough() == [first.trained // 3] * 3
    assert (
        f"3 cells have enough (budget.enough): {3 * PLANNED - first.trained} configurations"
        in said.getvalue()
    )
    status = read_status(uri)
    assert status.enough == 3
    assert [row["planned"] for row in status.cells] == enough()
    assert any(line.startswith("3 cells have ended early") for line in status.lines())

    assert run(enough=0.9).trained == 0
    assert enough() == [first.trained // 3] * 3

    assert run().trained == 3 * PLANNED - first.trained
    assert enough() == [None] * 3
    assert read_status(uri).enough == 0
