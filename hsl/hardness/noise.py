"""Wrong labels."""

from __future__ import annotations

import torch
from torch import Tensor

from hsl.errors import DataError
from hsl.hardness import keyed


def symmetric(labels: Tensor, ids: Tensor, rate: float, classes: int, key: int) -> tuple[Tensor, Tensor]:
    """Give each sample, with probability `rate`, another label, every other class being equally likely.

    The right label is excluded, so `rate` is the share of wrong labels.

    Args:
        labels: int64 [N] in [0, classes).
        ids: Sample ids, int64 [N]. What happens to a sample depends on its id and the key alone.
        rate: Probability of a wrong label, in [0, 1].
        classes: Number of classes C, at least 2.
        key: Stream of the draws.

    Returns:
        Labels int64 [N], and bool [N]: which of them are wrong.

    Raises:
        DataError: If there is only one class, or a label is none of them.
    """
    if classes < 2:
        raise DataError(f"label noise needs at least 2 classes, there are {classes}; leave label_noise out")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise DataError(
            f"labels reach from {int(labels.min())} to {int(labels.max())}; allowed is 0-{classes - 1}"
        )
    is_wrong = keyed.uniform(keyed.key(key, "is wrong"), ids) < rate
    shift = 1 + keyed.integers(keyed.key(key, "class"), ids, (), classes - 1)
    return torch.where(is_wrong, (labels + shift) % classes, labels), is_wrong
