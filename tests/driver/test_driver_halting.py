"""Sweeps whose trials run in this process, as Tune would drive them: halted by a budget, continued, confirmed."""

from __future__ import annotations

import io
import json
import shutil
import zipfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from in_process import without_ray
from rich.console import Console
from sweeps import TINY

from hsl.driver import sweep
from hsl.driver.session import spent_before
from hsl.driver.stages import Stages
from hsl.driver.watch.status import read_status
from hsl.space.load import make_space
from hsl.store.store import Store

SPACE: dict[str, Any] = {
    "name": "t",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [8]},
    "training": {"epochs": 20, "batch_size": 256, "checkpoint_every": 8, "evaluate_every": 10},
    "factors": {"sparsity": [0.5, 0.8]},
    "method": "static",
    "search": {"training.lr": {"loguniform": [0.02, 0.2]}},
    "sampler": "random",
    "budget": {"configurations_per_cell": 2},
    "early_stopping": "none",
    "confirm": {"seeds": 1},
}
Run = Callable[..., sweep.SweepReport]
Undisturbed = Callable[[dict[str, Any]], Path]


def swept(store: Path, base: dict[str, Any] = SPACE, **changes: Any) -> sweep.SweepReport:
    """A sweep of a space, run into a store."""
    request = sweep.SweepRequest(make_space({**base, **changes}), str(store))
    return sweep.sweep(request, Console(file=io.StringIO()))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Runs a sweep in this process, into a folder of that name."""
    without_ray(monkeypatch, tmp_path / "cache")
    return lambda store, *base, **changes: swept(tmp_path / store, *base, **changes)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """The stores of sweeps that nothing happened to, each made once."""
    folder = tmp_path_factory.mktemp("undisturbed")

    def store(base: dict[str, Any]) -> Path:
        made = folder / base["name"]
        if not made.exists():
            with pytest.MonkeyPatch.context() as patch:
                without_ray(patch, folder / "cache")
                assert swept(made, base).left is None
        return made

    return store


NAMES = ("objective", "test_matched_accuracy", "train_loss", "nonzeros", "epochs", "proposal", "status")


def results(store: Path) -> dict[str, list[Any]]:
    return {row["trial_id"]: [row[n] for n in NAMES] for row in Store(store).read("trials").to_pylist()}


def test_a_halted_sweep_continues_to_the_same_results_and_the_same_account(
    run: Run, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    shutil.copytree(undisturbed(SPACE), tmp_path / "whole")
    assert len(results(tmp_path / "whole")) == 6 + 3
    trained = 0
    for limit in (5, 45, 100):
        halted = run("halted", budget={"configurations_per_cell": 2, "epochs": limit})
        trained += halted.trained
        assert f"of {limit}" in str(halted.left)
        assert limit <= spent_before(Store(tmp_path / "halted")).epochs < 180
    assert 0 < trained < 9
    last = run("halted")
    assert last.left is None
    assert trained + last.trained == 9
    assert results(tmp_path / "halted") == results(tmp_path / "whole")
    spent = [spent_before(Store(tmp_path / name)).epochs for name in ("halted", "whole")]
    assert spent == [180, 180]
    checkpoints = tmp_path / "whole" / "checkpoints"
    kept = {file.name for file in checkpoints.iterdir()}
    assert len(kept) == 3, "the confirmed networks"
    searched = next(name for name in results(tmp_path / "whole") if f"{name}.safetensors" not in kept)
    (checkpoints / f"{searched}.safetensors").touch()  # what a driver that is killed may leave
    assert run("whole").trained == 0
    assert {file.name for file in checkpoints.iterdir()} == kept


def test_a_grown_budget_trains_only_what_is_new(run: Run, undisturbed: Undisturbed, tmp_path: Path) -> None:
    shutil.copytree(undisturbed(SPACE), tmp_path / "grown")
    before = results(tmp_path / "grown")
    assert run("grown", confirm={"seeds": 2}).trained == 3
    after = results(tmp_path / "grown")
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 3


def test_former_winners_count_as_planned(run: Run, tmp_path: Path) -> None:
    budgets: list[dict[str, Any]] = [{"configurations_per_cell": count} for count in (1, 5)]
    for budget in budgets:
        run("former", budget=budget)
    ended = Counter(
        row["cell"]
        for row in Store(tmp_path / "former").read("trials").to_pylist()
        if row["stage"] == "confirm"
    )
    assert max(ended.values()) == 2, "no winner has changed"
    space = make_space({**SPACE, "budget": budgets[-1]})
    site = sweep.site_of(sweep.SweepRequest(space, str(tmp_path / "former")), Console(file=io.StringIO()))
    stage = Stages(site.plan, site.store, site.library, site.jobs).confirm()
    assert stage.is_done
    assert stage.planned == ended
    confirmed = [row for row in read_status(str(tmp_path / "former")).cells if row["stage"] == "confirm"]
    assert {row["cell"]: row["planned"] for row in confirmed} == ended


def test_warm_cells_wait_and_seeds_are_added_until_it_is_clear(run: Run, tmp_path: Path) -> None:
    confirm = {"seeds": 5, "min_seeds": 3, "stop": {"width": 0.9}}
    report = run("warm", warm_start={"configurations": 1}, confirm=confirm)
    rows = Store(tmp_path / "warm").read("trials").to_pylist()
    assert (report.trained, report.left) == (6 + 3 * 3, None)
    proposed = {(row["cell"], row["proposal"]): row for row in rows if row["stage"] == "search"}
    assert proposed["0.8", 0]["proposed_by"] == "warm_start"
    best = max((proposed["0.5", n] for n in (0, 1)), key=lambda row: row["objective"])
    assert proposed["0.8", 0]["parameters"] == best["parameters"]
    assert sorted({row["seed"] for row in rows if row["stage"] == "confirm"}) == [1, 2, 3]
    assert run("warm", warm_start={"configurations": 1}, confirm=confirm).trained == 0


def test_a_store_whose_parents_and_scores_were_emptied_ends_as_the_undisturbed_one(
    run: Run, undisturbed: Undisturbed, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = tmp_path / "emptied"
    begun = run("emptied", TINY, budget={"configurations_per_cell": 1}, confirm={"seeds": 0})
    derived = [*(store / "parents").iterdir(), *(store / "scores").rglob("*.parquet")]
    assert (begun.trained, len(derived)) == (4, 2 + 1 + 2), "parents of two regimes, scores and their parts"
    for file in derived:
        file.write_bytes(b"")
    with caplog.at_level("WARNING"):
        done = run("emptied", TINY)
    assert all(f"{file}: damaged" in caplog.text or f"{file}: the scores" in caplog.text for file in derived)
    assert (done.failed, done.left) == (0, None)
    assert results(store) == results(undisturbed(TINY))


def test_a_store_and_checkpoints_of_version_0_1_0_are_continued(
    run: Run, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    """Its driver was killed with eight trials ended and two under way, each with two generations of a checkpoint.

    It was written on another machine, whose last digits may differ from those of this one.
    """
    store, under_way = tmp_path / "old", ("404b5b6adb-0", "f73ff34c4f-0")
    with zipfile.ZipFile(Path(__file__).with_name("store_0_1_0.zip")) as archive:
        archive.extractall(store)
    before = Store(store).read("trials").to_pylist()
    assert {json.loads(row["provenance"])["versions"]["hsl"] for row in before} == {"0.1.0"}
    parents = {file: file.read_bytes() for file in (store / "parents").iterdir()}
    done = run("old", TINY)
    assert (len(before), done.failed, done.left) == (8, 0, None)
    rows = Store(store).read("trials").to_pylist()
    assert [row for row in rows if row["trial_id"] in {row["trial_id"] for row in before}] == before
    assert {file: file.read_bytes() for file in parents} == parents
    for name in under_way:
        assert "continues after epoch" in (store / "logs" / f"{name}.txt").read_text()
    former = undisturbed({**TINY, "name": "former", "defaults": "0.1"})
    expected = {row["trial_id"]: row for row in Store(former).read("trials").to_pylist()}
    searched = {row["trial_id"]: row for row in rows if row["stage"] == "search"}
    assert searched.keys() == {name for name, row in expected.items() if row["stage"] == "search"}
    assert len(rows) == len(expected)
    for name, row in searched.items():
        assert row["objective"] == pytest.approx(expected[name]["objective"], abs=0.05)
        assert (row["epochs"], row["nonzeros"]) == (expected[name]["epochs"], expected[name]["nonzeros"])
