"""What a reader leaves out, and how it is said. Torch-free."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePath
from typing import Generic, TypeVar

LOG = logging.getLogger(__name__)

NAMED = 5
"""So many names are said, and the number of all."""

HIDDEN = "hidden or beginning with an underscore"

T = TypeVar("T")


@dataclass(frozen=True)
class Omitted(Generic[T]):
    """Files or folders that are not read.

    Attributes:
        reason: Goes on after "2 files", or another `kind`.
        items: Their names.
        kind: What they are, in singular.
    """

    reason: str
    items: list[T]
    kind: str = "file"

    def __str__(self) -> str:
        count = len(self.items)
        return f"{count} {self.kind}{'s' if count > 1 else ''} {self.reason}: {listed(self.items)}"


def listed(names: Iterable[object]) -> str:
    """The first names, and that there are more."""
    every = [str(name) for name in names]
    return ", ".join(every[:NAMED]) + (", ..." if len(every) > NAMED else "")


def warn_of(path: str, omitted: Iterable[Omitted[str] | str]) -> tuple[str, ...]:
    """Log everything that is left out of the data set at a path, in one warning, and return it, if there is any."""
    found = [str(each) for each in omitted if isinstance(each, str) or each.items]
    return (said(f"{path}: left out: {'; '.join(found)}"),) if found else ()


def said(remark: str) -> str:
    """A remark on a data set, which is logged."""
    LOG.warning("%s", remark)
    return remark


def is_set_apart(path: PurePath) -> bool:
    """Whether a relative path, or a folder on it, is hidden (``.x``) or set apart by an underscore (``_x``)."""
    return any(part.startswith((".", "_")) for part in path.parts)
