"""Tiny ImageNet from small folders in the layout of the real one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from local_server import serving
from PIL import Image

from hsl.errors import DataError
from hsl.training.data import tiny_imagenet
from hsl.training.data.downloads import Archive, checksum
from hsl.training.data.tiny_imagenet import Extent, read_folder

NAMES = ["n02124075", "n01443537", "n04067472"]
EXTENT = Extent(classes=3, per_class=4, val=5)


def jpeg(number: int, grey: bool = False, side: int = 64) -> bytes:
    """An image of one colour, its own for every number."""
    buffer = io.BytesIO()
    Image.new("L" if grey else "RGB", (side, side), 3 * number if grey else (3 * number, 99, 201)).save(
        buffer, "JPEG"
    )
    return buffer.getvalue()


def layout(root: Path) -> Path:
    """Classes are listed in another order than that of their names, as in the real folder."""
    (root / "wnids.txt").parent.mkdir(parents=True)
    (root / "wnids.txt").write_text("\n".join(NAMES) + "\n")
    (root / "words.txt").write_text("n02124075\tEgyptian cat\n")
    for label, name in enumerate(NAMES):
        (root / "train" / name / "images").mkdir(parents=True)
        (root / "train" / name / f"{name}_boxes.txt").write_text(f"{name}_0.JPEG\t0\t10\t63\t58\n")
        for number in range(4):
            content = jpeg(4 * label + number, grey=number == 3)
            (root / "train" / name / "images" / f"{name}_{number}.JPEG").write_bytes(content)
    (root / "val" / "images").mkdir(parents=True)
    rows = [f"val_{i}.JPEG\t{NAMES[(i + 1) % 3]}\t0\t32\t44\t62" for i in range(5)]
    (root / "val" / "val_annotations.txt").write_text("\n".join(rows) + "\n")
    for number in range(5):
        (root / "val" / "images" / f"val_{number}.JPEG").write_bytes(jpeg(20 + number))
    (root / "test" / "images").mkdir(parents=True)
    (root / "test" / "images" / "test_0.JPEG").write_bytes(jpeg(60))
    return root


@pytest.mark.parametrize("inside", [True, False])
def test_the_folder_as_distributed_is_read(tmp_path: Path, inside: bool) -> None:
    root = layout(tmp_path / "tiny-imagenet-200")
    arrays = read_folder(root if inside else tmp_path, EXTENT)
    assert arrays.images.shape == (17, 3, 64, 64)
    assert arrays.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [1, 2, 0, 1, 2]
    assert arrays.is_test.tolist() == [False] * 12 + [True] * 5
    reds = arrays.images[:, 0].mean((1, 2))
    expected = [3 * number for number in [*range(12), *range(20, 25)]]
    assert np.abs(reds - expected).max() <= 2  # JPEG
    grey = arrays.images[3]
    assert np.array_equal(grey[0], grey[2])


def test_the_published_extent_is_what_is_expected(tmp_path: Path) -> None:
    layout(tmp_path / "folder")
    with pytest.raises(DataError, match=r"wnids.txt: 3 classes, expected 200"):
        tiny_imagenet.tiny_imagenet(str(tmp_path / "folder"))


def drop_image(root: Path) -> None:
    (root / "train" / NAMES[1] / "images" / f"{NAMES[1]}_2.JPEG").unlink()


def drop_annotations(root: Path) -> None:
    (root / "val" / "val_annotations.txt").unlink()


def drop_list(root: Path) -> None:
    (root / "wnids.txt").unlink()


def repeat_class(root: Path) -> None:
    (root / "wnids.txt").write_text("\n".join([*NAMES[:2], NAMES[0]]))


def name_a_stranger(root: Path) -> None:
    table = root / "val" / "val_annotations.txt"
    table.write_text(table.read_text().replace(NAMES[0], "n99999999"))


def cut_table(root: Path) -> None:
    table = root / "val" / "val_annotations.txt"
    table.write_text(table.read_text()[:60])


DAMAGES: list[tuple[Callable[[Path], None], str]] = [
    (drop_image, rf"{NAMES[1]}: 3 images, expected 4"),
    (drop_annotations, "val_annotations.txt: No such file"),
    (drop_list, "wnids.txt: No such file"),
    (repeat_class, "wnids.txt: 2 classes, expected 3"),
    (name_a_stranger, "val_annotations.txt: 4 images with a class, expected 5"),
    (cut_table, r"val_annotations.txt: \d images with a class, expected 5"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
def test_another_folder_is_refused_with_what_is_wrong(
    tmp_path: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(layout(tmp_path / "folder"))
    with pytest.raises(DataError, match=rf"{message}.*as it is distributed.*imagefolder:PATH"):
        read_folder(tmp_path / "folder", EXTENT)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not a readable image"), (jpeg(1)[:300], "not a readable image"), (jpeg(1, side=32), "32, 32")],
)
def test_a_bad_image_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    file = layout(tmp_path / "folder") / "val" / "images" / "val_2.JPEG"
    file.write_bytes(content)
    with pytest.raises(DataError, match=rf"val_2\.JPEG.*{message}"):
        read_folder(tmp_path / "folder", EXTENT)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    (layout(tmp_path / "folder") / "val" / "images" / "val_4.JPEG").unlink()
    with pytest.raises(DataError, match=r"val_4\.JPEG: not a readable image"):
        read_folder(tmp_path / "folder", EXTENT)


def test_the_archive_is_downloaded_unpacked_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = layout(tmp_path / "made" / "tiny-imagenet-200")
    (tmp_path / "served").mkdir()
    zipped = tmp_path / "served" / "tiny-imagenet-200.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for file in root.rglob("*"):
            archive.write(file, file.relative_to(root.parent))
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(tiny_imagenet, "Extent", lambda: EXTENT)
    with serving(tmp_path / "served") as publisher:
        url = f"{publisher.url}{zipped.name}"
        monkeypatch.setattr(tiny_imagenet, "ARCHIVE", Archive(zipped.name, checksum(zipped), (url,)))
        first = tiny_imagenet.tiny_imagenet("")
        second = tiny_imagenet.tiny_imagenet("")
    assert np.array_equal(first.images, read_folder(root, EXTENT).images)
    assert np.array_equal(first.labels, second.labels)
    assert len(publisher.asked) == 1
