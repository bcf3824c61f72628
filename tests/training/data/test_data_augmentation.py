"""Crop and flip against a literal implementation for one image; draws belong to samples, not to batches."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from hsl.hardness import keyed
from hsl.training.data.augmentation import (
    PADDING,
    copied_crops,
    draw_shifts,
    misleading,
    picked_crops,
    shifted,
)


def crop_and_flip(images: Tensor, ids: Tensor, key: int) -> Tensor:
    return shifted(images, draw_shifts(ids, key)).contiguous()


def one_by_one(images: Tensor, ids: Tensor, key: int) -> Tensor:
    """Pad, cut out, mirror; image after image."""
    done = []
    for image, sample in zip(images, ids, strict=True):
        row, column = keyed.integers(keyed.key(key, "corner"), sample[None], (2,), 9)[0].tolist()
        mirrored = keyed.integers(keyed.key(key, "flip"), sample[None], (1,), 2).item() == 1
        height, width = image.shape[1:]
        cut = functional.pad(image, (4, 4, 4, 4))[:, row : row + height, column : column + width]
        done.append(cut.flip(-1) if mirrored else cut)
    return torch.stack(done)


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(5, 12), st.integers(5, 12))
@settings(max_examples=25, deadline=None)
def test_a_batch_is_what_each_image_is_by_itself(key: int, channels: int, height: int, width: int) -> None:
    images = torch.rand(20, channels, height, width)
    ids = torch.randperm(1000)[:20]
    expected, shifts = one_by_one(images, ids, key), draw_shifts(ids, key)
    assert torch.equal(crop_and_flip(images, ids, key), expected)
    assert torch.equal(copied_crops(images, shifts), expected)
    assert torch.equal(picked_crops(images, shifts), expected)


@given(st.integers(0, 2**31), st.permutations(range(12)), st.integers(1, 12))
@settings(max_examples=25, deadline=None)
def test_a_draw_does_not_depend_on_the_rest_of_the_batch(key: int, order: list[int], batch: int) -> None:
    images, ids = torch.rand(12, 1, 8, 8), torch.arange(12) * 7
    whole = crop_and_flip(images, ids, key)
    parts = torch.tensor(order).split(batch)
    assert torch.equal(torch.cat([crop_and_flip(images[p], ids[p], key) for p in parts]), whole[order])


def test_other_keys_and_other_samples_are_drawn_otherwise() -> None:
    images, ids = torch.rand(1, 1, 8, 8).expand(200, 1, 8, 8), torch.arange(200)
    first = crop_and_flip(images, ids, 1)
    assert len({image.numpy().tobytes() for image in first}) > 100
    assert not torch.equal(first, crop_and_flip(images, ids, 2))


def test_all_places_and_both_sides_are_equally_likely() -> None:
    count = 20_000
    marked = torch.zeros(1, 1, 9, 12)
    marked[0, 0, 4, 4] = 1
    found = crop_and_flip(marked.expand(count, 1, 9, 12), torch.arange(count), 3).flatten(1).argmax(1)
    rows = torch.bincount(found // 12, minlength=9) / count
    assert (rows - 1 / (2 * PADDING + 1)).abs().max() < 0.01
    flipped = keyed.integers(keyed.key(3, "flip"), torch.arange(count), (1,), 2).float().mean()
    assert abs(flipped - 0.5) < 0.02


@pytest.mark.parametrize(
    ("dataset", "augment", "side", "warns"),
    [
        ("svhn", None, 32, True),
        ("svhn:some/folder", None, 32, True),
        ("svhn", False, 32, False),
        ("digits", None, 8, False),
        ("digits", True, 8, True),
        ("mnist", True, 28, True),
        ("cifar10", None, 32, False),
        ("imagefolder:some/folder", True, 64, False),
    ],
)
def test_mirrored_digits_are_warned_of(dataset: str, augment: bool | None, side: int, warns: bool) -> None:
    found = list(misleading(dataset, augment, (3, side, side)))
    assert len(found) == warns
    assert all("training.augment: false" in text for text in found)
