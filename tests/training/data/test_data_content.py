"""The content of a data set: its digest, and what distinguishes two of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from hsl.errors import DamagedError, DataError
from hsl.training.configuration import Split
from hsl.training.data import datasets
from hsl.training.data.arrays import Arrays
from hsl.training.data.contents.content import Content, content_of, differences
from hsl.training.data.contents.sample_lists import read_samples, write_samples
from hsl.training.data.datasets import load_content, load_divided
from hsl.training.data.loaded import load_data


def arrays(number: int = 12, classes: int = 3, seed: int = 0) -> Arrays:
    images = np.random.default_rng(seed).integers(0, 256, (number, 1, 4, 4), np.uint8)
    names = ("bird", "cat", "dog")[:classes]
    return Arrays(images, np.arange(number) % classes, np.arange(number) >= number - 2, names)


def changed(found: Arrays, **parts: np.ndarray) -> Arrays:
    return Arrays(
        **{name: parts.get(name, getattr(found, name)) for name in ("images", "labels", "is_test", "names")}
    )


def said(before: Arrays, after: Arrays) -> str:
    return "; ".join(differences(content_of(before), content_of(after)))


@given(st.integers(0, 11), st.sampled_from(["images", "labels", "is_test"]))
@settings(deadline=None)
def test_every_change_of_a_sample_changes_the_digest(place: int, part: str) -> None:
    before = arrays()
    values = getattr(before, part).copy()
    values[place] = ~values[place] if part != "labels" else (values[place] + 1) % 3
    after = changed(before, **{part: values})
    assert content_of(after).digest != content_of(before).digest
    assert said(before, after)


def test_the_same_samples_have_the_same_digest_whatever_their_array_is() -> None:
    first, view = arrays(), arrays()
    copy = changed(
        view, images=np.asfortranarray(view.images), labels=view.labels.astype(np.int32).astype(np.int64)
    )
    assert content_of(copy).digest == content_of(first).digest
    assert not said(first, copy)


def test_the_digest_of_digits_is_known() -> None:
    assert load_content("digits").digest == "2b976dd41cd29da8"


def test_a_class_that_is_gone_is_named() -> None:
    before = arrays()
    left = before.labels != 1
    after = Arrays(
        before.images[left], np.where(before.labels[left] == 2, 1, 0), before.is_test[left], ("bird", "dog")
    )
    assert said(before, after) == "class 'cat' is gone (4 samples); 4 images gone, 0 images new, 12 before"


def test_labels_order_and_size_are_told_apart() -> None:
    before = arrays()
    labels = before.labels.copy()
    labels[[0, 1]] = labels[[1, 0]]
    assert said(before, changed(before, labels=labels)).startswith("2 images with another label")
    order = np.random.default_rng(1).permutation(12)
    other = Arrays(before.images[order], before.labels[order], before.is_test[order], before.names)
    assert said(before, other).startswith("the same samples in another order")
    wide = changed(before, images=np.repeat(before.images, 2, axis=3))
    assert said(before, wide).startswith(
        "images are 1 x 4 x 8 (channels, height, width), they were 1 x 4 x 4"
    )


def test_equal_images_count_each() -> None:
    before = arrays()
    images = before.images.copy()
    images[3] = images[0]
    assert "1 image gone, 1 image new" in said(before, changed(before, images=images))


def test_a_list_of_samples_is_read_as_it_was_written(tmp_path: Path) -> None:
    uri, content = str(tmp_path / "samples.parquet"), content_of(arrays())
    assert read_samples(uri) is None
    write_samples(uri, content)
    found = read_samples(uri)
    assert isinstance(found, Content)
    assert (found.digest, found.names, found.shape) == (content.digest, content.names, content.shape)


def test_no_damage_to_a_list_of_samples_passes(tmp_path: Path) -> None:
    uri = tmp_path / "samples.parquet"
    write_samples(str(uri), content_of(arrays(200)))
    content = uri.read_bytes()
    for place in np.random.default_rng(0).integers(0, len(content), 60):
        damaged = bytearray(content)
        damaged[place] ^= 1 << (place % 8)
        uri.write_bytes(damaged)
        try:
            found = read_samples(str(uri))
        except DamagedError:
            continue
        assert found is not None
        assert found.digest == content_of(arrays(200)).digest, "what was changed does not matter"


def test_a_worker_with_other_samples_refuses_to_train() -> None:
    with pytest.raises(DataError, match="holds other samples on this machine"):
        load_data("digits", Split(), "cpu", "0123456789abcdef")
    known = load_content("digits").digest
    assert len(load_data("digits", Split(), "cpu", known).train) > 0


def test_data_whose_place_is_unknown_ask_for_it() -> None:
    with pytest.raises(DataError, match="dataset=parquet:PATH"):
        load_content("parquet@0123456789abcdef")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An image folder of two classes in which one file is left out, and an empty cache."""
    monkeypatch.setenv("HSL_CACHE", str(tmp_path / "cache"))
    for number in range(24):
        file = tmp_path / "images" / "ab"[number % 2] / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 4), 10 * number, np.uint8)).save(file)
    (tmp_path / "images" / "a" / ".x.png").write_bytes(b"")
    return tmp_path / "images"


def test_what_was_left_out_is_said_again_at_later_starts(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"imagefolder:{folder}"
    first = load_content(name)
    (said_now,) = [record.getMessage() for record in caplog.records]
    assert said_now.startswith(f"{folder}: left out: 1 file hidden")
    assert first.remarks == (), "it was said when the files were read"
    later = load_content(name)
    assert later.remarks == (said_now,)
    assert later.digest == first.digest
    (folder / "a" / ".x.png").unlink()
    assert (load_content(name).remarks, load_content(name).remarks) == ((), ())


def test_files_are_looked_at_once_per_load(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    real = datasets.fingerprint
    monkeypatch.setattr(datasets, "fingerprint", lambda kind, path: looks.append(path) or real(kind, path))
    name = f"imagefolder:{folder}"
    digest = load_content(name).digest
    for expected in (None, digest):
        looks.clear()
        load_divided(name, Split(), expected)
        assert looks == [str(folder)]
