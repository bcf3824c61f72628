"""Several stores as one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import fs
from results_rows import cell_row, epoch_row, filled, trial_row

from hsl.errors import StoreError, UnknownNameError
from hsl.results.best import best
from hsl.results.compare import compare
from hsl.store.columns import TABLES
from hsl.store.merge import merge
from hsl.store.store import Store

SPACE = "name: digits\n"


def trial(name: str, **given: object) -> dict[str, object]:
    return trial_row(trial_id=name, configuration_id=name.partition("-")[0], **given)


def make(path: Path, trials: list[dict[str, object]], space: str | None = SPACE) -> Store:
    """A store with two epochs and an evaluation for every trial."""
    store = filled(path, trials, [cell_row(cell=name) for name in sorted({str(t["cell"]) for t in trials})])
    for row in trials:
        own = {"trial_id": row["trial_id"], "cell": row["cell"]}
        store.append("epochs", [epoch_row(epoch=epoch, **own) for epoch in (1, 2)])
        measured = {"checkpoint": "final", "epoch": 2, "split": "test", "measure": "clean", "detail": ""}
        store.append("evaluations", [{**own, **measured, "samples": 10, "accuracy": row.get("objective")}])
    if space:
        store.write_space(space)
    return store


def ids(store: Store) -> list[str]:
    return store.read("trials")["trial_id"].to_pylist()


def files(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def test_every_trial_once_in_one_order(tmp_path: Path) -> None:
    a = make(tmp_path / "a", [trial("x-0", sequence=50), trial("y-0", sequence=3)])
    b = make(tmp_path / "b", [trial("y-0", sequence=1), trial("z-0", sequence=2, cell="clean/0.8")])
    done = merge([a, b], Store(tmp_path / "new"))
    new = Store(tmp_path / "new")
    assert ids(new) == ["y-0", "x-0", "z-0"]
    numbers = [*new.read("trials")["sequence"].to_pylist(), *new.read("epochs")["sequence"].to_pylist()]
    assert sorted(numbers) == list(range(3 + 6))
    assert len(new.read("evaluations")) == 3
    assert new.read("cells")["cell"].to_pylist() == ["clean/0.9", "clean/0.8"]
    assert new.read_space() == SPACE
    assert done.stores.select(["trials", "taken"]).to_pylist() == [
        {"trials": 2, "taken": 2},
        {"trials": 2, "taken": 1},
    ]
    assert (done.renamed, done.conflicts, done.space, done.changed) == ([], [], True, True)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_parts_of_a_store_are_the_whole_again(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever the split, with whatever overlap, in whatever state an overlapping trial is."""
    folder = tmp_path_factory.mktemp("stores")
    rows = [trial(f"t{i}-0", objective=i / 10, seed=i) for i in range(data.draw(st.integers(1, 6)))]
    parts: list[list[dict[str, object]]] = [[], []]
    for row in rows:
        where = data.draw(st.sampled_from([(0,), (1,), (0, 1)]))
        for number in where:
            parts[number].append(row)
        if len(where) == 2 and data.draw(st.booleans()):
            number = data.draw(st.sampled_from(where))
            parts[number][-1] = {
                **row,
                "status": data.draw(st.sampled_from(["stopped", "failed"])),
                "epochs": 1,
            }
    stores = [make(folder / str(i), part) for i, part in enumerate(parts) if part]
    merge(stores, Store(folder / "new"))
    found = {row["trial_id"]: row for row in Store(folder / "new").read("trials").to_pylist()}
    whole = {row["trial_id"]: row for row in filled(folder / "whole", rows).read("trials").to_pylist()}
    assert {name: {**row, "sequence": 0} for name, row in found.items()} == {
        name: {**row, "sequence": 0} for name, row in whole.items()
    }


def test_sessions_of_the_driver_are_kept_once(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    a, b = make(tmp_path / "a", [trial("x-0")]), make(tmp_path / "b", [trial("y-0")])
    a.append("sessions", [{"session": "s", "started_at": now, "updated_at": now, "epochs": 1.0}])
    later = now + timedelta(seconds=5)
    b.append("sessions", [{"session": "s", "started_at": now, "updated_at": later, "epochs": 2.0}])
    merge([a, b], Store(tmp_path / "new"))
    assert Store(tmp_path / "new").read("sessions")["epochs"].to_pylist() == [2.0]


def test_merging_again_changes_no_file(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", [trial("x-0")]), make(tmp_path / "b", [trial("y-0")])
    sources = files(tmp_path)
    assert merge([a, b], Store(tmp_path / "new")).changed
    before = files(tmp_path)
    assert not merge([a, b], Store(tmp_path / "new")).changed
    assert files(tmp_path) == before
    assert sources.items() <= before.items()


def test_what_was_added_meanwhile_is_added(tmp_path: Path) -> None:
    a, b = make(tmp_path / "a", [trial("x-0")]), make(tmp_path / "b", [trial("y-0")])
    merge([a, b], Store(tmp_path / "new"))
    a.append("trials", [trial("w-0")])
    merge([a, b], Store(tmp_path / "new"))
    merge([a, b], Store(tmp_path / "fresh"))
    for table in TABLES:
        assert Store(tmp_path / "new").read(table) == Store(tmp_path / "fresh").read(table)


@pytest.mark.parametrize("writes", range(7))
def test_interrupted_merge_is_completed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    rows = [trial("x-1", stage="confirm", seed=1), trial("y-0")]
    a, b = make(tmp_path / "a", rows[:1]), make(tmp_path / "b", rows[1:])
    a.write_file("checkpoints/x-1.safetensors", pa.py_buffer(b"network"))
    merge([a, b], Store(tmp_path / "whole"))
    place, count = Store._place, [0]

    def dies(self: Store, name: str, content: object) -> None:
        if count[0] == writes:
            raise KeyboardInterrupt
        count[0] += 1
        place(self, name, content)

    monkeypatch.setattr(Store, "_place", dies)
    if writes < 6:  # four tables with rows, the space, a network
        with pytest.raises(KeyboardInterrupt):
            merge([a, b], Store(tmp_path / "new"))
    monkeypatch.undo()
    merge([a, b], Store(tmp_path / "new"))
    for table in TABLES:
        assert Store(tmp_path / "new").read(table) == Store(tmp_path / "whole").read(table)
    assert Store(tmp_path / "new").files("checkpoints") == {"x-1.safetensors": 7}


def test_conflict_is_refused_or_the_first_counts(tmp_path: Path) -> None:
    a = make(tmp_path / "a", [trial("x-0", test_matched_accuracy=0.5, seconds=1.0)])
    b = make(tmp_path / "b", [trial("x-0", test_matched_accuracy=0.6, seconds=2.0)])
    with pytest.raises(StoreError, match=r"1 trials have different numbers.*x-0 in .*/a and .*/b"):
        merge([a, b], Store(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    done = merge([b, a], Store(tmp_path / "new"), on_conflict="first")
    assert done.conflicts == ["x-0"]
    assert Store(tmp_path / "new").read("trials")["test_matched_accuracy"].to_pylist() == [0.6]
    assert "different numbers" in done.narration()[0]


def test_other_times_are_no_conflict(tmp_path: Path) -> None:
    a = make(tmp_path / "a", [trial("x-0", seconds=1.0, node="a")])
    b = make(tmp_path / "b", [trial("x-0", seconds=2.0, node="b")])
    assert merge([a, b], Store(tmp_path / "new")).conflicts == []


def test_epochs_come_with_the_row_of_their_trial(tmp_path: Path) -> None:
    a = make(tmp_path / "a", [trial("x-0", status="stopped", epochs=2)])
    b = make(tmp_path / "b", [trial("x-0", epochs=3)])
    b.append("epochs", [epoch_row(trial_id="x-0", epoch=3)])
    b.append("epochs", [epoch_row(trial_id="under way", epoch=1)])
    merge([a, b], Store(tmp_path / "new"))
    new = Store(tmp_path / "new")
    assert new.read("trials")["status"].to_pylist() == ["completed"]
    found = new.read("epochs", ["trial_id", "epoch"]).to_pylist()
    assert [(row["trial_id"], row["epoch"]) for row in found] == [
        ("x-0", 1),
        ("x-0", 2),
        ("x-0", 3),
        ("under way", 1),
    ]


def two_datasets(tmp_path: Path) -> list[Store]:
    stores = []
    for dataset, gain in (("digits", 0.1), ("cifar10", -0.1)):
        rows = [
            trial(
                f"{dataset}{method}-{seed}",
                dataset=dataset,
                cell=cell,
                stage="confirm",
                seed=seed,
                method=method,
                sparsity=sparsity,
                test_matched_accuracy=0.5 + (gain if method == "set" else 0) + seed / 100,
            )
            for cell, method, sparsity in (("clean/0.9", "set", 0.9), ("clean/dense", "dense", 0.0))
            for seed in (1, 2, 3)
        ]
        store = make(tmp_path / dataset, rows, f"name: {dataset}\n")
        store.append(
            "cells",
            [
                cell_row(levels={"regime": "clean", "sparsity": 0.9}),
                cell_row(cell="clean/dense", levels={"regime": "clean"}, baseline=True),
            ],
        )
        stores.append(store)
    return stores


def test_cells_that_mean_something_else_get_other_names(tmp_path: Path) -> None:
    done = merge(two_datasets(tmp_path), Store(tmp_path / "new"))
    new = Store(tmp_path / "new")
    assert new.read("cells")["cell"].to_pylist() == [
        "digits:clean/0.9",
        "digits:clean/dense",
        "cifar10:clean/0.9",
        "cifar10:clean/dense",
    ]
    assert new.read_space() is None
    assert not done.space
    rows = [row for row in best(new).to_pylist() if not row["baseline"]]
    assert [(row["dataset"], round(row["difference"], 6), row["difference_kind"]) for row in rows] == [
        ("cifar10", -0.1, "paired"),
        ("digits", 0.1, "paired"),
    ]
    rows = compare(new, "sparsity = 0.9", "baseline").to_pylist()
    assert [(row["dataset"], round(row["difference"], 6)) for row in rows] == [
        ("cifar10", -0.1),
        ("digits", 0.1),
    ]


def test_cells_of_other_divisions_of_the_data_get_other_names(tmp_path: Path) -> None:
    """Otherwise the winner is chosen among test sets: that of the easiest."""
    sources = [
        make(tmp_path / name, [trial(f"{name}-0", split_seed=split)]) for name, split in (("a", 0), ("b", 1))
    ]
    merge(sources, Store(tmp_path / "new"))
    assert sorted(Store(tmp_path / "new").read("trials")["cell"].to_pylist()) == [
        "digits#2:clean/0.9",
        "digits:clean/0.9",
    ]


def test_regimes_that_mean_something_else_get_other_names(tmp_path: Path) -> None:
    stores = [
        make(
            tmp_path / f"{severity}",
            [trial(f"{severity}-0", configuration={"regime": {"corruption": {"severity": severity}}})],
            f"name: s{severity}\n",
        )
        for severity in (3, 5)
    ]
    stores[0].append("cells", [cell_row(levels={"regime": "clean", "sparsity": 0.9})])
    done = merge(stores, Store(tmp_path / "new"))
    new = Store(tmp_path / "new")
    assert new.read("trials")["regime"].to_pylist() == ["s3:clean", "s5:clean"]
    levels = [json.loads(text) for text in new.read("cells")["levels"].to_pylist()]
    assert levels[0] == {"regime": "s3:clean", "sparsity": 0.9}
    assert {item.new for item in done.renamed} == {"s3:clean", "s5:clean", "s3:clean/0.9", "s5:clean/0.9"}
    assert not merge(stores, Store(tmp_path / "new")).changed


NETWORK = {
    "model": {"name": "mlp", "widths": [8]},
    "training": {"epochs": 3, "lr": 0.1},
    "split": {"seed": 1},
}


def merged_of(tmp_path: Path, *configurations: dict[str, Any], **given: Any) -> Store:
    """Of stores of one trial and its cell each."""
    stores = []
    for number, configuration in enumerate(configurations):
        row = trial(f"{number}-0", configuration=configuration, **given)
        stores.append(make(tmp_path / str(number), [row], f"name: s{number}\n"))
        axes = {"regime": "clean", "sparsity": 0.9} | {"training.warmup": 0.5 * number}
        stores[-1].append("cells", [cell_row(levels=axes if number else {**axes, "training.warmup": 0.0})])
    merge(stores, Store(tmp_path / "new"))
    return Store(tmp_path / "new")


@pytest.mark.parametrize(
    "change",
    [
        {"model": {"name": "mlp", "widths": [256]}},
        {"training": {"epochs": 2, "lr": 0.1}},
        {"split": {"seed": 1, "test": 0.5}},
    ],
)
def test_what_differs_beside_what_is_searched_is_kept_apart(change: dict[str, Any], tmp_path: Path) -> None:
    """Otherwise a sparse network is compared with the dense one of another width, training or test set."""
    new = merged_of(tmp_path, NETWORK, NETWORK | change)
    assert new.read("trials")["regime"].to_pylist() == ["s0:clean", "s1:clean"]
    assert new.read("trials")["cell"].to_pylist() == ["s0:clean/0.9", "s1:clean/0.9"]


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"epochs": 3, "lr": 0.7}},
        {"training": {"epochs": 3, "lr": 0.1, "warmup": 0.5}},
        {"method": "rigl", "sparsity": 0.8},
    ],
)
def test_what_is_searched_and_compared_may_differ(change: dict[str, Any], tmp_path: Path) -> None:
    """A tuned rate, a factor of which each store has another level, another method."""
    new = merged_of(tmp_path, NETWORK, NETWORK | change, parameters={"training.lr": 0.1})
    assert new.read("trials")["regime"].to_pylist() == ["clean", "clean"]


def test_networks_of_confirmed_trials_are_taken_along(tmp_path: Path) -> None:
    rows = [trial("x-1", stage="confirm", seed=1), trial("x-2", stage="confirm", seed=2), trial("x-0")]
    a = make(tmp_path / "a", rows)
    for name in ("x-1", "x-0", "../../outside"):
        (tmp_path / "a" / "checkpoints").mkdir(exist_ok=True)
        (tmp_path / "a" / "checkpoints" / f"{Path(name).name}.safetensors").write_bytes(b"network")
    done = merge([a], Store(tmp_path / "new"))
    assert Store(tmp_path / "new").files("checkpoints") == {"x-1.safetensors": 7}
    assert done.stores.select(["networks", "networks_missing"]).to_pylist() == [
        {"networks": 1, "networks_missing": 1}
    ]
    merge([a], Store(tmp_path / "without"), networks=False)
    assert Store(tmp_path / "without").files("checkpoints") == {}


@pytest.mark.parametrize(
    ("sources", "into", "message"),
    [
        (["a", "a"], "new", "named twice"),
        (["a"], "a", "itself one of the stores"),
        (["a", "none", "nothing"], "new", r"none, .*nothing: no result store"),
        ([], "new", "at least one"),
        (["a"], "other", r"holds 1 trial_ids that none of the stores has \(o-0\)"),
    ],
)
def test_what_cannot_be_merged(tmp_path: Path, sources: list[str], into: str, message: str) -> None:
    make(tmp_path / "a", [trial("x-0")])
    make(tmp_path / "other", [trial("o-0")])
    before = files(tmp_path)
    with pytest.raises(StoreError, match=message):
        merge([Store(tmp_path / name) for name in sources], Store(tmp_path / into))
    assert files(tmp_path) == before


def test_unknown_policy(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'first'"):
        merge([make(tmp_path / "a", [trial("x-0")])], Store(tmp_path / "new"), on_conflict="frist")


def test_object_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a local store to S3 and back again."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        for name, value in (("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")):
            monkeypatch.setenv(name, value)
        host, port = server.get_host_and_port()
        options = f"scheme=http&endpoint_override={host}%3A{port}&region=us-east-1"
        fs.FileSystem.from_uri(f"s3://bucket?{options}&allow_bucket_creation=true")[0].create_dir("bucket")
        store = make(tmp_path / "a", [trial("x-1", stage="confirm", seed=1)])
        store.write_file("checkpoints/x-1.safetensors", pa.py_buffer(b"network"))
        remote = Store(f"s3://bucket/merged?{options}")
        assert merge([store], remote).changed
        assert not merge([store], remote).changed
        merge([remote], Store(tmp_path / "back"))
        assert files(tmp_path / "back" / "checkpoints") == files(tmp_path / "a" / "checkpoints")
        assert ids(Store(tmp_path / "back")) == ["x-1"]
    finally:
        server.stop()
