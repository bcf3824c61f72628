"""``split.seed`` as a factor, from the space to the answers: every division is a small sweep of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from in_process import without_ray
from test_driver_halting import swept

from hsl.results.best import best
from hsl.results.compare import compare
from hsl.results.report.evidence import gather
from hsl.store.packed import unpacked
from hsl.store.store import Store
from hsl.training.configuration import Configuration
from hsl.training.data.datasets import load_divided
from hsl.winner import pinned_space

pytestmark = pytest.mark.slow

SPLITS = (0, 4, 7)
SPACE: dict[str, Any] = {
    "name": "splits",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [8]},
    "training": {"epochs": 2, "batch_size": 128, "lr": 0.3},
    "regimes": {"hard": {"keep": {"fraction": 0.5, "by": "el2n", "models": 1}}},
    "factors": {"split.seed": list(SPLITS), "sparsity": [0.5]},
    "method": "omp",
    "budget": {"configurations_per_cell": 1},
    "early_stopping": None,
    "confirm": {"seeds": 2},
    "evaluation": {"per_sample": True, "per_class": False, "checkpoints": "final"},
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp("splits")
    with pytest.MonkeyPatch.context() as patch:
        without_ray(patch, folder / "cache")
        report = swept(folder / "store", SPACE)
        assert (report.failed, report.left) == (0, None)
        yield Store(folder / "store")


def rows_of(table: pa.Table, **key: object) -> list[dict[str, Any]]:
    return [row for row in table.to_pylist() if all(row[name] == value for name, value in key.items())]


def test_every_division_has_cells_of_its_own(store: Store) -> None:
    cells = {row["cell"] for row in store.read("cells").to_pylist()}
    assert cells == {f"split.seed={seed}/{kind}" for seed in SPLITS for kind in ("0.5", "dense")}
    for row in store.read("trials").to_pylist():
        made = Configuration.from_stored(row["configuration"])
        assert f"split.seed={made.split.seed}/" in row["cell"]
        assert row["split_seed"] == made.split.seed


def test_scores_and_parents_and_test_samples_are_of_the_division(store: Store) -> None:
    root = Path(str(store.uri))
    models = [pq.read_table(file) for file in (root / "scores").glob("*.parquet")]
    assert len(models) == len(SPLITS)
    parents = {file.stem for file in (root / "parents").iterdir()}
    assert len({name.partition("-")[0] for name in parents}) == len(SPLITS)
    trials = {row["trial_id"]: row for row in store.read("trials").to_pylist()}
    found = rows_of(store.read("evaluations"), measure="sample", detail="clean", split="test")
    assert len(found) == 2 * 2 * len(SPLITS)
    for row in found:
        split = Configuration.from_stored(trials[row["trial_id"]]["configuration"]).split
        assert unpacked(row["correct"])[0].tolist() == load_divided("digits", split)[1].test.tolist()


def test_answers_pool_divisions_each_against_its_own_dense(store: Store) -> None:
    (row,) = rows_of(best(store), baseline=False)
    each = rows_of(best(store, by=["split_seed"]), baseline=False)
    assert [one["split_seed"] for one in each] == list(SPLITS)
    assert (row["splits"], row["seeds"], row["cell"]) == (3, 6, None)
    assert row["difference"] == pytest.approx(fmean(one["difference"] for one in each))
    for one in each:
        (dense,) = rows_of(best(store, by=["split_seed"]), baseline=True, split_seed=one["split_seed"])
        assert one["difference"] == pytest.approx(one["test_mean"] - dense["test_mean"])
    (other,) = compare(store, "sparsity = 0.5", "baseline").to_pylist()
    names = ("difference", "difference_low", "difference_high", "splits")
    assert [other[name] for name in names] == pytest.approx([row[name] for name in names])


def test_a_winner_and_a_report_are_of_one_division(store: Store) -> None:
    assert yaml.safe_load(pinned_space(store, "split.seed=7/0.5"))["split"]["seed"] == 7
    evidence = gather(str(store.uri))
    assert evidence.settings == ("split_seed", "regime")
    assert evidence.setting(evidence.winners[0]) == "hard · split 0"


def test_a_store_of_an_earlier_version_says_its_division(store: Store, tmp_path: Path) -> None:
    old = Store(tmp_path)
    old.append_table("trials", store.read("trials"))
    (file,) = (tmp_path / "trials").iterdir()
    pq.write_table(pq.read_table(file).drop_columns("split_seed"), file)
    assert old.read("trials").equals(store.read("trials"))
    assert old.read("trials", ["split_seed"]).equals(store.read("trials", ["split_seed"]))
    assert "configuration" not in old.read("trials", ["split_seed"]).column_names
    changed = [{**row, "configuration": json.dumps({"split": []})} for row in old.read("trials").to_pylist()]
    pq.write_table(pa.Table.from_pylist(changed).drop_columns("split_seed"), file)
    assert old.read("trials")["split_seed"].null_count == len(changed)
