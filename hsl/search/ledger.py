"""What happens to trials, written to the store as it arrives: the driver's only way to record anything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from hsl.provenance import provenance
from hsl.results.store import Store, Writer
from hsl.search.jobs import NOT_PROMOTED, Job
from hsl.search.needs import regime_of
from hsl.search.plan import Cell
from hsl.search.progress import Tally
from hsl.search.schema import SearchSpace
from hsl.training.configuration import digest

FLUSH_ROWS = 2_000
FLUSH_SECONDS = 2.0
"""What is lost when the driver is killed is trained again from the checkpoints, so this may be seconds."""


class Ledger:
    """Writes epochs and trials with a running number, so that their order of arrival can be replayed.

    Args:
        store: Where to.
        sequence: Number of the first row.
        is_exempt: Whether a trial is exempt from early stopping.
        forget: Deletes what is not needed any more of a trial, once its row is durable.
        tally: Counts for the live view.
    """

    def __init__(
        self,
        store: Store,
        sequence: int,
        is_exempt: Callable[[str], bool],
        forget: Callable[[Job], None],
        tally: Tally,
    ) -> None:
        self._writer = Writer(store, FLUSH_ROWS, FLUSH_SECONDS)
        self._sequence = sequence
        self._is_exempt = is_exempt
        self._forget = forget
        self._ended: list[Job] = []
        self._attempts: dict[str, int] = {}
        self.tally = tally

    def start(self, job: Job) -> None:
        """A trial starts, or starts again after it lost its worker."""
        self._attempts[job.trial_id] = self._attempts.get(job.trial_id, 0) + 1
        self.tally.start(job)

    def epochs(self, job: Job, rows: Iterable[Mapping[str, Any]]) -> None:
        """A trial has trained some epochs."""
        for row in rows:
            self._writer.add(
                "epochs", {"sequence": self._next(), "trial_id": job.trial_id, "cell": job.cell, **row}
            )
        self.flush_if_due()

    def end(self, job: Job, summary: Mapping[str, Any], status: str, reason: str | None) -> None:
        """A trial has ended, as ``completed``, ``stopped`` or ``failed``."""
        row = trial_row(job, summary, status, reason)
        row |= {
            "sequence": self._next(),
            "exempt": job.stage == "search" and self._is_exempt(job.trial_id),
            "attempts": self._attempts.get(job.trial_id, 1),
        }
        self._writer.add("trials", row)
        if reason != NOT_PROMOTED:
            self._ended.append(job)
        self.tally.end(job, status, summary.get("objective"), waits=reason == NOT_PROMOTED)
        self.flush_if_due()

    def flush_if_due(self) -> None:
        """Make rows durable from time to time."""
        self._writer.flush_if_due()
        if self._writer.is_empty:
            self._forget_ended()

    def close(self) -> None:
        """Make everything durable."""
        self._writer.close()
        self._forget_ended()

    def _forget_ended(self) -> None:
        ended, self._ended = self._ended, []
        for job in ended:
            self._forget(job)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence - 1


def cell_row(cell: Cell, space: SearchSpace) -> dict[str, Any]:
    """The row of a planned cell."""
    return {
        "cell": cell.name,
        "regime": regime_of(cell, space),
        "levels": cell.levels,
        "baseline": cell.baseline,
        "configurations": cell.configurations,
        "space_hash": digest(space.model_dump(mode="json")),
    }


def trial_row(job: Job, summary: Mapping[str, Any], status: str, reason: str | None) -> dict[str, Any]:
    """The row of a trial, without what only the ledger knows."""
    configuration = job.configuration
    now = datetime.now(UTC)
    return {
        "epochs": 0,
        "seconds": 0.0,
        "passes": 0.0,
        "started_at": now,
        **summary,
        "trial_id": job.trial_id,
        "configuration_id": configuration.id,
        "cell": job.cell,
        "stage": job.stage,
        "seed": job.seed,
        "dataset": configuration.dataset,
        "model": configuration.model.name,
        "regime": job.regime,
        "method": configuration.method,
        "distribution": configuration.distribution,
        "sparsity": configuration.sparsity,
        "parameters": job.parameters,
        "configuration": configuration.model_dump(mode="json", exclude_defaults=True),
        "status": status,
        "reason": reason,
        "budget_epochs": configuration.training.epochs,
        "ended_at": now,
        "provenance": provenance(),
    }
