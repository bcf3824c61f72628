"""Status and reason of a trial: the words of the trials table that decide something."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any


class Status(StrEnum):
    """Status of a trial. The last three are final and stored; a halted one continues in a later run of the sweep."""

    RUNNING = "running"
    HALTED = "halted"
    COMPLETED = "completed"
    STOPPED = "stopped"
    FAILED = "failed"


ENDS = (Status.COMPLETED, Status.STOPPED, Status.FAILED)
"""The column ``status`` of the trials table."""


class Reason(StrEnum):
    """Why a trial was stopped (a failed one has an error message); a paused trial that continues gets a new row."""

    PAUSED = "not promoted"
    STOPPED_EARLY = "early stopping"


def is_paused(row: Mapping[str, Any]) -> bool:
    """Whether the trial of this row of the trials table waits at a rung."""
    return row["reason"] == Reason.PAUSED
