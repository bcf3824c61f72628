"""What a reader from outside may return, and how anything else is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

from hsl.errors import DataError
from hsl.training.available import DATASETS
from hsl.training.data.arrays import Arrays
from hsl.training.data.checked_arrays import checked

N = 12
FINE = Arrays(np.zeros((N, 1, 8, 8), np.uint8), np.arange(N) % 3, np.zeros(N, bool))


def with_part(**parts: Any) -> Arrays:
    return replace(FINE, **parts)


def test_what_is_fine_is_passed_on_with_labels_of_64_bits() -> None:
    taken = checked(with_part(labels=FINE.labels.astype(np.uint8)), "x.y:z")
    assert taken.labels.dtype == np.int64
    assert np.array_equal(taken.labels, FINE.labels)
    assert taken.images is FINE.images
    digits = DATASETS["digits"]("")
    assert np.array_equal(checked(digits, "digits").images, digits.images)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "returned NoneType; expected hsl.training.data.arrays.Arrays"),
        (TensorDataset(torch.zeros(2, 1)), "returned torch.utils.data.dataset.TensorDataset; expected"),
        ((FINE.images, FINE.labels), r"returned tuple of 2 \(ndarray, ndarray\); expected"),
        (FINE.images, r"returned numpy.ndarray of uint8 with the shape \[12, 1, 8, 8\]; expected"),
        ({"images": 1}, "returned dict; expected"),
        (
            with_part(images=torch.zeros(N, 1, 8, 8)),
            r"images is torch.Tensor of torch.float32 with the shape",
        ),
        (with_part(labels=[0, 1]), r"labels is list of 2 \(int, int\)"),
        (
            with_part(images=np.ones((N, 1, 8, 8), np.float32)),
            r"images are float32, 1 to 1: give uint8 .*rint",
        ),
        (with_part(images=np.zeros((N, 1, 8, 8), int)), "images are int64, 0 to 0: give uint8"),
        (
            with_part(images=np.zeros((N, 64), np.uint8)),
            r"images have the shape \[12, 64\]: give \[N, C, H, W\]",
        ),
        (
            with_part(images=np.zeros((N, 8, 8, 3), np.uint8)),
            "as if channels came last: give images.transpose",
        ),
        (with_part(images=np.zeros((N, 1, 0, 8), np.uint8)), "so no pixels"),
        (with_part(labels=np.array(["cat"] * N)), "labels are <U3: give integers, of names np.unique"),
        (with_part(labels=np.zeros(N)), "labels are float64: give integers"),
        (
            with_part(labels=np.zeros((N, 3), int)),
            r"labels have the shape \[12, 3\]: give \[N\], of one-hot rows",
        ),
        (with_part(labels=FINE.labels - 1), "labels reach from -1 to 1 in 12 samples: count classes from 0"),
        (
            with_part(labels=FINE.labels + 100),
            "labels reach from 100 to 102 in 12 samples: count classes from 0",
        ),
        (
            with_part(is_test=np.zeros(N, int)),
            r"is_test is numpy.ndarray of int64 with the shape \[12\]: give bool",
        ),
        (with_part(labels=FINE.labels[:5]), "there are 12 images, 5 labels and 12 flags is_test"),
        (Arrays(FINE.images[:0], FINE.labels[:0], FINE.is_test[:0]), "the data set 'x.y:z' is empty"),
    ],
)
def test_anything_else_is_refused_with_what_it_is(returned: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as refused:
        checked(returned, "x.y:z")
    assert "'x.y:z'" in str(refused.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    wrong = Arrays(np.zeros((N, 64)), np.array(["a"] * N), np.zeros(N))
    with pytest.raises(
        DataError, match=r"images are float64.*images have the shape.*labels are <U1.*is_test is"
    ):
        checked(wrong, "x.y:z")


@pytest.mark.parametrize(
    "shape", [(N, 1, 28, 28), (N, 3, 32, 32), (N, 13, 1, 1), (N, 3, 2, 2), (N, 12, 3, 3)]
)
def test_images_of_any_form_are_taken(shape: tuple[int, ...]) -> None:
    checked(with_part(images=np.zeros(shape, np.uint8)), "x.y:z")
