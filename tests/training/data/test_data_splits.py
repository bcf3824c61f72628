"""Which files and folders of a data set are read, and as what; what is left out is said."""

from __future__ import annotations

import logging
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_data_sources import IMAGE, encoded, pixels, write_images, write_parquet

from hsl.errors import DataError
from hsl.training.data.files.splits import KEYWORDS, Published, published_part
from hsl.training.data.sizes import known_size
from hsl.training.data.sources import imagefolder, parquet

SEPARATORS = "-._ 0-9"
PATTERNS = ("{word}[{sep}]*", "*[{sep}]{word}[{sep}]*")
"""Of a file's name in Hugging Face's ``datasets`` (data_files.py, KEYWORDS_IN_FILENAME_BASE_PATTERNS)."""

words = st.sampled_from([*KEYWORDS, "data", "of", "attest", "evaluations", "trainer", "x"])
joints = st.sampled_from(["-", "_", ".", " ", "1", "-0"])
names = st.lists(st.tuples(words, joints), min_size=1, max_size=4).map(
    lambda parts: "".join(word + joint for word, joint in parts) + ".parquet"
)


@given(names, st.booleans())
def test_a_files_part_is_what_hugging_faces_patterns_match(name: str, upper: bool) -> None:
    matched = {
        part
        for word, part in KEYWORDS.items()
        for pattern in PATTERNS
        if fnmatchcase(name, pattern.format(word=word, sep=SEPARATORS))
    }
    path = PurePosixPath("folder", name.upper() if upper else name)
    if len(matched) > 1:
        with pytest.raises(DataError, match="names several parts of a data set"):
            published_part(path)
    else:
        assert published_part(path) == next(iter(matched), None)


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("split=test/0.parquet", "test"),
        ("Split=Validation/part-0.parquet", "validation"),
        ("class=test/0.parquet", None),
        ("split=extra/0.parquet", None),
        ("data/train-00000-of-00002.parquet", "train"),
        ("default/partial-train/0000.parquet", "train"),
        ("contest/testament.parquet", None),
        ("Test.parquet", "test"),
        ("x-test.parquet", "test"),
        ("dev-1.parquet", "validation"),
    ],
)
def test_parts_of_layouts_that_are_in_use(path: str, part: str | None) -> None:
    assert published_part(PurePosixPath(path)) == (None if part is None else Published(part))


def tables(root: Path, *files: str) -> str:
    """A file of two samples for each name, whose labels are the number of the file."""
    for number, file in enumerate(files):
        write_parquet(root / file, [encoded(pixels(10 * number + i)) for i in range(2)], [number] * 2)
    return str(root)


def split_labels(path: str) -> tuple[list[int], list[int]]:
    """Files whose samples are for training, and for testing."""
    arrays = parquet(path)
    size = known_size(f"parquet:{path}")
    assert size is not None
    assert (size.samples, size.given_test) == (len(arrays.labels), arrays.is_test.sum())
    train, test = arrays.labels[~arrays.is_test], arrays.labels[arrays.is_test]
    return sorted(set(train.tolist())), sorted(set(test.tolist()))


@pytest.mark.parametrize(
    ("files", "train", "test"),
    [
        (("train.parquet", "dev-0.parquet"), [0], [1]),
        (("train.parquet", "eval-0.parquet"), [0], [1]),
        (("train.parquet", "Test.PARQUET"), [0], [1]),
        (("a.parquet", "x-test.parquet"), [0], [1]),
        (("split=train/0.parquet", "split=test/0.parquet"), [0], [1]),
        (("train.parquet", "valid.parquet", "test.parquet"), [0], [2]),
        (("a.parquet", "b.parquet"), [0, 1], []),
        (("train.parquet", "extra-00000-of-00001.parquet"), [0], []),
        (("test-0.parquet", "test-1.parquet"), [0, 1], []),
        (("train.parquet", ".ipynb_checkpoints/train-checkpoint.parquet", "_old/test.parquet"), [0], []),
    ],
)
def test_tables_are_read_by_their_names(
    files: tuple[str, ...], train: list[int], test: list[int], tmp_path: Path
) -> None:
    assert split_labels(tables(tmp_path, *files)) == (train, test)


def test_tables_that_are_left_out_are_said_with_their_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    files = (
        "train-00000-of-00003.parquet",
        "test.parquet",
        "val.parquet",
        "extra.parquet",
        ".x/train.parquet",
    )
    parquet(tables(tmp_path, *files, "_train.parquet"))
    (record,) = caplog.records
    assert record.getMessage().startswith(f"{tmp_path}: left out: ")
    for text in (
        "1 file of the validation part, as there is a test part",
        "val.parquet (2 rows)",
        "1 file naming no part of the data set, where others name train: extra.parquet (2 rows)",
        "2 files hidden or beginning with an underscore: .x/train.parquet (2 rows), _train.parquet (2 rows)",
        f"2 of the 3 files {tmp_path}/train-*, as they are not there",
    ):
        assert text in record.getMessage()


def test_a_data_set_that_is_read_whole_is_not_spoken_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parquet(tables(tmp_path, "train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test.parquet"))
    assert caplog.text == ""


def test_test_images_that_are_trained_on_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    write_parquet(tmp_path / "train.parquet", [encoded(pixels(i)) for i in (0, 1, 1, 2)], [0, 1, 0, 1])
    write_parquet(tmp_path / "test.parquet", [encoded(pixels(i)) for i in (3, 1, 2)], [0, 1, 0])
    parquet(str(tmp_path))
    (record,) = caplog.records
    named = f"{tmp_path}/test.parquet row 1, {tmp_path}/test.parquet row 2"
    assert record.getMessage() == (
        f"{tmp_path}: 2 of 7 images are test images and, to the byte, training images: {named}"
    )


def test_parts_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    tables(tmp_path, "train/test-0.parquet")
    with pytest.raises(
        DataError, match=r"train/test-0\.parquet names several parts .*, test and train; rename it"
    ):
        parquet(str(tmp_path))


def test_a_held_out_part_alone_is_no_training_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing to train on"):
        parquet(tables(tmp_path, "test.parquet", "validation.parquet"))


def test_only_hidden_tables_are_no_tables(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no Parquet file at .* but for hidden ones, \.x/train\.parquet"):
        parquet(tables(tmp_path, ".x/train.parquet"))


def test_the_folder_of_a_data_set_may_be_hidden_and_named_as_a_part(tmp_path: Path) -> None:
    root = tables(tmp_path / ".cache" / "test", "a.parquet", "b-train.parquet")
    assert split_labels(root) == ([1], [])
    assert split_labels(f"{root}/a.parquet") == ([0], [])


def test_images_are_taken_from_the_column_of_that_name(tmp_path: Path) -> None:
    def structs(first: int) -> pa.Array:
        return pa.array([{"bytes": encoded(pixels(first + i)), "path": None} for i in range(2)], IMAGE)

    columns = {"mask": structs(50), "Image": structs(0), "label": [0, 1]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert np.array_equal(parquet(str(tmp_path)).images[0], pixels(0).transpose(2, 0, 1))
    columns = {"mask": structs(50), "photo": structs(0), "label": [0, 1]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(
        DataError, match=r"several columns of images, mask, photo; name the one to train on image"
    ):
        parquet(str(tmp_path))
    columns = {"photo": structs(0), "label": [0, 1]}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    assert np.array_equal(parquet(str(tmp_path)).images[1], pixels(1).transpose(2, 0, 1))


def folder_of(root: Path, *folders: str) -> str:
    """Two images in each folder, whose top left byte is its number."""
    for number, folder in enumerate(folders):
        write_images(root / folder, range(10 * number, 10 * number + 2))
    return str(root)


def split_images(path: str, folders: int) -> tuple[list[int], list[int]]:
    """Numbers of the folders whose images are for training, and for testing."""
    arrays = imagefolder(path)
    known = {pixels(10 * n + i).transpose(2, 0, 1).tobytes(): n for n in range(folders) for i in range(2)}
    of = np.array([known[image.tobytes()] for image in arrays.images])
    return sorted(set(of[~arrays.is_test].tolist())), sorted(set(of[arrays.is_test].tolist()))


@pytest.mark.parametrize(
    ("folders", "train", "test"),
    [
        (("train/a", "train/b", "validation/a"), [0, 1], [2]),
        (("Training/a", "Training/b", "dev/b"), [0, 1], [2]),
        (("train/a", "train/b", "val/a", "test/a"), [0, 1], [3]),
        (("train/a", "train/b", "extra/a"), [0, 1], []),
        (("a", "b", ".ipynb_checkpoints", "_old"), [0, 1], []),
        (("car", "plane", "train"), [0, 1, 2], []),
        (("train/a", "train/b", "test"), [0, 1], []),
        (("train-1/a", "train-2/b"), [0, 1], []),
        (("a", "b", "b/deeper"), [0, 1], []),
    ],
)
def test_folders_are_read_by_their_names(
    folders: tuple[str, ...], train: list[int], test: list[int], tmp_path: Path
) -> None:
    assert split_images(folder_of(tmp_path, *folders), len(folders)) == (train, test)


def test_a_class_may_have_the_name_of_a_part(tmp_path: Path) -> None:
    arrays = imagefolder(folder_of(tmp_path, "car", "plane", "train"))
    assert arrays.labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_everything_of_a_folder_that_is_not_read_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    folders = ("train/a", "train/b", "test/a", "val/a", "extra/a", "train/b/deep")
    folder_of(tmp_path, *folders)
    for name in ("train/a/._0.png", "train/a/x.gif", "readme.txt", ".git/config"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"anything")
    (tmp_path / "train" / "empty").mkdir()
    assert split_images(str(tmp_path), 6) == ([0, 1], [2])
    (record,) = caplog.records
    for text in (
        "1 folder of the validation part",
        "val (2 images)",
        "1 folder naming no part of the data set, where others name train: extra (2 images)",
        "2 files hidden or beginning with an underscore: .git, train/a/._0.png",
        "2 files that are no images (.bmp",
        ": readme.txt, train/a/x.gif",
        "2 images in no folder of a class: train/b/deep/50.png, train/b/deep/51.png",
        "1 folder without images: train/empty",
    ):
        assert text in record.getMessage()


def test_portable_greymaps_and_names_of_cameras_are_read(tmp_path: Path) -> None:
    folder_of(tmp_path, "a", "b")
    (tmp_path / "a" / "0.png").rename(tmp_path / "a" / "_MG_0001.png")
    (tmp_path / "b" / "2.pgm").write_bytes(b"P5 8 8 255\n" + bytes(range(64)))
    arrays = imagefolder(str(tmp_path))
    assert arrays.labels.tolist() == [0, 0, 1, 1, 1]
    assert arrays.images[-1].reshape(3, -1).tolist() == [list(range(64))] * 3


def test_linked_classes_are_read_and_dead_links_named(tmp_path: Path) -> None:
    folder_of(tmp_path / "elsewhere", "a", "b")
    (tmp_path / "data").mkdir()
    for name in ("a", "b"):
        (tmp_path / "data" / name).symlink_to(tmp_path / "elsewhere" / name)
    assert split_images(str(tmp_path / "data"), 2) == ([0, 1], [])
    (tmp_path / "elsewhere" / "a" / "gone.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"a/gone\.png: not a readable image"):
        imagefolder(str(tmp_path / "data"))


@pytest.mark.parametrize(
    ("folders", "message"),
    [
        (("car", "plane", "train/one"), r"images in the folders car, plane, and folders of images in train"),
        (
            ("train", "test"),
            r"test, train are named as parts of a data set, and hold images in place of folders",
        ),
        (("val/a", "test/a"), "nothing to train on"),
        (("train_test/a", "b/c"), "train_test names several parts"),
        ((".a", "_b"), "no images at"),
    ],
)
def test_folders_that_can_be_read_in_two_ways_are_refused(
    folders: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        imagefolder(folder_of(tmp_path, *folders))
