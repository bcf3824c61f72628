"""Report of a worker about a trial. No torch, no ray."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hsl.store.outcomes import Status


@dataclass(frozen=True)
class Report:
    """One report of a worker.

    Attributes:
        rows: Rows of the epochs table that were not reported before by this worker.
        summary: Columns of the trials table that only the worker knows.
        reason: Why it failed.
        evaluations: Rows of the evaluations table.
        node: Ray's id of the node that it is trained on.
        began: Epochs that its checkpoint held when this worker took it; None if it failed before that was known.
        note: Message for the user.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: Mapping[str, Any] = field(default_factory=dict)
    status: Status = Status.RUNNING
    reason: str | None = None
    evaluations: list[dict[str, Any]] = field(default_factory=list)
    node: str | None = None
    began: int | None = None
    note: str | None = None

    @property
    def is_last(self) -> bool:
        """Whether the trial has ended by itself."""
        return self.status is not Status.RUNNING

    @property
    def epoch(self) -> int:
        """Epochs trained so far, by all workers."""
        return int(self.summary.get("epochs", 0))
