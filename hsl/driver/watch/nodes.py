"""Machines, losses and cost of a sweep, read from its store: while a driver runs, or long after. No torch, no ray."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from typing_extensions import TypedDict

from hsl.store.documents import shaped
from hsl.store.store import Store

Row = Mapping[str, Any]

_SESSION_COLUMNS = (
    *("session", "updated_at", "gpu_hours", "cost", "under_way"),
    *("lost_nodes", "nodes", "running", "pending"),
)


class _Machines(TypedDict):
    nodes: int
    cpus: float
    gpus: float
    gpus_held: float


class _Job(TypedDict, total=False):
    trial_id: str
    losses: int
    repeated_epochs: int


@dataclass(frozen=True)
class ClusterStatus:
    """The machines of a sweep, as its last driver saw them, and their losses and cost over all runs.

    Attributes:
        seen_at: When the last driver looked; None if none ever has.
        nodes: One row per node type, as it was then: type, nodes, cpus, gpus, gpus_held.
        running: Trials that had a worker then.
        pending: Trials that waited for one then.
        lost_nodes: Machines that were lost.
        losses: How often a trial lost its machine.
        repeated_epochs: Epochs that were trained again after interruptions.
        gpu_hours: Hours that GPUs were held.
        cost: Money spent, by the prices of the space.
    """

    seen_at: datetime | None
    nodes: list[dict[str, Any]]
    running: int
    pending: int
    lost_nodes: int
    losses: int
    repeated_epochs: int
    gpu_hours: float
    cost: float

    def lines(self, is_live: bool) -> list[str]:
        """Everything but zeros in sentences; `is_live` if a driver runs."""
        lines = []
        if self.seen_at is not None and self.nodes:
            seen = self.seen_at
            when = f"{seen:%H:%M:%S} UTC" if is_live else f"when last seen, {seen:%Y-%m-%d %H:%M}"
            kinds = ", ".join(_kind_in_words(row) for row in self.nodes)
            doing = f"; {self.running} trials run, {self.pending} wait for a machine" if is_live else ""
            lines.append(f"machines ({when}): {kinds}{doing}")
        if self.lost_nodes or self.losses:
            lost = f"{self.lost_nodes} machines were lost"
            lines.append(f"{lost}, trials went on elsewhere {self.losses} times")
        if self.repeated_epochs:
            lines.append(f"{self.repeated_epochs} epochs were trained again after interruptions")
        if self.cost or self.gpu_hours:
            lines.append(f"cost so far: {self.cost:.2f}, {self.gpu_hours:.2f} GPU hours")
        return lines


def read_cluster_status(store: Store, trials: Sequence[Row]) -> ClusterStatus:
    """Sum up the recorded sessions; `trials` are ended ones, with trial_id, losses and repeated_epochs."""
    sessions = sorted(store.read("sessions", _SESSION_COLUMNS).to_pylist(), key=lambda row: row["updated_at"])
    last: Row = sessions[-1] if sessions else dict.fromkeys(_SESSION_COLUMNS)
    begun: list[Row] = shaped(last, "sessions", "under_way", list[_Job] | None) or []
    ended = {row["trial_id"] for row in trials}
    counted = [*trials, *(job for job in begun if job.get("trial_id") not in ended)]
    machines = shaped(last, "sessions", "nodes", dict[str, _Machines] | None) or {}
    return ClusterStatus(
        seen_at=last["updated_at"] if last.get("nodes") else None,
        nodes=[{"type": kind, **counts} for kind, counts in machines.items()],
        running=last.get("running") or 0,
        pending=last.get("pending") or 0,
        losses=_sum(counted, "losses"),
        repeated_epochs=_sum(counted, "repeated_epochs"),
        lost_nodes=_sum(sessions, "lost_nodes"),
        gpu_hours=float(_sum(sessions, "gpu_hours")),
        cost=float(_sum(sessions, "cost")),
    )


def _sum(rows: Iterable[Row], column: str) -> Any:
    return sum(row.get(column) or 0 for row in rows)


def _kind_in_words(row: Row) -> str:
    """For example ``2 spot-t4 (16 CPUs, 1.5 of 2 GPUs held)``."""
    gpus = f", {row['gpus_held']:g} of {row['gpus']:g} GPUs held" if row["gpus"] else ""
    return f"{row['nodes']} {row['type']} ({row['cpus']:g} CPUs{gpus})"
