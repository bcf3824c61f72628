"""What happens to a running trial, as its observers receive it. Pure; no torch, no ray."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from hsl.planning.job import History, Job
from hsl.store.outcomes import Reason, Status


@dataclass(frozen=True)
class Ended:
    """The end of a trial.

    Attributes:
        status: Completed, stopped or failed.
        reason: Why it was stopped, or an error message.
        summary: Columns of the trials table that its worker has reported.
        history: Interruptions and repeated epochs of it, earlier runs included.
        attempts: How many workers have started it in this run of the driver.
    """

    status: Status
    reason: str | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    history: History = field(default_factory=History)
    attempts: int = 1

    @property
    def is_paused(self) -> bool:
        """Whether it waits at a rung, from where it may continue."""
        return self.reason == Reason.PAUSED


class Observer(Protocol):
    """Sees what happens to trials, and changes nothing."""

    def start(self, job: Job) -> None:
        """A trial starts, or continues; not repeated for further attempts."""

    def report(self, job: Job, rows: Iterable[Mapping[str, Any]]) -> None:
        """A worker reports epochs; one that continues repeats earlier ones."""

    def end(self, job: Job, ended: Ended | None) -> None:
        """A trial has left its worker; None if it is halted."""
