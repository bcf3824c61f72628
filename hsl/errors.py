"""Every error a user can cause, and the exit codes that `hsl` ends with.

A message says what was given, what is allowed and what to do next; it is printed without a traceback.
"""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """What the process returns to the shell."""

    OK = 0
    BUG = 1
    USAGE = 2
    FAILED_TRIALS = 3
    NOTHING_MATCHED = 4
    INTERRUPTED = 130


class HslError(Exception):
    """A mistake of the user, or of the user's environment, that a message can help with."""

    exit_code: ExitCode = ExitCode.USAGE


class UnknownNameError(HslError):
    """A name that no registry entry has."""

    def __init__(self, kind: str, name: object, known: Iterable[str]) -> None:
        known = sorted(known)
        super().__init__(f"unknown {kind} {name!r}{close_match(name, known)}; known: {', '.join(known)}")


class PluginError(HslError):
    """Code outside hsl that a space or a store names, and that has not been allowed to run."""

    def __init__(self, kind: str, reference: str) -> None:
        super().__init__(
            f"{kind} {reference!r} is code outside hsl, which would be imported and run; "
            "if you trust it, add --allow-plugins"
        )


class InfeasibleError(HslError):
    """A sparsity that the layers, the distribution or the options do not permit."""


class DataError(HslError):
    """A data set that is missing, empty, unreadable or unfit for what was asked of it."""


class MethodError(HslError):
    """A sparse-training method that is used without something it needs."""


class DivergedError(HslError, ArithmeticError):
    """A training whose loss is no longer finite."""


class StoreError(HslError):
    """A result store that is missing, damaged, in use, or belongs to another search space."""


class DamagedError(StoreError):
    """A file whose content is not what was written."""


class LeaseError(StoreError):
    """A store that another sweep writes to."""


class NothingMatchedError(HslError):
    """A question that no stored result answers."""

    exit_code = ExitCode.NOTHING_MATCHED


@dataclass(frozen=True)
class Problem:
    """One problem of a search space, at a dotted path such as ``training.lr`` and, if known, a line counted from 1."""

    where: str
    message: str
    line: int | None = None

    def __str__(self) -> str:
        line = f"line {self.line}: " if self.line else ""
        where = f"{self.where}: " if self.where else ""
        return f"{line}{where}{self.message}"


class SpaceError(HslError):
    """A search space with one or more problems, all of them listed."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
        lines = "\n".join(f"  - {problem}" for problem in problems)
        super().__init__(f"{source}: {count}, nothing was started\n{lines}")


def printable(text: str) -> str:
    """`text` with control characters other than line ends spelt out, so that it cannot steer a terminal."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def close_match(name: object, known: Iterable[str]) -> str:
    """Phrase that suggests the entry of `known` most similar to `name`, or an empty string."""
    matches = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.6)
    return f" (did you mean {matches[0]!r}?)" if matches else ""
