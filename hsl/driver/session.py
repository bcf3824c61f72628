"""One run of the driver in the store: what it spent and what it had under way, renewed while it lasts."""

import contextlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pyarrow.compute as pc
from pydantic import ValidationError

from hsl.driver.account import Account, Spent
from hsl.driver.machines import Machines
from hsl.errors import StoreError
from hsl.planning.job import Job
from hsl.store.documents import shaped
from hsl.store.store import Store

SAVE_SECONDS = 30.0
"""What a killed driver's account may lack at most."""

SOON_SECONDS = 5.0
"""The same where a machine has come or gone."""


class Session:
    """Keeps the account of one run durable, with its budgets by name, and the state of its machines."""

    def __init__(
        self, store: Store, limits: Mapping[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.price = 0.0
        self.machines = Machines()
        self.snapshot: dict[str, Any] = {}
        self._has_news = False
        self._store = store
        self._clock = clock
        self._before = spent_before(store)
        self.account = Account(limits, self._before, last_epochs(store))
        self._row = {"session": uuid4().hex, "started_at": datetime.now(UTC)}
        self._charged: float | None = None
        self._saved = clock()

    def tick(self, gpus: float) -> None:
        """Charge the time since the last tick, during which `gpus` were held; the first starts the clock."""
        now = self._clock()
        if self._charged is not None:
            self.account.charge(now - self._charged, gpus, self.price)
        self._charged = now

    def show(self, snapshot: Mapping[str, Any], is_news: bool) -> None:
        """Replace the columns of the machines in the row; `is_news` if they should be saved soon."""
        self.snapshot = dict(snapshot)
        self._has_news |= is_news

    def save_if_due(self, under_way: Iterable[Job]) -> None:
        """Save from time to time; a store that cannot be written now gets it the next time."""
        if self._clock() - self._saved >= (SOON_SECONDS if self._has_news else SAVE_SECONDS):
            with contextlib.suppress(StoreError):  # the ledger says so, and gives up when it must
                self.save(under_way)

    def save(self, under_way: Iterable[Job]) -> None:
        """Make durable the account of this run and the trials that it has under way."""
        if self._charged is None:
            return
        self._saved, self._has_news = self._clock(), False
        spent, before = asdict(self.account.spent), asdict(self._before)
        jobs = [job.model_dump(mode="json", exclude_defaults=True) for job in under_way]
        own = {name: spent[name] - before[name] for name in spent}
        seen = {**self.snapshot, "lost_nodes": len(self.machines.lost)}
        now = datetime.now(UTC)
        self._store.append("sessions", [{**self._row, **own, **seen, "updated_at": now, "under_way": jobs}])


def spent_before(store: Store) -> Spent:
    """The sum over all recorded runs."""
    if not store.exists():
        return Spent()
    rows = store.read("sessions")
    sums: dict[str, Any] = {name: pc.sum(rows[name]).as_py() or 0.0 for name in asdict(Spent())}
    return Spent(**sums)


def last_epochs(store: Store) -> dict[str, int]:
    """The last recorded epoch of every trial."""
    if not store.exists():
        return {}
    last = store.read("epochs", ["trial_id", "epoch"]).group_by("trial_id").aggregate([("epoch", "max")])
    return dict(zip(last["trial_id"].to_pylist(), last["epoch_max"].to_pylist(), strict=True))


def halted_jobs(store: Store) -> Iterator[Job]:
    """Jobs that some run had under way when it was last saved, with a checkpoint or without; many have ended since."""
    for row in store.read("sessions", ["session", "under_way"]).to_pylist():
        for content in shaped(row, "sessions", "under_way", list[dict[str, Any]] | None) or ():
            with contextlib.suppress(ValidationError):  # of a version with other jobs
                yield Job.model_validate(content)
