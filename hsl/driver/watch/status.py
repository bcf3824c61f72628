"""The state of a sweep, read from its store alone: from another terminal, or long after. No torch, no ray."""

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from hsl.driver.under_way import checkpointed
from hsl.driver.watch.nodes import ClusterStatus, read_cluster_status
from hsl.filesystems import absolute
from hsl.planning.plan import Plan, make_plan
from hsl.results.audit import audit
from hsl.space.stored import readable, stored_space
from hsl.store.layout import Library
from hsl.store.lease import Holder, LeaseFile
from hsl.store.outcomes import ENDS, Status
from hsl.store.store import Store
from hsl.wording import duration

Row = Mapping[str, Any]

WINDOW_SECONDS = 1800.0
"""The rate is the mean over this time, or over the time since the driver started if that is shorter."""

_TRIAL_COLUMNS = (
    *("trial_id", "cell", "stage", "status", "reason", "epochs", "objective", "seconds"),
    *("attempts", "losses", "repeated_epochs", "ended_at"),
)


@dataclass(frozen=True)
class SweepStatus:
    """The state of a sweep.

    Attributes:
        cells: One row per stage and cell: planned, running, completed, stopped, failed, best, epochs, seconds.
        holder: The driver that runs; None if none does.
        failures: One row per stage and reason: reason, trials, and one of them as an example.
        rungs: The audit of each rung by kind of trials (`hsl.results.audit`); empty without early stopping.
        retried: Trials that lost a worker and were started again.
        enough: Cells whose search has ended early, because nothing that was left was worth a trial.
        epochs_per_hour: Epochs of trials that have ended lately; None if no driver runs or none has ended.
        seconds_left: Estimate of the time until everything planned has ended; None without a rate.
    """

    name: str
    cells: list[dict[str, Any]]
    holder: Holder | None
    failures: list[dict[str, Any]]
    rungs: list[dict[str, Any]]
    retried: int
    enough: int
    epochs_per_hour: float | None
    seconds_left: float | None
    cluster: ClusterStatus

    def document(self) -> dict[str, Any]:
        """Everything as a JSON-able object."""
        return asdict(self)

    def table(self) -> pa.Table:
        """The cells."""
        return pa.Table.from_pylist(self.cells)

    def lines(self) -> list[str]:
        """The state in a few sentences."""
        return [
            *(_stage_line(self.cells, stage) for stage in dict.fromkeys(row["stage"] for row in self.cells)),
            self._driver(),
            *self._rest(),
        ]

    def _driver(self) -> str:
        if self.holder is not None:
            since = datetime.fromtimestamp(self.holder.since, UTC)
            return f"driver: {self.holder}; since {since:%Y-%m-%d %H:%M:%S}"
        unfinished = any(_ended(row) < row["planned"] for row in self.cells)
        then = "the same hsl sweep continues" if unfinished else "all that was planned has ended"
        return f"driver: none; {then}"

    def _rest(self) -> list[str]:
        spent = sum(row["seconds"] for row in self.cells)
        lines = [f"spent: {sum(row['epochs'] for row in self.cells)} epochs, {duration(spent)} of training"]
        if self.epochs_per_hour is not None and self.seconds_left is not None:
            left = duration(self.seconds_left)
            lines.append(f"rate: {self.epochs_per_hour:.0f} epochs per hour, about {left} left")
        if self.enough:
            lines.append(
                f"{self.enough} cells have ended early: nothing that is left is worth a trial (budget.enough)"
            )
        if self.retried:
            lines.append(f"{self.retried} trials were started again after they had lost a worker")
        return [*lines, *self.cluster.lines(is_live=self.holder is not None)]


def read_status(uri: str) -> SweepStatus:
    """Sum up the store at a path or URI.

    Raises:
        StoreError: If there is no store, or it holds no space that this version can read.
    """
    store = Store(uri)
    trials = store.read("trials", _TRIAL_COLUMNS).to_pylist()
    space = stored_space(store, "what was planned is unknown; run hsl sweep with this store")
    with readable(store.uri):
        plan = make_plan(space)
    holder = LeaseFile(uri).read()
    if holder is not None and (holder.is_gone or not holder.is_current(time.time())):
        holder = None
    under_way = [
        {"cell": job.identity.cell, "stage": job.identity.stage, "epochs": epochs}
        for job, epochs in checkpointed(Library(absolute(uri)), {row["trial_id"] for row in trials})
    ]
    ends = {row["cell"]: row["enough"] for row in store.read("cells", ["cell", "enough"]).to_pylist()}
    enough = {cell: count for cell, count in ends.items() if count is not None}
    cells = _cell_rows(plan, enough, trials, under_way)
    rate = _epochs_per_second(trials, holder)
    return SweepStatus(
        name=plan.space.name,
        cells=cells,
        enough=len(enough),
        holder=holder,
        failures=_failures(trials),
        rungs=[row for row in audit(store).to_pylist() if row["kind"] and row["cell"] is None],
        retried=sum(row["attempts"] > 1 for row in trials),
        epochs_per_hour=None if rate is None else 3600 * rate,
        seconds_left=None if rate is None else _epochs_left(cells, plan.space.training.epochs) / rate,
        cluster=read_cluster_status(store, trials),
    )


def _cell_rows(
    plan: Plan, enough: Mapping[str, int], trials: Sequence[Row], under_way: Sequence[Row]
) -> list[dict[str, Any]]:
    confirm = plan.space.confirm
    counts = {cell.name: enough.get(cell.name) or cell.configurations for cell in plan.cells}
    planned = {("search", name): count for name, count in counts.items()}
    if confirm.seeds:
        planned |= {("confirm", name): confirm.trials(count) for name, count in counts.items()}

    def of(rows: Sequence[Row], place: tuple[str, str]) -> list[Row]:
        return [row for row in rows if (row["stage"], row["cell"]) == place]

    return [_cell_row(*at, count, of(trials, at), of(under_way, at)) for at, count in planned.items()]


def _cell_row(stage: str, name: str, planned: int, trials: list[Row], under_way: list[Row]) -> dict[str, Any]:
    ends = Counter(row["status"] for row in trials)
    completed = [row["objective"] for row in trials if row["status"] == Status.COMPLETED]
    best = max((value for value in completed if value is not None), default=None)
    return {
        "stage": stage,
        "cell": name,
        "planned": max(planned, len(trials)),  # winners of earlier runs may have been confirmed as well
        "running": len(under_way),
        **{status.value: ends[status] for status in ENDS},
        "best_objective": best,
        "best_accuracy": best,  # its name in 0.1, kept for one version
        "epochs": sum(row["epochs"] for row in (*trials, *under_way)),
        "seconds": sum(row["seconds"] or 0.0 for row in trials),
    }


def _failures(trials: Iterable[Row]) -> list[dict[str, Any]]:
    """Failed trials by the last line of their reason, which of a traceback is the error itself."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in trials:
        if row["status"] == Status.FAILED:
            reason = (row["reason"] or "unknown").strip().rpartition("\n")[2]
            found.setdefault((row["stage"], reason), []).append(row["trial_id"])
    return [
        {"stage": stage, "reason": reason, "trials": len(ids), "example": ids[0]}
        for (stage, reason), ids in sorted(found.items(), key=lambda item: -len(item[1]))
    ]


def _epochs_per_second(trials: Iterable[Row], holder: Holder | None) -> float | None:
    if holder is None:
        return None
    now = datetime.now(UTC)
    window = min(WINDOW_SECONDS, max(1.0, now.timestamp() - holder.since))
    begin = now - timedelta(seconds=window)
    lately = sum(row["epochs"] for row in trials if row["ended_at"] is not None and row["ended_at"] > begin)
    return lately / window or None


def _epochs_left(cells: Iterable[Row], epochs: int) -> float:
    """Epochs of the trials that have not ended, each as long as the ended ones of its cell, or a full training."""
    left = 0.0
    for row in cells:
        ended = _ended(row)
        left += max(0, row["planned"] - ended) * (row["epochs"] / ended if ended else epochs)
    return left


def _ended(row: Row) -> int:
    return int(row["completed"] + row["stopped"] + row["failed"])


def _stage_line(cells: Sequence[Row], stage: str) -> str:
    rows = [row for row in cells if row["stage"] == stage]
    names = ("planned", "running", "completed", "stopped", "failed")
    total = {name: sum(row[name] for row in rows) for name in names}
    return (
        f"{stage}: {_ended(total)} of {total['planned']} trials ended "
        f"({total['completed']} completed, {total['stopped']} stopped early, {total['failed']} failed), "
        f"{total['running']} under way"
    )
