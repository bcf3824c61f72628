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
    "session",
    "updated_at",
    "gpu_hours",
    "cost",
    "under_way",
    "lost_nodes",
    "nodes",
    "running",
    "pending",
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
    """What the machines of a sweep do, and what they have cost.

    Attributes:
        seen_at: When the last driver looked; None if none ever has.
        nodes: One row per node type, as it was then: type, nodes, cpus, gpus, gpus_held.
        running: Trials that had a worker then.
        pending: Trials that waited for one then.
        lost_nodes: Machines that were lost, over all runs.
        losses: How often a trial lost its machine.
        repeated_epochs: Epochs that were trained again after interruptions.
        gpu_hours: Hours that GPUs were held, over all runs.
        cost: Money spent, over all runs, by the prices of the space.
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
        """What is worth telling of it, in sentences.

        Args:
            is_live: Whether a driver runs.
        """
        return [*self._machines(is_live), *self._losses(), *self._spent()]

    def _machines(self, is_live: bool) -> list[str]:
        if self.seen_at is None or not self.nodes:
            return []
        when = f"{self.seen_at:%H:%M:%S} UTC" if is_live else f"when last seen, {self.seen_at:%Y-%m-%d %H:%M}"
        kinds = ", ".join(_kind_in_words(row) for row in self.nodes)
        doing = f"; {self.running} trials run, {self.pending} wait for a machine" if is_live else ""
        return [f"machines ({when}): {kinds}{doing}"]

    def _losses(self) -> list[str]:
        lines = []
        if self.lost_nodes or self.losses:
            lines.append(
                f"{self.lost_nodes} machines were lost, trials went on elsewhere {self.losses} times"
            )
        if self.repeated_epochs:
            lines.append(f"{self.repeated_epochs} epochs were trained again after interruptions")
        return lines

    def _spent(self) -> list[str]:
        if not self.cost and not self.gpu_hours:
            return []
        return [f"cost so far: {self.cost:.2f}, {self.gpu_hours:.2f} GPU hours"]


def read_cluster_status(store: Store, trials: Sequence[Row]) -> ClusterStatus:
    """Sum up what drivers have recorded of their machines.

    Args:
        store: The store.
        trials: Rows of ended trials, with trial_id, losses and repeated_epochs.
    """
    sessions = sorted(store.read("sessions", _SESSION_COLUMNS).to_pylist(), key=lambda row: row["updated_at"])
    last: Row = sessions[-1] if sessions else dict.fromkeys(_SESSION_COLUMNS)
    counted = [*trials, *_under_way(last, {row["trial_id"] for row in trials})]
    return ClusterStatus(
        seen_at=last["updated_at"] if last.get("nodes") else None,
        nodes=_machines(last),
        running=last.get("running") or 0,
        pending=last.get("pending") or 0,
        losses=_sum(counted, "losses"),
        repeated_epochs=_sum(counted, "repeated_epochs"),
        lost_nodes=_sum(sessions, "lost_nodes"),
        gpu_hours=float(_sum(sessions, "gpu_hours")),
        cost=float(_sum(sessions, "cost")),
    )


def _machines(session: Row) -> list[dict[str, Any]]:
    found = shaped(session, "sessions", "nodes", dict[str, _Machines] | None) or {}
    return [{"type": kind, **counts} for kind, counts in found.items()]


def _under_way(session: Row, ended: set[str]) -> list[Row]:
    jobs: list[Row] = shaped(session, "sessions", "under_way", list[_Job] | None) or []
    return [job for job in jobs if job.get("trial_id") not in ended]


def _sum(rows: Iterable[Row], column: str) -> Any:
    return sum(row.get(column) or 0 for row in rows)


def _kind_in_words(row: Row) -> str:
    """For example ``2 spot-t4 (16 CPUs, 1.5 of 2 GPUs held)``."""
    gpus = f", {row['gpus_held']:g} of {row['gpus']:g} GPUs held" if row["gpus"] else ""
    return f"{row['nodes']} {row['type']} ({row['cpus']:g} CPUs{gpus})"
