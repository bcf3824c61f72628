"""Which classes there are to learn: those that have training samples. Torch-free.

Labels are never renumbered, as maps of label noise, rows of evaluations and files of scores name them. A number that
no training sample has is an output of the network that is never right: label noise gives no sample that label, and
the worst class is none of them.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from hsl.errors import DataError
from hsl.training.data.files.omitted import listed


def check_classes(train: np.ndarray, test: np.ndarray) -> None:
    """Refuse what cannot be learned, or not be tested.

    Args:
        train: Labels int64 [N] of the samples that are not the test set.
        test: Labels int64 [M] of the test set.

    Raises:
        DataError: If there is only one class to train on, or no test sample is of a class to train on.
    """
    classes = np.unique(train)
    if len(classes) < 2:
        raise DataError(
            f"all {len(train)} samples to train on have the label {', '.join(map(str, classes))}; every network is "
            f"right about them, so give samples of two classes or more"
        )
    if len(test) and not np.isin(test, classes).any():
        raise DataError(
            f"no test sample has a label to train on: they have {listed(np.unique(test))}, the training samples have "
            f"{listed(classes)}; make the numbers of classes equal"
        )


def unlearnable(labels: np.ndarray, train: np.ndarray, test: np.ndarray) -> Iterator[str]:
    """Warnings of labels that no training sample has.

    Args:
        labels: int64 [N], of the whole data set.
        train: Ids of the training samples.
        test: Ids of the test samples.
    """
    classes = np.unique(labels[train])
    absent = np.setdiff1d(np.arange(labels.max() + 1), classes)
    if len(absent):
        yield (
            f"{len(absent)} of the labels 0-{labels.max()} have no training sample ({listed(absent)}): the network has "
            f"outputs for them, and label noise gives no sample such a label"
        )
    unknown = labels[test][~np.isin(labels[test], classes)]
    if len(unknown):
        yield (
            f"{len(unknown)} of {len(test)} test samples have a label that no training sample has "
            f"({listed(np.unique(unknown))}): they count as wrong in the accuracies, and not in the worst class"
        )


def misnumbered(names: Sequence[str]) -> Iterator[str]:
    """Warnings of classes whose names are numbers, but not those of their labels, as ``10`` in front of ``2``.

    Args:
        names: Of the classes, by their labels.
    """
    others = [
        f"{name} has the label {label}"
        for label, name in enumerate(names)
        if _number(name) not in (None, label)
    ]
    if others:
        yield (
            f"classes are numbered in the order of their names as text: {listed(others)}; results and label_noise.map "
            f"name labels (to make both the same, name the folders 00, 01, 02, ...)"
        )


def _number(name: str) -> int | None:
    return int(name) if name.isascii() and name.isdigit() else None


def unevaluated(labels: np.ndarray, train: np.ndarray, val: np.ndarray, test: np.ndarray) -> Iterator[str]:
    """Warnings of classes that are learned and have no sample to be evaluated on.

    Args:
        labels: int64 [N], of the whole data set.
        train: Ids of the training samples.
        val: Ids of the validation samples.
        test: Ids of the test samples.
    """
    classes, sizes = np.unique(labels[train], return_counts=True)
    for name, ids in (("validation", val), ("test", test)):
        absent = ~np.isin(classes, labels[ids])
        if absent.any():
            yield (
                f"{absent.sum()} of the {len(classes)} classes have no {name} sample ({listed(classes[absent])}, with "
                f"{sizes[absent].min()} training samples and more): the {name} accuracies and the worst class say "
                f"nothing of them"
            )
