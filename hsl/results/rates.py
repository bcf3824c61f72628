"""Recorded speed and spending of a store, for estimates of what is still to come."""

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from hsl.results.query import passes_per_second
from hsl.store.store import Store


@dataclass(frozen=True)
class Rates:
    """Speed and spending on the machines on which a store was made.

    Attributes:
        passes_per_second: Forward-backward passes of one trial per second of its training.
        parallel: Mean number of trials trained at the same time, waiting included; None without a session.
        cost_per_hour: Money per hour of a sweep; None where nothing was priced.
        spent: What all sessions have spent, by name of the budget.
    """

    passes_per_second: float
    parallel: float | None
    cost_per_hour: float | None
    spent: dict[str, float]


def recorded_rates(store: Store) -> Rates | None:
    """The rates of a store; None where there is no store, or no training in it."""
    if not store.exists():
        return None
    speed = passes_per_second(store)
    if not speed:
        return None
    sessions, seconds = store.read("sessions"), _sum(store.read("trials", ["seconds"]), "seconds")
    spent = {name: _sum(sessions, name) for name in ("epochs", "wall_time", "gpu_hours", "cost")}
    wall = spent["wall_time"]
    return Rates(
        passes_per_second=speed,
        parallel=seconds / wall if wall else None,
        cost_per_hour=3600 * spent["cost"] / wall if wall and spent["cost"] else None,
        spent=spent,
    )


def _sum(table: pa.Table, column: str) -> float:
    return float(pc.sum(table[column]).as_py() or 0.0)
