"""How a data set is divided, and how a node keeps it."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hsl.errors import DataError, HslError, UnknownNameError
from hsl.registry import Entry
from hsl.training.available import DatasetFacts
from hsl.training.build import build_trainer
from hsl.training.configuration import Configuration, Split
from hsl.training.data import datasets
from hsl.training.data.arrays import Arrays, cache_folder
from hsl.training.data.datasets import divide, load, load_divided
from hsl.training.data.loaded import load_data
from hsl.training.data.sizes import known_size


def arrays_of(labels: np.ndarray, is_test: np.ndarray | None = None) -> Arrays:
    images = np.zeros((len(labels), 1, 1, 1), np.uint8)
    return Arrays(images, labels, np.zeros(len(labels), bool) if is_test is None else is_test)


SIZES = st.lists(st.integers(20, 60), min_size=2, max_size=5)
SPLITS = st.builds(
    Split,
    validation=st.sampled_from([0.1, 0.15, 0.3]),
    test=st.sampled_from([0.1, 0.2, 0.4]),
    seed=st.integers(0, 1000),
)


def shuffled_labels(sizes: list[int]) -> np.ndarray:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.random.default_rng(0).permutation(labels)


@given(SIZES, SPLITS, st.booleans())
@settings(deadline=None)
def test_the_parts_are_disjoint_and_together_everything(sizes: list[int], split: Split, own: bool) -> None:
    labels = shuffled_labels(sizes)
    is_test = np.arange(len(labels)) >= len(labels) * 0.8 if own else None
    parts = divide(arrays_of(labels, is_test), split)
    together = np.concatenate([parts.train, parts.val, parts.test])
    assert np.array_equal(np.sort(together), np.arange(len(labels)))
    if is_test is not None:
        assert np.array_equal(parts.test, np.flatnonzero(is_test))


@given(SIZES, SPLITS)
@settings(deadline=None)
def test_every_class_has_its_share_in_every_part(sizes: list[int], split: Split) -> None:
    labels = shuffled_labels(sizes)
    parts = divide(arrays_of(labels), split)
    shares = {"test": split.test, "val": (1 - split.test) * split.validation}
    for part, share in shares.items():
        counts = Counter(labels[getattr(parts, part)].tolist())
        assert all(abs(counts[label] - share * size) <= 2 for label, size in enumerate(sizes))


@given(SIZES, SPLITS, st.sampled_from([None, 7, 30]))
@settings(deadline=None, max_examples=30)
def test_class_counts_of_the_parts_do_not_depend_on_how_samples_are_stored(
    sizes: list[int], split: Split, limit: int | None
) -> None:
    split = split.model_copy(update={"limit": limit})
    counts = []
    for labels in (shuffled_labels(sizes), np.sort(shuffled_labels(sizes))):
        parts = divide(arrays_of(labels), split)
        counts.append([np.bincount(labels[p]).tolist() for p in (parts.train, parts.val, parts.test)])
    assert counts[0] == counts[1]


@given(SIZES, SPLITS)
@settings(deadline=None, max_examples=30)
def test_the_division_is_a_function_of_its_seed(sizes: list[int], split: Split) -> None:
    arrays = arrays_of(shuffled_labels(sizes))
    first, again = divide(arrays, split), divide(arrays, split)
    other = divide(arrays, split.model_copy(update={"seed": split.seed + 1}))
    assert all(np.array_equal(getattr(first, p), getattr(again, p)) for p in ("train", "val", "test"))
    assert not np.array_equal(first.test, other.test)


@given(SIZES, st.integers(5, 400))
@settings(deadline=None)
def test_a_limit_takes_from_the_training_samples_alone(sizes: list[int], limit: int) -> None:
    arrays = arrays_of(shuffled_labels(sizes))
    whole = divide(arrays, Split())
    limited = divide(arrays, Split(limit=limit))
    assert len(limited.train) == min(limit, len(whole.train))
    assert set(limited.train) <= set(whole.train)
    assert np.array_equal(limited.val, whole.val)
    assert np.array_equal(limited.test, whole.test)


@pytest.mark.parametrize("limit", [10, 33, 1219, 1220, 1221, 1222, 5000])
def test_any_limit_is_possible_with_digits(limit: int) -> None:
    arrays = load("digits")
    train = divide(arrays, Split(limit=limit)).train
    assert len(train) == min(limit, len(divide(arrays, Split()).train))
    assert set(arrays.labels[train].tolist()) == set(range(10))


def test_a_data_set_that_is_all_test_is_divided_like_any_other() -> None:
    labels = shuffled_labels([30, 30])
    everything = divide(arrays_of(labels, np.ones(60, bool)), Split())
    assert np.array_equal(everything.test, divide(arrays_of(labels), Split()).test)


@pytest.mark.parametrize(
    ("split", "message"),
    [
        (Split(test=0.01), r"split\.test=0\.01 is not possible with 20 samples of 2 classes"),
        (Split(validation=0.01), r"split\.validation=0\.01 is not possible with 16 samples"),
        (Split(limit=1), r"split\.limit=1 leaves no sample of some of the 2 classes; raise it"),
    ],
)
def test_parts_too_small_for_every_class_are_refused(split: Split, message: str) -> None:
    with pytest.raises(DataError, match=message):
        divide(arrays_of(shuffled_labels([10, 10])), split)


def test_a_class_of_one_sample_is_refused() -> None:
    with pytest.raises(DataError, match="is not possible"):
        divide(arrays_of(np.array([0] * 20 + [1])), Split())


def test_the_cache_is_mapped_and_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    arrays = load("digits")
    assert isinstance(arrays.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        arrays.images[0] = 0
    assert cache_folder() == tmp_path


def test_two_processes_fill_the_cache_once(tmp_path: Path) -> None:
    """Both want the data set at the same moment; a read is made slow, and each leaves a line of it."""
    code = f"""
import time, sys
from hsl.registry import Entry
from hsl.training.available import DatasetFacts
from hsl.training.data import datasets, sources
def slow(path):
    with open({str(tmp_path / "reads")!r}, "a") as file:
        file.write("read\\n")
    time.sleep(0.5)
    return sources.digits(path)
datasets.DATASETS._entries["digits"] = Entry(slow, DatasetFacts())
arrays = datasets.load("digits")
sys.exit(0 if arrays.images.shape == (1797, 1, 8, 8) else 1)
"""
    environment = {"HSL_CACHE": str(tmp_path / "cache"), "PATH": "", "PYTHONPATH": ":".join(sys.path)}
    started = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(2)]
    assert [process.wait() for process in started] == [0, 0]
    assert (tmp_path / "reads").read_text() == "read\n"


DAMAGE = {
    "emptied": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "overwritten": lambda content: b"\xff" * len(content),
    "other": lambda content: b"{}",
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "is_test.npy", "about.json", "division-*.npz"])
def test_a_damaged_cache_is_made_again(
    name: str,
    damage: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    arrays, division = load_divided("digits", Split())
    expected = [np.array(part) for part in (arrays.images, arrays.labels, arrays.is_test, division.train)]
    (file,) = tmp_path.glob(f"datasets/*/{name}")
    content = file.read_bytes()
    file.unlink()  # what is mapped into memory stays as it was
    file.write_bytes(DAMAGE[damage](content))
    again, divided = load_divided("digits", Split())
    found = (again.images, again.labels, again.is_test, divided.train)
    assert all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True))
    assert file.read_bytes() == content
    assert "made again" in caplog.text
    assert str(file.parent) in caplog.text


@pytest.mark.parametrize("name", ["images.npy", "labels.npy", "is_test.npy", "about.json"])
def test_a_cache_that_lacks_a_file_is_made_again(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    load("digits")
    assert caplog.text == "", "a cache that is made for the first time is nothing to tell"
    (file,) = tmp_path.glob(f"datasets/*/{name}")
    file.unlink()
    assert load("digits").labels.shape == (1797,)
    assert file.is_file()
    assert f"{file.parent}: damaged (no {name}); it is made again" in caplog.text


def test_the_cache_is_open_to_whoever_may_read_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    load("digits")
    (folder,) = (entry for entry in (tmp_path / "datasets").iterdir() if entry.is_dir())
    assert folder.stat().st_mode == (tmp_path / "datasets").stat().st_mode


def test_threads_that_divide_at_once_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(load_divided("digits", Split(seed=4))[1].train))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = divide(load("digits"), Split(seed=4)).train
    assert len(found) == 4
    assert all(np.array_equal(train, expected) for train in found)


def test_a_read_that_fails_leaves_nothing_in_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    empty = Arrays(np.zeros((0, 1, 1, 1), np.uint8), np.zeros(0, np.int64), np.zeros(0, bool))
    monkeypatch.setitem(datasets.DATASETS._entries, "digits", Entry(lambda _: empty, DatasetFacts()))
    with pytest.raises(DataError, match="the data set 'digits' is empty"):
        load("digits")
    monkeypatch.undo()
    monkeypatch.setenv("HSL_CACHE", str(tmp_path))
    assert len(load("digits").labels) == 1797
    assert not [file for file in (tmp_path / "datasets").iterdir() if file.name.startswith("tmp")]


def test_an_unknown_data_set_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="unknown data set 'digit'"):
        load("digit")


PLUGIN = """
import numpy as np
from hsl.training.data.arrays import Arrays

def ramps(path):
    size = int(open(path).read()) if path else 40
    images = np.arange(size, dtype=np.uint8)[:, None, None, None].repeat(64, 3).reshape(size, 1, 8, 8)
    return Arrays(images, np.arange(size) % 2, np.zeros(size, bool))
"""


def test_a_data_set_of_the_users_own_needs_no_edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "plugged").mkdir()
    (tmp_path / "plugged" / "data.py").write_text(PLUGIN)
    (tmp_path / "size").write_text("60")
    monkeypatch.syspath_prepend(tmp_path)
    name = "plugged.data:ramps"
    assert len(load(name).labels) == 40
    assert len(load(f"{name}:{tmp_path / 'size'}").labels) == 60
    (tmp_path / "size").write_text("100")
    assert len(load(f"{name}:{tmp_path / 'size'}").labels) == 100, "its file has changed"
    trained = Configuration(dataset=name, model={"name": "mlp", "widths": [4]}, training={"epochs": 1})
    assert build_trainer(trained, 0).train_epoch()["epoch"] == 1


def test_a_plug_in_that_is_not_there_is_named() -> None:
    with pytest.raises(HslError, match=r"data set 'plugged.gone:ramps' cannot be imported"):
        load("plugged.gone:ramps")


def test_the_known_size_of_digits_is_its_size() -> None:
    size = known_size("digits")
    assert size is not None
    assert (size.samples, size.given_test) == (len(load("digits").labels), load("digits").is_test.sum())


def test_data_on_the_device_are_the_samples_with_their_ids() -> None:
    arrays, data = load("digits"), load_data("digits", Split(limit=100), "cpu")
    for part in (data.train, data.val, data.test):
        assert np.array_equal(part.images.numpy(), arrays.images[part.ids.numpy()])
        assert np.array_equal(part.labels.numpy(), arrays.labels[part.ids.numpy()])
    pixels = data.train.images.double() / 255
    assert data.mean == pytest.approx([pixels.mean().item()])
    assert data.std == pytest.approx([pixels.std(correction=0).item()])
    assert (data.shape, data.classes) == ((1, 8, 8), 10)
    assert data.train.images.dtype == torch.uint8
