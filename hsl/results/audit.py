"""How well early stopping decided, by the trials that it was not allowed to stop.

A random share of trials is exempt from early stopping and always trained to the end. They are an unbiased sample of
how far the order at a rung predicts the final one, and of what was thrown away.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from hsl.errors import StoreError
from hsl.results.correlation import LEAST_FREEDOM, within_groups
from hsl.results.shaping import fields, grouped
from hsl.results.stats import wilson_interval
from hsl.store.outcomes import Status
from hsl.store.store import Store

SCHEMA = pa.schema(
    [
        *fields(pa.int64(), "rung", "epoch"),
        *fields(pa.string(), "cell"),
        *fields(pa.int64(), "entries", "stopped", "exempt"),
        *fields(pa.float64(), "correlation", "correlation_low", "correlation_high"),
        *fields(pa.int64(), "behind", "false_stops"),
        *fields(pa.float64(), "false_stop_rate", "false_stop_low", "false_stop_high", "regret"),
        *fields(pa.bool_(), "switched_off"),
    ]
)


@dataclass(frozen=True)
class Entry:
    """One trial at one rung.

    Attributes:
        value: Objective at the rung.
        cutoff: Objective below which the rung stopped; None where it compared no trials.
        final: Objective of a full training; None where there is none.
        exempt: Whether it could not be stopped.
        stopped: Whether it was trained no further.
    """

    cell: str
    value: float
    cutoff: float | None
    final: float | None
    exempt: bool
    stopped: bool

    @property
    def is_behind(self) -> bool:
        """Whether the rung would have stopped it, or has."""
        return self.cutoff is not None and self.value < self.cutoff


def audit(store: Store) -> pa.Table:
    """One row per rung and cell, and one per rung over all cells (`cell` is null), from recorded decisions.

    Args:
        store: Store of a sweep with early stopping at rungs.

    Returns:
        ``rung`` (epochs at target sparsity) and ``epoch`` name the rung; ``entries`` reached it and ``stopped`` ended
        there. Of the ``exempt`` that were trained to the end: rank ``correlation`` with the final objective, within
        cells, with its 95 % interval (Fisher's z); how many were ``behind`` the cut-off, how many of these were
        ``false_stops`` (they ended better than all others of their cell that were trained to the end and not behind)
        with the rate and its 95 % interval (Wilson), and the ``regret``: what each that was behind would have added to
        the best of its cell, on average, in units of the objective. ``switched_off``: the correlation's interval
        is below ``early_stopping.min_correlation``. What is unknown is null; without rungs there are no rows.

    Raises:
        StoreError: If there is no store, or its space cannot be read.
    """
    settings = _space(store).get("early_stopping")
    threshold = settings.get("min_correlation") if isinstance(settings, dict) else None
    rows = []
    for (rung, epoch), entries in sorted(_entries(store).items()):
        by_cell = sorted(grouped(entries, lambda entry: entry.cell).items())
        for cell, group in [(None, entries), *by_cell]:
            rows.append({"rung": rung, "epoch": epoch, "cell": cell, **_summary(group, threshold)})
    return pa.Table.from_pylist(rows, SCHEMA)


def objective_metrics(store: Store) -> dict[str, str]:
    """Column of the epochs table that search and early stopping maximised, by trial.

    Raises:
        StoreError: If there is no store, or its space cannot be read.
    """
    default = f"val_{_space(store).get('objective', 'matched')}_accuracy"  # of rows that do not say it
    trials = store.read("trials", ["trial_id", "objective_metric"])
    return {row["trial_id"]: row["objective_metric"] or default for row in trials.to_pylist()}


def _space(store: Store) -> Mapping[str, Any]:
    try:
        space = yaml.safe_load(store.read_space() or "")
    except yaml.YAMLError as error:
        raise StoreError(f"{store.uri}/space.yaml is no YAML: {error}; restore it") from error
    return space if isinstance(space, dict) else {}


def _entries(store: Store) -> dict[tuple[int, int], list[Entry]]:
    metrics = objective_metrics(store)
    trials = store.read("trials", ["trial_id", "stage", "status", "objective", "exempt", "epochs"])
    by_id = {row["trial_id"]: row for row in trials.to_pylist() if row["stage"] == "search"}
    names = ["trial_id", "cell", "epoch", "rung", "cutoff", *sorted(set(metrics.values()))]
    epochs = store.read("epochs", names)
    rungs: dict[tuple[int, int], list[Entry]] = {}
    for row in epochs.filter(pc.is_valid(epochs["rung"])).to_pylist():
        trial = by_id.get(row["trial_id"])
        value = row[metrics[row["trial_id"]]] if trial else None
        if trial is not None and value is not None:
            final = trial["objective"] if trial["status"] == Status.COMPLETED else None
            stopped = trial["status"] == Status.STOPPED and trial["epochs"] == row["epoch"]
            entry = Entry(row["cell"], value, row["cutoff"], final, trial["exempt"], stopped)
            rungs.setdefault((row["rung"], row["epoch"]), []).append(entry)
    return rungs


def _summary(entries: Sequence[Entry], threshold: float | None) -> dict[str, Any]:
    exempt = [entry for entry in entries if entry.exempt and entry.final is not None]
    gains = list(_gains(entries))
    by_cell = grouped(exempt, lambda entry: entry.cell)
    found = within_groups([(entry.value, entry.final or 0.0) for entry in own] for own in by_cell.values())
    return {
        "entries": len(entries),
        "stopped": sum(entry.stopped for entry in entries),
        "exempt": len(exempt),
        "correlation": found and found.rho,
        "correlation_low": found and found.low,
        "correlation_high": found and found.high,
        "behind": sum(entry.is_behind for entry in exempt),
        **_false_stops(gains),
        "switched_off": found is not None
        and threshold is not None
        and found.freedom >= LEAST_FREEDOM
        and found.high < threshold,
    }


def _gains(entries: Sequence[Entry]) -> Iterator[float]:
    """What each exempt trial that was behind adds to the best of the rest of its cell."""
    best: dict[str, float] = {}
    for entry in entries:
        if entry.final is not None and not entry.is_behind:
            best[entry.cell] = max(entry.final, best.get(entry.cell, entry.final))
    for entry in entries:
        if entry.exempt and entry.is_behind and entry.final is not None and entry.cell in best:
            yield max(0.0, entry.final - best[entry.cell])


def _false_stops(gains: Sequence[float]) -> dict[str, Any]:
    wrong = sum(gain > 0 for gain in gains)
    if not gains:
        return {"false_stops": 0}
    low, high = wilson_interval(wrong, len(gains))
    return {
        "false_stops": wrong,
        "false_stop_rate": wrong / len(gains),
        "false_stop_low": low,
        "false_stop_high": high,
        "regret": sum(gains) / len(gains),
    }
