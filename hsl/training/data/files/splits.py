"""Which part of a data set a file or folder belongs to, by its name. Torch-free.

The keywords are Hugging Face's (https://huggingface.co/docs/hub/datasets-file-names-and-splits), in any case and as
whole words: what stands between ``-``, ``.``, ``_``, spaces and digits, as in ``my_train-00000-of-00002.parquet``.
"""

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import PurePath
from typing import Generic, TypeVar

from hsl.errors import DataError
from hsl.training.data.files.omitted import Omitted

T = TypeVar("T", bound=Hashable)


class Published(StrEnum):
    """A part of a data set as its publisher divided it."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"


KEYWORDS = {
    **dict.fromkeys(("train", "training"), Published.TRAIN),
    **dict.fromkeys(("validation", "valid", "val", "dev"), Published.VALIDATION),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), Published.TEST),
}

SEPARATORS = re.compile(r"[-._ 0-9]+")
PARTITION = "split"
"""Key of a partition, as in ``split=test/0.parquet``, whose value names the part."""


def published_part(path: PurePath) -> Published | None:
    """The part that the folders and the name of a file, or a folder, say; None if they say none.

    Args:
        path: Relative to the data set's folder.

    Raises:
        DataError: If they name several parts.
    """
    words = (word for name in path.parts for word in SEPARATORS.split(_spoken(name).lower()))
    named = {KEYWORDS[word] for word in words if word in KEYWORDS}
    if len(named) > 1:
        raise DataError(
            f"{path} names several parts of a data set, {' and '.join(sorted(named))}; rename it so that it names one"
        )
    return next(iter(named), None)


def _spoken(name: str) -> str:
    """What a name says of the part: of a partition ``key=value`` the value, if the key is ``split``."""
    key, partition, value = name.partition("=")
    if not partition:
        return name
    return value if key.lower() == PARTITION else ""


@dataclass(frozen=True)
class Assigned(Generic[T]):
    """Files or folders that are read.

    Attributes:
        is_test: Each that is read, in the given order, and whether it belongs to the test set.
        omitted: Those that are not read, by the reason.
    """

    is_test: dict[T, bool]
    omitted: list[Omitted[T]] = field(default_factory=list)


OF_NO_PART = "naming no part of the data set, where others name train"
VALIDATION = (
    "of the validation part, as there is a test part and validation samples are cut from the training part (to train "
    "on them, let them name train)"
)


def assigned(found: Mapping[T, Published | None]) -> Assigned[T]:
    """Choose what is read, for training or as the test set.

    Training samples are those of the training part, or of those that name no part where none names it; what names no
    part is left out otherwise. The test part is the test set, and so is the validation part where there is no test
    part; where there is, the validation part is left out. A part that is the only one is the whole data set.

    Args:
        found: Files or folders, in order, and the part that each names.

    Raises:
        DataError: If there are a validation and a test part, and nothing to train on.
    """
    of: dict[Published | None, list[T]] = {part: [] for part in (None, *Published)}
    for each, part in found.items():
        of[part].append(each)
    train, held_out = of[Published.TRAIN] or of[None], of[Published.TEST] or of[Published.VALIDATION]
    unused = Omitted(VALIDATION, of[Published.VALIDATION] if of[Published.TEST] else [])
    if not train and unused.items:
        raise DataError(
            f"there are a test part ({held_out[0]}, ...) and a validation part ({unused.items[0]}, ...), and nothing "
            f"to train on; add files that name train, or give one part by its own path"
        )
    test = set(held_out if train else [])
    read = {*train, *held_out}
    nameless = Omitted(OF_NO_PART, of[None] if of[Published.TRAIN] else [])
    return Assigned({each: each in test for each in found if each in read}, [unused, nameless])
