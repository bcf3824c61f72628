"""Published data sets, from generated files in their publishers' layouts, over a local server."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import struct
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.io
from local_server import Publisher, serving
from torchvision import datasets

from hsl.errors import DataError
from hsl.planning.cost import part_sizes
from hsl.training.available import DATASETS
from hsl.training.configuration import Configuration, Split
from hsl.training.data import published
from hsl.training.data.datasets import divide, load
from hsl.training.data.sizes import known_size

SHARED = Path(os.environ.get("HSL_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")
Made = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Images uint8 [N, C, H, W], labels, and which of them are test samples."""


@pytest.fixture
def publisher(tmp_path: Path) -> Iterator[Publisher]:
    (tmp_path / "served").mkdir()
    with serving(tmp_path / "served") as found:
        yield found


def made(train: int, test: int, shape: tuple[int, ...], classes: int = 10) -> Made:
    random = np.random.default_rng(train)
    images = random.integers(0, 256, (train + test, *shape), dtype=np.uint8)
    labels = np.arange(train + test) % classes
    return images, labels, np.arange(train + test) >= train


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


def cifar_archive(
    batches: dict[str, tuple[np.ndarray, np.ndarray]], folder: str, key: str
) -> tuple[bytes, dict]:
    """A tar.gz of pickled batches: rows of 3072 values, first all red, then all green, then all blue ones."""
    files = {
        name: pickle.dumps({"data": images.reshape(len(images), -1), key: labels.tolist()})
        for name, (images, labels) in batches.items()
    }
    meta = "meta" if folder == "cifar-100-python" else "batches.meta"
    names = "fine_label_names" if folder == "cifar-100-python" else "label_names"
    files[meta] = pickle.dumps({names: [f"class {i}" for i in range(100)]})
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(f"{folder}/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue(), {name: md5(content) for name, content in files.items()}


def publish_cifar10(publisher: Publisher, patch: pytest.MonkeyPatch) -> Made:
    images, labels, is_test = made(100, 20, (3, 32, 32))
    parts = np.split(np.arange(120), [20, 40, 60, 80, 100])
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    batches = {name: (images[part], labels[part]) for name, part in zip(names, parts, strict=True)}
    archive, sums = cifar_archive(batches, "cifar-10-batches-py", "labels")
    kind = datasets.CIFAR10
    patch.setattr(kind, "train_list", [[name, sums[name]] for name in names[:5]])
    patch.setattr(kind, "test_list", [[names[5], sums[names[5]]]])
    patch.setattr(kind, "meta", kind.meta | {"md5": sums["batches.meta"]})
    serve_cifar(publisher, patch, kind, archive)
    return images, labels, is_test


def publish_cifar100(publisher: Publisher, patch: pytest.MonkeyPatch) -> Made:
    images, labels, is_test = made(200, 100, (3, 32, 32), 100)
    batches = {"train": (images[:200], labels[:200]), "test": (images[200:], labels[200:])}
    archive, sums = cifar_archive(batches, "cifar-100-python", "fine_labels")
    kind = datasets.CIFAR100
    patch.setattr(kind, "train_list", [["train", sums["train"]]])
    patch.setattr(kind, "test_list", [["test", sums["test"]]])
    patch.setattr(kind, "meta", kind.meta | {"md5": sums["meta"]})
    serve_cifar(publisher, patch, kind, archive)
    return images, labels, is_test


def serve_cifar(publisher: Publisher, patch: pytest.MonkeyPatch, kind: type, archive: bytes) -> None:
    (publisher.folder / "cifar.tar.gz").write_bytes(archive)
    patch.setattr(kind, "url", f"{publisher.url}cifar.tar.gz")
    patch.setattr(kind, "tgz_md5", md5(archive))


def publish_mnist(publisher: Publisher, patch: pytest.MonkeyPatch, kind: type = datasets.MNIST) -> Made:
    images, labels, is_test = made(50, 20, (1, 28, 28))
    resources = []
    for prefix, part in (("train", ~is_test), ("t10k", is_test)):
        for suffix, values in (("images-idx3-ubyte", images[part, 0]), ("labels-idx1-ubyte", labels[part])):
            # idx: two zeros, the type (8: unsigned byte), the number of sizes, the sizes, the values
            head = bytes([0, 0, 8, values.ndim]) + struct.pack(f">{values.ndim}I", *values.shape)
            content = gzip.compress(head + values.astype(np.uint8).tobytes())
            (publisher.folder / f"{prefix}-{suffix}.gz").write_bytes(content)
            resources.append((f"{prefix}-{suffix}.gz", md5(content)))
    patch.setattr(kind, "resources", resources)
    patch.setattr(kind, "mirrors", [f"{publisher.url}gone/", publisher.url])
    return images, labels, is_test


def publish_fashion_mnist(publisher: Publisher, patch: pytest.MonkeyPatch) -> Made:
    return publish_mnist(publisher, patch, datasets.FashionMNIST)


def publish_svhn(publisher: Publisher, patch: pytest.MonkeyPatch) -> Made:
    images, labels, is_test = made(60, 30, (3, 32, 32))
    listed = {}
    for split, part in (("train", ~is_test), ("test", is_test)):
        buffer = io.BytesIO()
        ten_is_zero = np.where(labels[part] == 0, 10, labels[part])
        scipy.io.savemat(buffer, {"X": images[part].transpose(2, 3, 1, 0), "y": ten_is_zero[:, None]})
        name = f"{split}_32x32.mat"
        (publisher.folder / name).write_bytes(buffer.getvalue())
        listed[split] = [f"{publisher.url}{name}", name, md5(buffer.getvalue())]
    patch.setattr(datasets.SVHN, "split_list", listed)
    return images, labels, is_test


PUBLISHERS: dict[str, Callable[[Publisher, pytest.MonkeyPatch], Made]] = {
    "cifar10": publish_cifar10,
    "cifar100": publish_cifar100,
    "mnist": publish_mnist,
    "fashion-mnist": publish_fashion_mnist,
    "svhn": publish_svhn,
}


@pytest.mark.parametrize("name", PUBLISHERS)
def test_a_published_set_is_downloaded_once_and_read_as_it_is(
    name: str, tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, labels, is_test = PUBLISHERS[name](publisher, monkeypatch)
    found = DATASETS[name](str(tmp_path / "here"))
    assert found.images.dtype == np.uint8
    assert np.array_equal(found.images, images)
    assert np.array_equal(found.labels, labels)
    assert found.labels.dtype == np.int64
    assert np.array_equal(found.is_test, is_test)
    asked = len(publisher.asked)
    assert np.array_equal(DATASETS[name](str(tmp_path / "here")).labels, labels)
    assert len(publisher.asked) == asked > 0


@pytest.mark.parametrize("name", PUBLISHERS)
def test_without_a_network_a_published_set_says_what_to_put_where(
    name: str, tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put there by hand, as the message says, the files are read."""
    _, labels, _ = PUBLISHERS[name](publisher, monkeypatch)
    kept = {file.name: file.read_bytes() for file in publisher.folder.iterdir()}
    for file in publisher.folder.iterdir():
        file.unlink()
    here = tmp_path / "here"
    for _ in range(len(kept) + 1):
        try:
            assert np.array_equal(DATASETS[name](str(here)).labels, labels)
            return
        except DataError as error:
            _, _, put = str(error).partition(" and put it into ")
            wanted = str(error).split(" ", 1)[0]
            served = "cifar.tar.gz" if name.startswith("cifar") else wanted
            Path(put, wanted).write_bytes(kept[served])
    pytest.fail("following the messages did not help")


def test_the_node_keeps_a_published_set_and_divides_it(
    tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    _, labels, is_test = publish_svhn(publisher, monkeypatch)
    arrays = load("svhn")
    parts = divide(arrays, Split(validation=0.3))
    assert np.array_equal(parts.test, np.flatnonzero(is_test))
    assert (tmp_path / "cache" / "downloads" / "train_32x32.mat").is_file()
    assert np.array_equal(load("svhn").labels, labels)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "downloading" in printed.err


def test_a_half_unpacked_set_is_unpacked_again(
    tmp_path: Path, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, labels, _ = publish_cifar10(publisher, monkeypatch)
    published.cifar10(str(tmp_path))
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(batch.read_bytes()[:100])
    assert np.array_equal(published.cifar10(str(tmp_path)).labels, labels)
    assert len(publisher.asked) == 1


@pytest.mark.parametrize(
    ("name", "samples", "test"),
    [
        ("cifar10", 60_000, 10_000),
        ("cifar100", 60_000, 10_000),
        ("mnist", 70_000, 10_000),
        ("fashion-mnist", 70_000, 10_000),
        ("svhn", 73_257 + 26_032, 26_032),
        ("tiny-imagenet:somewhere", 110_000, 10_000),
    ],
)
def test_sizes_that_are_published_are_known_to_the_plan(name: str, samples: int, test: int) -> None:
    size = known_size(name)
    assert size is not None
    assert (size.samples, size.given_test) == (samples, test)
    sizes = part_sizes(Configuration(dataset=name, model={"name": "mlp"}, split={"validation": 0.1}))
    assert sizes == (samples - test - round(0.1 * (samples - test)), test + round(0.1 * (samples - test)))


def test_the_size_of_parquet_files_is_read_from_them(tmp_path: Path) -> None:
    assert known_size(f"parquet:{tmp_path / 'nothing'}") is None
    assert known_size("imagefolder:anywhere") is None
    for name, rows in (("train-0", 5), ("train-1", 4), ("test", 3)):
        pq.write_table(pa.table({"label": range(rows)}), tmp_path / f"{name}.parquet")
    size = known_size(f"parquet:{tmp_path}")
    assert size is not None
    assert (size.samples, size.given_test) == (12, 3)


@pytest.mark.skipif(
    not (SHARED / "cifar10" / "test.parquet").is_file(), reason="needs ../shared: no CIFAR-10 files there"
)
def test_the_size_of_the_real_cifar10_files_is_that_of_cifar10() -> None:
    assert known_size(f"parquet:{SHARED / 'cifar10'}") == known_size("cifar10")
