"""Every kind of data set: what is read from it, and how a bad one is refused."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from hsl.errors import DataError
from hsl.training.data.contents.fingerprints import fingerprint
from hsl.training.data.sources import digits, imagefolder, parquet

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
SHARED = Path(os.environ.get("HSL_TEST_DATA") or Path(__file__).parents[4] / "shared" / "data")


def pixels(number: int, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    """A colour image [H, W, 3] of its own for every number."""
    return np.random.default_rng(number).integers(0, 256, (*size, 3), dtype=np.uint8)


def encoded(image: np.ndarray, kind: str = "png") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, kind)
    return buffer.getvalue()


def write_parquet(file: Path, images: list[Any], labels: list[Any], name: str = "label") -> Path:
    """A file in the Hugging Face layout; an image is bytes or a whole struct."""
    structs = [
        image if isinstance(image, dict | None) else {"bytes": image, "path": None} for image in images
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(structs, IMAGE), name: labels}), file)
    return file


def write_images(folder: Path, numbers: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        Image.fromarray(pixels(number)).save(folder / f"{number}.png")


def test_digits_are_scikit_learns_on_the_scale_of_a_byte() -> None:
    arrays, bunch = digits(""), load_digits()
    assert arrays.images.shape == (1797, 1, 8, 8)
    assert arrays.images.dtype == np.uint8
    assert np.array_equal(np.rint(arrays.images[:, 0] * (16 / 255)), bunch.images)
    assert np.array_equal(arrays.labels, bunch.target)
    assert not arrays.is_test.any()
    assert (arrays.classes, arrays.shape) == (10, (1, 8, 8))


@pytest.mark.parametrize("label", ["label", "labels", "fine_label"])
def test_a_parquet_file_holds_the_pixels_it_was_given(tmp_path: Path, label: str) -> None:
    file = write_parquet(tmp_path / "a.parquet", [encoded(pixels(i)) for i in range(3)], [2, 0, 1], label)
    arrays = parquet(str(file))
    assert np.array_equal(arrays.images, np.stack([pixels(i).transpose(2, 0, 1) for i in range(3)]))
    assert arrays.labels.tolist() == [2, 0, 1]
    assert arrays.labels.dtype == np.int64


def as_class_labels(file: Path, names: list[str], name: str = "label") -> Path:
    """The same file with the metadata of Hugging Face for a column of the type ClassLabel."""
    table = pq.read_table(file)
    features = {"image": {"_type": "Image"}, name: {"names": names, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), file)
    return file


def two_files(folder: Path, *labels: str) -> list[Path]:
    names = zip(("train.parquet", "test.parquet"), labels, strict=True)
    return [
        write_parquet(folder / file, [encoded(pixels(4 * n + i)) for i in range(4)], [0, 1, 0, 1], label)
        for n, (file, label) in enumerate(names)
    ]


def test_classes_have_the_names_that_parquet_files_give_them(tmp_path: Path) -> None:
    files = two_files(tmp_path, "label", "label")
    assert parquet(str(tmp_path)).names == ()
    as_class_labels(files[1], ["cat", "dog"])
    assert parquet(str(tmp_path)).names == ("cat", "dog")
    as_class_labels(files[0], ["dog", "cat"])
    with pytest.raises(DataError, match=r"are cat, dog in .*test.parquet and dog, cat in .*train.parquet"):
        parquet(str(tmp_path))


def test_files_with_their_labels_in_different_columns_are_refused(tmp_path: Path) -> None:
    two_files(tmp_path, "fine_label", "label")
    with pytest.raises(DataError, match=r"test.parquet has its labels in the column label, .* in fine_label"):
        parquet(str(tmp_path))


def test_columns_that_could_have_been_meant_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write_parquet(tmp_path / "a.parquet", [encoded(pixels(i)) for i in range(4)], [0, 1, 0, 1])
    table = pq.read_table(file)
    more = table.append_column("Split", [["train", "train", "test", "test"]]).append_column(
        "fine_label", [range(4)]
    )
    pq.write_table(more, file)
    assert parquet(str(file)).labels.tolist() == [0, 1, 0, 1]
    assert f"the column fine_label of {file}, which has the labels in label" in caplog.text
    assert f"the column Split of {file} (train, test), so rows are divided at random" in caplog.text
    caplog.clear()
    pq.write_table(table.append_column("split", [["train"] * 4]), file)
    parquet(str(file))
    assert not caplog.text


def test_a_set_of_shards_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    for name in ("train-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"):
        write_parquet(tmp_path / f"{name}.parquet", [encoded(pixels(i)) for i in range(3)], [0, 1, 2])
    with pytest.raises(DataError, match=r"train is there in 1 and in 2 files .* rows would count twice"):
        parquet(str(tmp_path))


def test_images_beside_a_parquet_file_are_found_by_their_path(tmp_path: Path) -> None:
    write_images(tmp_path / "images", range(2))
    rows = [{"bytes": None, "path": f"images/{i}.png"} for i in range(2)]
    arrays = parquet(str(write_parquet(tmp_path / "a.parquet", rows, [0, 1])))
    assert np.array_equal(arrays.images[1], pixels(1).transpose(2, 0, 1))


@pytest.mark.parametrize(
    "test_file",
    [
        "test.parquet",
        "test-00000-of-00001.parquet",
        "validation.parquet",
        "val-0.parquet",
        "test/0000.parquet",
    ],
)
def test_a_folders_test_files_are_known_by_their_names(tmp_path: Path, test_file: str) -> None:
    write_parquet(
        tmp_path / "train-00000-of-00001.parquet", [encoded(pixels(i)) for i in range(3)], [0, 1, 2]
    )
    write_parquet(tmp_path / test_file, [encoded(pixels(7))], [1])
    arrays = parquet(str(tmp_path))
    assert arrays.labels[arrays.is_test].tolist() == [1]
    assert sorted(arrays.labels[~arrays.is_test].tolist()) == [0, 1, 2]
    assert np.array_equal(arrays.images[arrays.is_test][0], pixels(7).transpose(2, 0, 1))


def test_a_test_file_given_by_itself_is_a_data_set(tmp_path: Path) -> None:
    file = write_parquet(tmp_path / "test.parquet", [encoded(pixels(0))], [0])
    assert not parquet(str(file)).is_test.any()


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    grey = pixels(0)[..., 0]
    arrays = parquet(str(write_parquet(tmp_path / "a.parquet", [encoded(grey)], [0])))
    assert np.array_equal(arrays.images[0, 0], grey)


@pytest.mark.skipif(
    not (SHARED / "cifar10" / "test.parquet").is_file(), reason="needs ../shared: no CIFAR-10 files there"
)
def test_the_real_cifar10_files_are_read(tmp_path: Path) -> None:
    for part in ("train", "test"):
        batch = next(pq.ParquetFile(SHARED / "cifar10" / f"{part}.parquet").iter_batches(batch_size=60))
        table = pa.Table.from_batches([batch])
        pq.write_table(table, tmp_path / f"{part}.parquet")
    arrays = parquet(str(tmp_path))
    assert arrays.images.shape == (120, 3, 32, 32)
    assert arrays.is_test.sum() == 60
    assert arrays.classes == 10
    assert 60 < arrays.images.mean() < 180


@pytest.mark.parametrize("damage", [b"", b"no image", b"\x89PNG\r\n\x1a\n", None])
def test_an_unreadable_image_is_named_by_file_and_row(tmp_path: Path, damage: bytes | None) -> None:
    file = write_parquet(tmp_path / "a.parquet", [encoded(pixels(0)), damage], [0, 1])
    with pytest.raises(DataError, match=r"a\.parquet row 1: not a readable image .* remove or repair it"):
        parquet(str(file))


def test_a_missing_row_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="row 1: not a readable image"):
        parquet(str(write_parquet(tmp_path / "a.parquet", [encoded(pixels(0)), None], [0, 1])))


@pytest.mark.filterwarnings("ignore::Warning:PIL")
@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "tiff", "webp"])
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_a_cut_or_altered_image_is_read_or_refused_and_never_a_crash(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    whole = encoded(pixels(0), kind)
    cut = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    if cut:
        cut[data.draw(st.integers(0, len(cut) - 1))] ^= data.draw(st.integers(0, 255))
    file = write_parquet(tmp_path_factory.mktemp("cut") / "a.parquet", [bytes(cut)], [0])
    try:
        assert parquet(str(file)).images.dtype == np.uint8
    except DataError as error:
        assert "a.parquet row 0" in str(error)


@pytest.mark.parametrize("label", [-1, None])
def test_a_bad_label_is_named_by_file_and_row(tmp_path: Path, label: int | None) -> None:
    images = [encoded(pixels(i)) for i in range(2)]
    with pytest.raises(DataError, match=rf"row 1: the label is {label}; labels are whole numbers from 0"):
        parquet(str(write_parquet(tmp_path / "a.parquet", images, [0, label])))


@pytest.mark.parametrize("labels", [["cat", "dog"], [0.5, 1.0]])
def test_labels_that_are_no_whole_numbers_are_refused(tmp_path: Path, labels: list[Any]) -> None:
    with pytest.raises(DataError, match="an integer column named label"):
        parquet(str(write_parquet(tmp_path / "a.parquet", [encoded(pixels(i)) for i in range(2)], labels)))


def test_mixed_sizes_are_refused_with_the_first_that_differs(tmp_path: Path) -> None:
    images = [encoded(pixels(0)), encoded(pixels(1)), encoded(pixels(2, (9, 8)))]
    with pytest.raises(DataError, match=r"row 2 has the shape \(3, 9, 8\).* row 0 has \(3, 8, 8\); make all"):
        parquet(str(write_parquet(tmp_path / "a.parquet", images, [0, 1, 0])))


def test_a_missing_file_and_an_empty_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "gone.parquet"):
        with pytest.raises(DataError, match=r"no Parquet file at .*; give a .parquet file or a folder"):
            parquet(str(path))


def test_a_file_without_rows_is_an_empty_data_set(tmp_path: Path) -> None:
    empty = pa.table({"image": pa.array([], IMAGE), "label": pa.array([], pa.int64())})
    pq.write_table(empty, tmp_path / "a.parquet")
    with pytest.raises(DataError, match="is empty"):
        parquet(str(tmp_path / "a.parquet"))


def test_a_file_that_is_no_parquet_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"no parquet")
    with pytest.raises(DataError, match=r"a\.parquet: not a readable Parquet file"):
        parquet(str(tmp_path))


def test_missing_columns_are_listed_with_those_that_are_there(tmp_path: Path) -> None:
    pq.write_table(pa.table({"img": [1], "target": [2]}), tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"has the columns img \(int64\), target \(int64\); needed are an image"
    ):
        parquet(str(tmp_path / "a.parquet"))


def flat_folder(root: Path) -> None:
    write_images(root / "cat", range(2))
    write_images(root / "ant", range(2, 5))


def divided_folder(root: Path) -> None:
    write_images(root / "train" / "cat", range(2))
    write_images(root / "train" / "ant", range(2, 4))
    write_images(root / "test" / "ant", range(4, 5))


@pytest.mark.parametrize(("make", "tests"), [(flat_folder, 0), (divided_folder, 1)])
def test_a_folder_of_classes_is_read_with_classes_in_order_of_names(
    tmp_path: Path, make: Callable[[Path], None], tests: int
) -> None:
    make(tmp_path)
    (tmp_path / "readme.txt").write_text("not an image")
    arrays = imagefolder(str(tmp_path))
    assert sorted(arrays.labels.tolist()) == [0, 0, 0, 1, 1]
    assert arrays.is_test.sum() == tests
    expected = {pixels(i).tobytes(): int(i < 2) for i in range(5)}
    found = {
        np.ascontiguousarray(image.transpose(1, 2, 0)).tobytes(): label
        for image, label in zip(arrays.images, arrays.labels.tolist(), strict=True)
    }
    assert found == expected


def test_an_unreadable_file_in_a_folder_is_named(tmp_path: Path) -> None:
    flat_folder(tmp_path)
    (tmp_path / "cat" / "broken.png").write_bytes(encoded(pixels(0))[:60])
    with pytest.raises(DataError, match=r"cat/broken\.png: not a readable image"):
        imagefolder(str(tmp_path))


def test_mixed_sizes_in_a_folder_name_the_file(tmp_path: Path) -> None:
    flat_folder(tmp_path)
    Image.fromarray(pixels(9, (8, 10))).save(tmp_path / "cat" / "wide.png")
    with pytest.raises(DataError, match=r"cat/wide\.png has the shape \(3, 8, 10\)"):
        imagefolder(str(tmp_path))


@pytest.mark.parametrize("path", [".", "gone"])
def test_a_folder_without_images_says_what_is_expected(tmp_path: Path, path: str) -> None:
    with pytest.raises(DataError, match=r"no images at .*; expected .*/CLASS/IMAGE"):
        imagefolder(str(tmp_path / path))


def test_the_fingerprint_changes_with_the_files(tmp_path: Path) -> None:
    flat_folder(tmp_path)
    first = fingerprint("imagefolder", str(tmp_path))
    assert fingerprint("imagefolder", str(tmp_path)) == first
    write_images(tmp_path / "dog", range(1))
    assert fingerprint("imagefolder", str(tmp_path)) != first
