"""No change of files of a data set passes unnoticed: links, times that are set back, files that no name mentions."""

from __future__ import annotations

import gzip
import os
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from hsl.prepare.binding import bound_space
from hsl.registry import PLUGINS
from hsl.space.load import make_space
from hsl.training.data.datasets import load, load_content
from hsl.training.data.sources import imagefolder, parquet


def images(folder: Path, value: int, count: int = 3) -> None:
    """Pictures in a format without compression, so that all have one size."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.fromarray(np.full((4, 4), value + number, np.uint8)).save(folder / f"{number}.pgm")


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    return tmp_path


def by_links(folder: Path) -> tuple[str, Callable[[], None]]:
    for name, value in (("a", 0), ("b", 100)):
        images(folder / "elsewhere" / name, value)
        (folder / "images").mkdir(exist_ok=True)
        (folder / "images" / name).symlink_to(folder / "elsewhere" / name)
    return f"imagefolder:{folder / 'images'}", lambda: images(folder / "elsewhere" / "a", 50)


def with_times_set_back(folder: Path) -> tuple[str, Callable[[], None]]:
    for name, value in (("a", 0), ("b", 100)):
        images(folder / name, value)

    def edit() -> None:
        file = folder / "a" / "0.pgm"
        before = file.stat()
        content = file.read_bytes()
        with file.open("r+b") as there:
            there.write(content[:-1] + b"\xff")
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    return f"imagefolder:{folder}", edit


def rows_that_name_files(folder: Path) -> tuple[str, Callable[[], None]]:
    images(folder / "pictures", 0, 6)
    rows = [{"bytes": None, "path": str(folder / "pictures" / f"{n}.pgm")} for n in range(6)]
    (folder / "tables").mkdir()
    kind = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    table = pa.table({"image": pa.array(rows, kind), "label": [0, 1] * 3})
    pq.write_table(table, folder / "tables" / "train.parquet")
    return f"parquet:{folder / 'tables'}", lambda: images(folder / "pictures", 50, 6)


def of_ones_own_in_the_layout_of_mnist(folder: Path) -> tuple[str, Callable[[], None]]:
    def write(value: int) -> None:
        raw = folder / "MNIST" / "raw"
        raw.mkdir(parents=True, exist_ok=True)
        for part, count in (("train", 8), ("t10k", 4)):
            pixels = np.full((count, 28, 28), value, np.uint8)
            for name, header, content in (
                (f"{part}-images-idx3-ubyte", struct.pack(">IIII", 2051, count, 28, 28), pixels.tobytes()),
                (
                    f"{part}-labels-idx1-ubyte",
                    struct.pack(">II", 2049, count),
                    bytes(n % 2 for n in range(count)),
                ),
            ):
                (raw / name).write_bytes(header + content)
                with gzip.open(raw / f"{name}.gz", "wb") as file:
                    file.write(header + content)

    write(10)
    return f"mnist:{folder}", lambda: write(20)


READER = """
import numpy as np
from hsl.training.data.arrays import Arrays

def load(path):
    found = np.load("{file}")
    return Arrays(found["images"], found["labels"], np.zeros(len(found["labels"]), bool))
"""


def of_a_plug_in_that_knows_its_file(folder: Path) -> tuple[str, Callable[[], None]]:
    def write(seed: int) -> None:
        pixels = np.random.default_rng(seed).integers(0, 256, (6, 1, 4, 4), np.uint8)
        np.savez(folder / "own.npz", images=pixels, labels=np.arange(6) % 2)

    write(0)
    (folder / "reader_of_own_file.py").write_text(READER.format(file=folder / "own.npz"))
    sys.path.insert(0, str(folder))
    return "reader_of_own_file:load", lambda: write(1)


@pytest.mark.parametrize(
    "made",
    [
        by_links,
        with_times_set_back,
        rows_that_name_files,
        of_ones_own_in_the_layout_of_mnist,
        of_a_plug_in_that_knows_its_file,
    ],
)
def test_changed_files_are_read_again(
    made: Callable[[Path], tuple[str, Callable[[], None]]], cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(PLUGINS, "1")
    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder := cached / "data").mkdir()
    dataset, change = made(folder)
    first, content = np.array(load(dataset).images), load_content(dataset).digest
    assert np.array_equal(load(dataset).images, first)
    change()
    assert not np.array_equal(load(dataset).images, first)
    assert load_content(dataset).digest != content


def test_files_of_ones_own_under_a_known_name_have_an_identity(cached: Path) -> None:
    """Those whose reader checks the publisher's digests are known by their name."""
    (folder := cached / "data").mkdir()
    dataset, change = of_ones_own_in_the_layout_of_mnist(folder)
    space = make_space({"name": "t", "dataset": dataset, "model": "mlp"})
    first = bound_space(space, None).content
    change()
    assert None is not first != bound_space(space, None).content


def test_both_readers_follow_links_and_end(tmp_path: Path) -> None:
    images(tmp_path / "elsewhere", 0)
    (tmp_path / "elsewhere" / "again").symlink_to(tmp_path / "elsewhere")
    for name in "ab":
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).symlink_to(tmp_path / "elsewhere")
    assert len(imagefolder(str(tmp_path / "images")).labels) == 6
    (tmp_path / "there").mkdir()
    rows = [{"bytes": (tmp_path / "elsewhere" / "0.pgm").read_bytes(), "path": None}]
    pq.write_table(pa.table({"image": rows, "label": [0]}), tmp_path / "there" / "0.parquet")
    (tmp_path / "tables").mkdir()
    for part in ("train", "test"):
        (tmp_path / "tables" / part).symlink_to(tmp_path / "there")
    assert parquet(str(tmp_path / "tables")).is_test.tolist() == [True, False], "test comes first"


def test_files_that_may_be_meant_otherwise_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Parts are whole words, by Hugging Face's rule."""
    images(tmp_path / "pictures", 0)
    content = (tmp_path / "pictures" / "0.pgm").read_bytes()
    table = pa.table({"image": [{"bytes": content, "path": None}], "label": [0]})
    for name in ("Xtrain.parquet", "Xtest.parquet", "c.pq"):
        (tmp_path / "tables").mkdir(exist_ok=True)
        pq.write_table(table, tmp_path / "tables" / name)
    found = parquet(str(tmp_path / "tables"))
    assert found.is_test.tolist() == [False, False]
    assert (
        "Xtest.parquet is read as training samples; to name a part, write it as a word of its own"
        in caplog.text
    )
    assert "1 file not named *.parquet: c.pq" in caplog.text
    assert len(found.remarks) >= 2
