"""How well early stopping decided: what the trials that it was not allowed to stop say about its rungs.

A random share of trials is exempt from early stopping and trained to the end whatever the rungs say. They are an
unbiased sample, so they tell how far the order at a rung predicts the final one, and what was thrown away.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import yaml

from hsl.errors import StoreError
from hsl.results.correlation import LEAST_FREEDOM, Correlation, within_groups
from hsl.results.stats import wilson_interval
from hsl.store.outcomes import Status
from hsl.store.store import Store

SCHEMA = pa.schema(
    [
        ("rung", pa.int64()),
        ("epoch", pa.int64()),
        ("cell", pa.string()),
        ("entries", pa.int64()),
        ("stopped", pa.int64()),
        ("exempt", pa.int64()),
        ("correlation", pa.float64()),
        ("correlation_low", pa.float64()),
        ("correlation_high", pa.float64()),
        ("behind", pa.int64()),
        ("false_stops", pa.int64()),
        ("false_stop_rate", pa.float64()),
        ("false_stop_low", pa.float64()),
        ("false_stop_high", pa.float64()),
        ("regret", pa.float64()),
        ("switched_off", pa.bool_()),
    ]
)


@dataclass(frozen=True)
class Entry:
    """One trial at one rung.

    Attributes:
        cell: Its cell.
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
        ``false_stops`` (they ended better than whatever else of their cell was trained to the end and not behind)
        with the rate and its 95 % interval (Wilson), and the ``regret``: what each that was behind would have added to
        the best of its cell, on average, in units of the objective. ``switched_off``: the correlation's interval
        lies below ``early_stopping.min_correlation``. Whatever cannot be said is null; no rungs, no rows.

    Raises:
        StoreError: If there is no store, or its space cannot be read.
    """
    settings = _space(store).get("early_stopping")
    threshold = settings.get("min_correlation") if isinstance(settings, dict) else None
    rows = []
    for (rung, epoch), entries in sorted(_entries(store).items()):
        cells = sorted({entry.cell for entry in entries})
        own = [[entry for entry in entries if entry.cell == cell] for cell in cells]
        for cell, group in [(None, entries), *zip(cells, own, strict=True)]:
            rows.append({"rung": rung, "epoch": epoch, "cell": cell, **_summary(group, threshold)})
    return pa.Table.from_pylist(rows, SCHEMA)


def objective_metrics(store: Store) -> dict[str, str]:
    """Column of the epochs table that search and early stopping maximised, by trial.

    Raises:
        StoreError: If there is no store, or its space cannot be read.
    """
    usual = f"val_{_space(store).get('objective', 'matched')}_accuracy"  # of rows that do not say it
    trials = store.read("trials", ["trial_id", "objective_metric"])
    return {row["trial_id"]: row["objective_metric"] or usual for row in trials.to_pylist()}


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
            rungs.setdefault((row["rung"], row["epoch"]), []).append(_entry(row, trial, value))
    return rungs


def _entry(row: Mapping[str, Any], trial: Mapping[str, Any], value: float) -> Entry:
    final = trial["objective"] if trial["status"] == Status.COMPLETED else None
    stopped = trial["status"] == Status.STOPPED and trial["epochs"] == row["epoch"]
    return Entry(row["cell"], value, row["cutoff"], final, trial["exempt"], stopped)


def _summary(entries: Sequence[Entry], threshold: float | None) -> dict[str, Any]:
    exempt = [entry for entry in entries if entry.exempt and entry.final is not None]
    gains = list(_gains(entries))
    found = within_groups(_pairs(exempt))
    return {
        "entries": len(entries),
        "stopped": sum(entry.stopped for entry in entries),
        "exempt": len(exempt),
        "correlation": found and found.rho,
        "correlation_low": found and found.low,
        "correlation_high": found and found.high,
        "behind": sum(entry.is_behind for entry in exempt),
        **_false_stops(gains),
        "switched_off": _is_off(found, threshold),
    }


def _pairs(exempt: Iterable[Entry]) -> list[list[tuple[float, float]]]:
    groups: dict[str, list[tuple[float, float]]] = {}
    for entry in exempt:
        groups.setdefault(entry.cell, []).append((entry.value, entry.final or 0.0))
    return list(groups.values())


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


def _is_off(found: Correlation | None, threshold: float | None) -> bool:
    if found is None or threshold is None:
        return False
    return found.freedom >= LEAST_FREEDOM and found.high < threshold
