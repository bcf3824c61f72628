"""Sweeps whose data or plug-ins move or change between two runs, in this process."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_process import without_ray
from PIL import Image
from rich.console import Console

from hsl.driver.sweep import SweepReport, SweepRequest, sweep
from hsl.errors import StoreError
from hsl.results.best import best
from hsl.space.load import make_space
from hsl.store.merge import merge
from hsl.store.store import Store

CLASSES = ("bird", "cat", "dog")
SPACE: dict[str, Any] = {
    "name": "moved",
    "model": {"name": "mlp", "widths": [8]},
    "training": {"epochs": 2, "batch_size": 16, "checkpoint_every": 1},
    "regimes": {"hard": {"keep": {"fraction": 0.5, "by": "el2n", "models": 1}}},
    "factors": {"sparsity": [0.5]},
    "method": "omp",
    "search": {"training.lr": {"loguniform": [0.02, 0.2]}},
    "sampler": "random",
    "budget": {"configurations_per_cell": 2},
    "early_stopping": "none",
    "confirm": {"seeds": 1},
}
PLAIN: dict[str, Any] = {"method": "static", "regimes": {"clean": {}}}
Run = Callable[..., SweepReport]


def write_class(folder: Path, name: str, first: int, number: int = 20) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    for index in range(number):
        pixels = np.random.default_rng(first + index).integers(0, 256, (8, 8), np.uint8)
        Image.fromarray(pixels).save(folder / name / f"{index:03}.png")


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """A folder of three classes with twenty images each."""
    for number, name in enumerate(CLASSES):
        write_class(tmp_path / "pets", name, 1000 * number)
    return tmp_path / "pets"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    without_ray(monkeypatch, tmp_path / "cache")

    def start(dataset: object, store: str = "store", new_data: bool = False, **changes: Any) -> SweepReport:
        space = make_space({**SPACE, "dataset": str(dataset), **changes})
        request = SweepRequest(space, str(tmp_path / store), new_data=new_data)
        return sweep(request, Console(file=io.StringIO()))

    return start


def rows(folder: Path) -> list[dict[str, Any]]:
    return Store(folder).read("trials").to_pylist()


def ids(folder: Path) -> set[str]:
    return {row["trial_id"] for row in rows(folder)}


@pytest.mark.slow
def test_data_at_another_path_continue_a_store_and_merge(pets: Path, tmp_path: Path, run: Run) -> None:
    first = run(f"imagefolder:{pets}")
    assert first.failed == 0
    assert first.trained == 6, "two of the search and one confirmed, sparse and dense"
    elsewhere = Path(shutil.move(pets, tmp_path / "moved"))
    assert run(f"imagefolder:{elsewhere}").trained == 0
    more = run(f"imagefolder:{elsewhere}", budget={"configurations_per_cell": 3})
    assert (more.trained >= 2, more.failed) == (True, 0), (
        "parents and scores are read, and the data from there"
    )
    third = Path(shutil.copytree(elsewhere, tmp_path / "copied"))
    assert run(f"imagefolder:{third}", "other", budget={"configurations_per_cell": 3}).failed == 0
    merged = Store(tmp_path / "merged")
    done = merge([Store(tmp_path / "store"), Store(tmp_path / "other")], merged)
    assert (done.renamed, done.space) == ([], True), "they are of one space"
    assert len(rows(tmp_path / "merged")) == len({*ids(tmp_path / "store"), *ids(tmp_path / "other")})
    assert len({row["dataset"] for row in rows(tmp_path / "merged")}) == 1
    assert not any(
        "moved" in row["configuration"] or "pets" in row["configuration"]
        for row in merged.read("trials").to_pylist()
    )


def test_a_class_that_is_gone_is_refused_and_named(pets: Path, tmp_path: Path, run: Run) -> None:
    run(f"imagefolder:{pets}", **PLAIN)
    before = rows(tmp_path / "store")
    shutil.rmtree(pets / "cat")
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(pets / "dog" / "000.png")
    with pytest.raises(StoreError) as refused:
        run(f"imagefolder:{pets}", **PLAIN)
    message = str(refused.value)
    assert "class 'cat' is gone (20 samples)" in message
    assert "21 images gone, 1 image new, 60 before" in message
    assert "6 trials were trained" in message
    assert "--new-data" in message
    assert rows(tmp_path / "store") == before, "nothing was started"


@pytest.mark.slow
def test_changed_data_can_be_a_level_of_their_own(pets: Path, tmp_path: Path, run: Run) -> None:
    data = f"imagefolder:{pets}"
    run(data, **PLAIN)
    before = {row["trial_id"]: row for row in rows(tmp_path / "store")}
    shutil.rmtree(pets / "cat")
    assert run(data, new_data=True, **PLAIN).trained == 6
    after = {row["trial_id"]: row for row in rows(tmp_path / "store")}
    assert {name: after[name] for name in before} == before, "former results stay"
    cells = {row["cell"] for row in after.values()} - {row["cell"] for row in before.values()}
    assert cells == {"version=2/0.5", "version=2/dense"}
    assert run(data, **PLAIN).trained == 0, "from here on it is the store's"
    assert run(data, new_data=True, **PLAIN).trained == 0, "and the same command continues"
    found = best(Store(tmp_path / "store"), by=("dataset", "sparsity")).to_pylist()
    assert len({row["dataset"] for row in found}) == 2
    write_class(pets, "cat", 1000)
    assert run(data, new_data=True, **PLAIN).trained == 0, "the first data are known as well"


def test_a_store_that_does_not_know_its_data_is_continued_with_one_warning(tmp_path: Path, run: Run) -> None:
    changes = {**PLAIN, "training": {"epochs": 1}}
    run("digits", **changes)
    shutil.rmtree(tmp_path / "store" / "data")
    space = make_space({**SPACE, "dataset": "digits", **changes})
    for expected in (1, 0):
        said = io.StringIO()
        sweep(SweepRequest(space, str(tmp_path / "store")), Console(file=said))
        assert said.getvalue().count("from now on they are recorded") == expected


PLUGIN = '''
"""A network of the user's own."""
import torch
from torch import nn

from own import widths

def net(shape, classes):
    """One hidden layer."""
    hidden = nn.Linear(shape[0] * shape[1] * shape[2], widths.WIDTH)
    return nn.Sequential(nn.Flatten(), hidden, nn.ReLU(), nn.Linear(widths.WIDTH, classes))
'''


def write_plugin(folder: Path, width: int, comment: str = "") -> None:
    (folder / "own").mkdir(exist_ok=True)
    (folder / "own" / "__init__.py").write_text("")
    (folder / "own" / "net.py").write_text(f"{PLUGIN}\n# {comment}\n")
    (folder / "own" / "widths.py").write_text(f"WIDTH = {width}\n")
    for name in [name for name in sys.modules if name.partition(".")[0] == "own"]:
        del sys.modules[name]  # as in a process that begins


def test_changed_code_of_a_plug_in_is_refused(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    changes = {**PLAIN, "model": "own.net:net"}
    write_plugin(tmp_path, 8)
    assert run("digits", **changes).failed == 0
    ids = {row["trial_id"] for row in rows(tmp_path / "store")}
    assert all(json.loads(row["configuration"])["code"] for row in rows(tmp_path / "store"))
    write_plugin(tmp_path, 8, "better explained")
    assert run("digits", **changes).trained == 0, "a comment computes nothing"
    write_plugin(tmp_path, 9)
    with pytest.raises(StoreError, match=r"the code of own\.net:net is another"):
        run("digits", **changes)
    assert run("digits", new_data=True, **changes).failed == 0
    again = {row["trial_id"] for row in rows(tmp_path / "store")} - ids
    assert len(again) == len(ids), "the same configurations, and other trials"
