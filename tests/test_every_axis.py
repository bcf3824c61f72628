"""One thing of every axis plugged in from outside the package, all in one sweep."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import own_axes
import pytest
import yaml
from in_process import without_ray
from rich.console import Console

from hsl.driver.sweep import SweepReport, SweepRequest, sweep
from hsl.errors import SpaceError
from hsl.space.load import make_space
from hsl.store.store import Store

SPACE: dict[str, Any] = {
    "name": "own",
    "dataset": "own_axes:bars:90",
    "model": {"name": "own_axes:small", "width": 12},
    "training": {"epochs": 4, "batch_size": 32, "lr": 0.1},
    "regimes": {
        "own": {
            "keep": {"fraction": 0.5, "by": "own_axes:SLOPE", "which": "own_axes:every_other", "models": 1},
            "corruption": {"name": "own_axes:STRIPES", "severity": 2},
            "attack": {"name": "own_axes:sign", "eps": "4/255", "steps": 1},
        }
    },
    "factors": {"sparsity": [0.5]},
    "method": "own_axes:HALF_WAY",
    "distribution": "own_axes:by_width",
    "search": {"training.lr": {"loguniform": [0.0001, 1.0]}, "method.at": {"uniform": [0.2, 0.8]}},
    "sampler": {"name": "own_axes:Eager", "drawn": 3},
    "early_stopping": {"kind": "own_axes:Floor", "floor": 0.7},
    "budget": {"configurations_per_cell": 8},
    "confirm": {"seeds": 1},
}
Run = Callable[..., SweepReport]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    without_ray(monkeypatch, tmp_path / "cache")
    monkeypatch.setattr(own_axes.Diary, "file", tmp_path / "diary.txt")

    def swept(store: str, **changes: Any) -> SweepReport:
        space = make_space({**SPACE, **changes})
        console = Console(file=io.StringIO())
        return sweep(SweepRequest(space, str(tmp_path / store), trackers=["own_axes:Diary"]), console)

    return swept


def test_one_thing_of_every_axis_in_one_sweep(run: Run, tmp_path: Path) -> None:
    report = run("store")
    assert (report.failed, report.left) == (0, None)
    rows = Store(tmp_path / "store").read("trials").to_pylist()
    sparse = [row for row in rows if row["method"] == "own_axes:HALF_WAY" and row["stage"] == "search"]
    assert len(sparse) == 8
    assert {row["proposed_by"] for row in sparse} == {"own_axes:Eager"}
    assert {row["reason"] for row in sparse} == {None, "early stopping"}, "some below the floor, some above"
    for row in sparse:
        assert (row["epochs"] == 2) == (row["status"] == "stopped")
    whole = [row for row in sparse if row["status"] == "completed"]
    assert all(math.isclose(row["realised_sparsity"], 0.5, abs_tol=0.001) for row in whole)
    assert len({row["sparsity"] for row in sparse}) == 1
    told = (tmp_path / "diary.txt").read_text().splitlines()
    assert len(told) == len(set(told)) == sum(row["epochs"] for row in rows)


@pytest.mark.slow
def test_a_sweep_with_plug_ins_continues(run: Run, tmp_path: Path) -> None:
    run("store")
    assert run("store").trained == 0
    stored = yaml.safe_load((tmp_path / "store" / "space.yaml").read_text())
    assert stored["sampler"] == {"name": "own_axes:Eager", "drawn": 3}
    assert stored["early_stopping"] == {"kind": "own_axes:Floor", "floor": 0.7, "after": 2}
    assert run("store", budget={"configurations_per_cell": 9}).failed == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": {"name": "own_axes:Eager", "draw": 1}}, "draw: Extra inputs"),
        (
            {"early_stopping": {"kind": "own_axes:Floor", "after": "x"}},
            "after: Input should be a valid integer",
        ),
        ({"sampler": "own_axes:nothing"}, "cannot be imported"),
    ],
)
def test_arguments_of_plug_ins_are_checked_with_everything_else(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpaceError, match=message):
        make_space({**SPACE, **changes})


def test_a_sampler_of_optuna_by_its_reference() -> None:
    space = make_space({**SPACE, "sampler": {"name": "optuna.samplers:QMCSampler", "qmc_type": "sobol"}})
    assert type(space.sampler.build(3)).__name__ == "QMCSampler"
    assert space.model_dump()["sampler"] == {"name": "optuna.samplers:QMCSampler", "qmc_type": "sobol"}
