"""How a trial stands, and why one ended early: the words of the trials table that decide something."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """How a trial stands. Only the last three end it, and are stored.

    A halted trial has left its worker because the sweep stops; it continues in a later run.
    """

    RUNNING = "running"
    HALTED = "halted"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


ENDS = (Status.COMPLETED, Status.STOPPED, Status.FAILED)
"""The column ``status`` of the trials table."""


class Reason(StrEnum):
    """Why a trial was stopped; a failed one has an error message in its place.

    The row of a paused trial that continues later is replaced.
    """

    PAUSED = "not promoted"
    STOPPED_EARLY = "early stopping"


def is_paused(row: Mapping[str, Any]) -> bool:
    """Whether the trial of this row of the trials table waits at a rung."""
    return row["reason"] == Reason.PAUSED
