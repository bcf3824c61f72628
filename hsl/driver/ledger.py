"""What happens to trials, written to the store as it arrives: the driver's only way to record anything."""

import contextlib
import logging
import math
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from hsl.driver.events import Ended
from hsl.driver.watch.progress import Tally
from hsl.errors import LeaseError, StoreError
from hsl.planning.job import Identity, Job
from hsl.planning.plan import Cell, regime_of
from hsl.planning.sampling import record, sampler_of
from hsl.provenance import provenance
from hsl.results.sequential import confidence_of_looks
from hsl.space.schema import SearchSpace
from hsl.store.columns import TABLES
from hsl.store.store import Store, Writer
from hsl.training.configuration import digest

FLUSH_ROWS = 2_000
FLUSH_SECONDS = 2.0
"""What is lost when the driver is killed is trained again from the checkpoints, so this may be seconds."""

MAX_FLUSH_SECONDS = 30.0
"""Long sweeps write fewer and larger files."""

FLUSHES_PER_COMPACTION = 1_000

OUTAGE_SECONDS = 600.0
"""How long a store may be out of reach, or full, before the sweep ends; its rows wait meanwhile."""

RETRY_SECONDS = 5.0

LOG = logging.getLogger(__name__)


class Ledger:
    """Writes epochs and trials with a running number, so that their order of arrival can be replayed.

    An epoch that is reported again, because its trial continues from a checkpoint, keeps its first number: that is when
    the stopping rule saw it.

    While the store cannot be written, rows wait and trials go on.

    Args:
        store: The store of the sweep.
        sequence: Number of the first row.
        is_exempt: Whether a trial is exempt from early stopping.
        forget: Deletes the files of a trial that are not needed any more, once its row is durable.
        tally: Counts for the live view.
        check_lease: Raises a LeaseError if this driver may not write any more.
        numbers: Those of stored epochs, by trial and epoch, of trials that may continue.
    """

    def __init__(
        self,
        store: Store,
        sequence: int,
        is_exempt: Callable[[str], bool],
        forget: Callable[[Job], None],
        tally: Tally,
        check_lease: Callable[[], None] = lambda: None,
        numbers: Mapping[str, Mapping[int, int]] | None = None,
    ) -> None:
        self._store = store
        self._writer = Writer(store, sys.maxsize, math.inf)  # never by itself: an outage is dealt with here
        self._sequence = sequence
        self._is_exempt = is_exempt
        self._forget = forget
        self._check_lease = check_lease
        self._numbers = {name: dict(known) for name, known in (numbers or {}).items()}
        self._ended: list[Job] = []
        self._waiting = self._flushes = 0
        self._began = self._flushed = time.monotonic()
        self._outage: float | None = None
        self.tally = tally

    def start(self, job: Job, was_paused: bool = False) -> None:
        """Note that a trial starts, or continues from the rung where it was paused."""
        self.tally.start(job.identity.cell, was_paused)

    def report(
        self, job: Job, epochs: Iterable[Mapping[str, Any]], evaluations: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """Record epochs of a trial, and evaluations of its network."""
        own = {"trial_id": job.trial_id, "cell": job.identity.cell}
        numbers = self._numbers.setdefault(job.trial_id, {})
        for row in epochs:
            self._add("epochs", {**own, **row}, numbers.setdefault(row["epoch"], self._sequence))
        for row in evaluations:
            self._writer.add("evaluations", {**own, **row})
        self.flush_if_due()

    def end(self, job: Job, ended: Ended) -> None:
        """Record the end of a trial, or that it was paused."""
        exempt = job.identity.stage == "search" and self._is_exempt(job.trial_id)
        self._add("trials", trial_row(job, ended) | {"exempt": exempt}, self._sequence)
        if not ended.is_paused:
            self._ended.append(job)
            self._numbers.pop(job.trial_id, None)
        self.tally.end(job.identity.cell, ended.status, ended.summary.get("objective"))
        self.flush_if_due()

    def halt(self, job: Job) -> None:
        """Note that a trial has left its worker without an end: it goes on in a later run."""
        self.tally.halt(job.identity.cell)

    def _add(self, table: str, row: Mapping[str, Any], number: int) -> None:
        self._writer.add(table, {"sequence": number, **row})
        self._sequence = max(self._sequence, number + 1)
        self._waiting += 1

    def flush_if_due(self) -> None:
        """Make rows durable from time to time.

        Raises:
            StoreError: If that has failed for `OUTAGE_SECONDS`, or the lease is lost.
        """
        now = time.monotonic()
        waited = now - self._flushed
        if self._outage is not None:
            due = waited > RETRY_SECONDS
        else:
            pause = min(max(FLUSH_SECONDS, (now - self._began) / 100), MAX_FLUSH_SECONDS)
            due = self._waiting >= FLUSH_ROWS or bool(self._waiting and waited > pause)
        if due:
            self._try_flush()

    def _try_flush(self) -> None:
        try:
            self._flush()
        except LeaseError:
            raise
        except StoreError as error:
            now = self._flushed = time.monotonic()
            if self._outage is None:
                self._outage = now
                says = "%s; nothing is lost, trials go on, writing is retried for %.0f minutes"
                LOG.warning(says, error, OUTAGE_SECONDS / 60)
            elif now - self._outage > OUTAGE_SECONDS:
                raise

    def _flush(self) -> None:
        self._check_lease()
        self._writer.flush()
        self._flushed = time.monotonic()
        if self._outage is not None:
            LOG.warning("the store can be written again")
        self._waiting, self._outage = 0, None
        with contextlib.suppress(StoreError):  # what is left of the list waits for the next time
            while self._ended:
                self._forget(self._ended[-1])
                self._ended.pop()
        self._flushes += 1
        if self._flushes % FLUSHES_PER_COMPACTION == 0:
            compact(self._store)

    def close(self) -> None:
        """Make everything durable.

        Raises:
            StoreError: If that is not possible, with the number of rows that are lost.
        """
        if self._writer.is_empty:
            return
        try:
            self._flush()
        except LeaseError:
            raise
        except StoreError as error:
            raise StoreError(
                f"{error}\n{self._waiting} rows were not stored; then run the same command again: "
                f"their epochs are trained again, from the checkpoints where there are some"
            ) from error


def compact(store: Store) -> None:
    """Merge small files; a store without room for that stays as it is, complete."""
    for table in TABLES:
        try:
            store.compact(table)
        except StoreError as error:
            LOG.warning("not compacted, which loses nothing: %s", error)


def cell_row(cell: Cell, space: SearchSpace, enough: int | None = None) -> dict[str, Any]:
    """The row of a planned cell, whose search has ended after `enough` configurations if it needs no others."""
    return {
        "cell": cell.name,
        "regime": regime_of(cell, space),
        "levels": cell.levels,
        "baseline": cell.baseline,
        "configurations": cell.configurations,
        "space_hash": digest(space.model_dump(mode="json")),
        "sampler": record(sampler_of(space, cell)),
        "confidence": confidence_of_looks(space.confirm.looks) if space.confirm.stop else None,
        "enough": enough,
    }


def described(own: Identity) -> dict[str, Any]:
    """What distinguishes a trial, by column."""
    made = own.configuration
    return {
        "cell": own.cell,
        "regime": own.regime,
        "stage": own.stage,
        "seed": own.seed,
        "dataset": made.named_data,
        "model": made.model.name,
        "split_seed": made.split.seed,
        "method": made.method,
        "sparsity": made.sparsity,
        "distribution": made.distribution,
    }


def trial_row(job: Job, ended: Ended) -> dict[str, Any]:
    """The row of a trial, without the columns that only the ledger knows."""
    own, configuration = job.identity, job.identity.configuration
    now = datetime.now(UTC)
    return {
        "epochs": 0,
        "seconds": 0.0,
        "passes": 0.0,
        "started_at": now,
        **ended.summary,
        **ended.history.model_dump(),
        **described(own),
        "trial_id": own.trial_id,
        "configuration_id": configuration.id,
        "parameters": own.parameters,
        "objective_metric": job.reporting.objective,
        "proposal": own.proposal,
        "proposed_by": own.proposed_by,
        "turn": own.turn,
        "seen": own.seen,
        "configuration": configuration.stored(),
        "status": ended.status,
        "reason": ended.reason,
        "attempts": ended.attempts,
        "budget_epochs": configuration.training.epochs,
        "ended_at": now,
        "provenance": provenance(),
    }
