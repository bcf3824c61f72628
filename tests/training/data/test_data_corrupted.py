"""CIFAR-10-C and CIFAR-100-C from small folders in the layout of the real ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from training_small import train, trainer_of, with_method

from hsl.errors import DataError, UnknownNameError
from hsl.training.data.corrupted import CorruptedTestSet
from hsl.training.measuring.evaluation_settings import Evaluation
from hsl.training.measuring.measures import Bench, Item, items

COUNT = 12
LABELS = np.random.default_rng(1).integers(0, 10, COUNT)


def pixel(severity: int, sample: int, row: int, channel: int) -> int:
    return (50 * severity + 4 * sample + row + 100 * channel) % 256


def layout(folder: Path, names: tuple[str, ...] = ("fog", "gaussian_noise")) -> Path:
    """Severity-major: all samples at severity 1, then all at 2, and so on; channels last."""
    folder.mkdir()
    copies = [
        [
            [[[pixel(s, i, row, c) for c in range(3)] for _ in range(4)] for row in range(4)]
            for i in range(COUNT)
        ]
        for s in range(1, 6)
    ]
    for name in names:
        np.save(folder / f"{name}.npy", np.array(copies, np.uint8).reshape(5 * COUNT, 4, 4, 3))
    np.save(folder / "labels.npy", np.array([LABELS] * 5, np.uint8).ravel())
    return folder


def test_each_severity_has_the_test_samples_in_their_order(tmp_path: Path) -> None:
    found = CorruptedTestSet(layout(tmp_path / "CIFAR-10-C"), LABELS)
    assert found.names == ("fog", "gaussian_noise")
    for severity in range(1, 6):
        images = found.images("fog", severity)
        assert images.shape == (COUNT, 3, 4, 4)
        assert images.dtype == np.uint8
        for sample, row, channel in ((0, 0, 0), (5, 3, 1), (11, 2, 2)):
            assert set(images[sample, channel, row].tolist()) == {pixel(severity, sample, row, channel)}


def test_copies_of_another_test_set_are_refused(tmp_path: Path) -> None:
    folder = layout(tmp_path / "c")
    with pytest.raises(DataError, match="other labels than the test set, or another order"):
        CorruptedTestSet(folder, LABELS[::-1])
    with pytest.raises(DataError, match=r"shape \(60,\), expected 50 rows: 5 severities of 10 test samples"):
        CorruptedTestSet(folder, LABELS[:10])


def test_an_unknown_corruption_and_severity_are_refused(tmp_path: Path) -> None:
    found = CorruptedTestSet(layout(tmp_path / "c"), LABELS)
    with pytest.raises(UnknownNameError, match=r"unknown corruption in .* 'fogg' \(did you mean 'fog'\?\)"):
        found.images("fogg", 1)
    for severity in (0, 6):
        with pytest.raises(DataError, match=f"severity {severity} of fog does not exist; allowed is 1-5"):
            found.images("fog", severity)


def test_a_folder_that_is_none_says_where_the_files_are_published(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"labels.npy: No such file.*zenodo.org/records/2535967"):
        CorruptedTestSet(tmp_path, LABELS)


@pytest.mark.parametrize("damage", [b"", b"no array", None])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes | None) -> None:
    folder = layout(tmp_path / "c")
    whole = (folder / "fog.npy").read_bytes()
    (folder / "fog.npy").write_bytes(whole[:200] if damage is None else damage)
    with pytest.raises(DataError, match=r"fog\.npy"):
        CorruptedTestSet(folder, LABELS).images("fog", 1)


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    folder = layout(tmp_path / "c")
    np.save(folder / "fog.npy", np.array([{"a": 1}] * 60, object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects in dtype"):
        CorruptedTestSet(folder, LABELS).images("fog", 1)


def test_a_file_with_too_few_rows_is_refused(tmp_path: Path) -> None:
    folder = layout(tmp_path / "c")
    np.save(folder / "fog.npy", np.zeros((48, 4, 4, 3), np.uint8))
    with pytest.raises(DataError, match=r"holds uint8 of shape \(48, 4, 4, 3\), expected 60 rows"):
        CorruptedTestSet(folder, LABELS).images("fog", 1)


def test_a_network_is_measured_on_the_published_images(tmp_path: Path) -> None:
    """Copies of the test samples themselves measure as clean ones do; others do not, and samples stay in place."""
    trainer = train(trainer_of(with_method("static", training={"epochs": 12, "lr": 0.2}), tmp_path))
    bench = Bench(trainer.model, trainer.sets)
    test = trainer.sets.test_clean
    clean = test.images.numpy().transpose(0, 2, 3, 1)
    rng = np.random.default_rng(0)
    levels = [clean, *(rng.integers(0, 256, clean.shape, dtype=np.uint8) for _ in range(4))]
    np.save(tmp_path / "fog.npy", np.concatenate(levels))
    np.save(tmp_path / "labels.npy", np.tile(test.labels.numpy(), 5))
    asked = Evaluation(
        splits=["val", "test"],
        corruptions={"names": ["fog"], "severities": [1, 3], "published": str(tmp_path)},
    )
    (item,) = [item for item in items(asked) if item.measure == "corruption"]
    rows = {row["detail"]: row["accuracy"] for row in bench.measure(item) if row["measure"] == "corruption"}
    assert item.split == "test"
    assert rows["fog 1"] == trainer.sets.measure(trainer.model)["test_clean_accuracy"]
    assert rows["fog 3"] < 0.4 < rows["fog 1"]
    few = Item("corruption", "test", {**item.parameters, "samples": 30})
    subset = bench.subset(few)
    expected = (trainer.model.eval()(subset.images / 255).argmax(1) == subset.labels).double().mean()
    found = {row["detail"]: row["accuracy"] for row in bench.measure(few)}
    assert found["fog 1"] == pytest.approx(float(expected))
