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
from hsl.results.correlation import within_groups
from hsl.results.shaping import fields, grouped
from hsl.results.stats import wilson_interval
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.wording import kind_of

SCHEMA = pa.schema(
    [
        *fields(pa.int64(), "rung", "epoch"),
        *fields(pa.string(), "kind", "cell"),
        *fields(pa.int64(), "entries", "stopped", "exempt"),
        *fields(pa.float64(), "correlation", "correlation_low", "correlation_high"),
        *fields(pa.int64(), "behind", "false_stops"),
        *fields(pa.float64(), "false_stop_rate", "false_stop_low", "false_stop_high", "regret"),
        *fields(pa.float64(), "evidence"),
        *fields(pa.bool_(), "acts"),
    ]
)


@dataclass(frozen=True)
class Entry:
    """One trial at one rung.

    Attributes:
        sequence: Order of arrival.
        kind: Its regime, and whether it is dense.
        value: Objective at the rung.
        cutoff: Objective below which the rung stopped; None where it compared no trials.
        final: Objective of a full training; None where there is none.
        exempt: Whether it could not be stopped.
        stopped: Whether it was trained no further.
        evidence: Odds that the rung predicts, as they were then; None of rules that do not ask.
    """

    sequence: int
    kind: str
    cell: str
    value: float
    cutoff: float | None
    final: float | None
    exempt: bool
    stopped: bool
    evidence: float | None

    @property
    def is_behind(self) -> bool:
        """Whether the rung would have stopped it, or has."""
        return self.cutoff is not None and self.value < self.cutoff


def audit(store: Store) -> pa.Table:
    """One row per rung and cell, one per kind of cells, and one over all cells, from recorded decisions.

    Args:
        store: Store of a sweep with early stopping at rungs.

    Returns:
        ``rung`` (epochs at target sparsity) and ``epoch`` name the rung, ``kind`` the regime, dense apart from sparse;
        ``cell`` is null of rows over the cells of a kind, both are null over all. ``entries`` reached it and
        ``stopped`` ended there. Of the ``exempt`` that were trained to the end: rank ``correlation`` with the final
        objective, within cells, with its 95 % interval (Fisher's z); how many were ``behind`` the cut-off, how many of
        these were ``false_stops`` (they ended better than all others of their cell that were trained to the end and
        not behind) with the rate and its 95 % interval (Wilson), and the ``regret``: what each that was behind would
        have added to the best of its cell, on average, in units of the objective. ``evidence``: odds that the rung
        predicts the end, by the trials of that kind that had ended when the last one came
        (`hsl.stopping.rung_evidence`), and whether it then ``acts``, so that trials may be stopped. What is unknown is
        null; without rungs there are no rows.

    Raises:
        StoreError: If there is no store, or its space cannot be read.
    """
    rows = []
    for (rung, epoch), entries in sorted(_entries(store).items()):
        at = {"rung": rung, "epoch": epoch}
        rows.append({**at, **_summary(entries)})
        for kind, own in sorted(grouped(entries, lambda entry: entry.kind).items()):
            state = _state(own)
            rows.append({**at, "kind": kind, **_summary(own), **state})
            for cell, group in sorted(grouped(own, lambda entry: entry.cell).items()):
                rows.append({**at, "kind": kind, "cell": cell, **_summary(group), **state})
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
    own = ("stage", "status", "objective", "exempt", "epochs", "regime", "sparsity")
    trials = store.read("trials", ["trial_id", *own])
    by_id = {row["trial_id"]: row for row in trials.to_pylist() if row["stage"] == "search"}
    named = ("sequence", "trial_id", "cell", "epoch", "rung", "cutoff", "evidence")
    epochs = store.read("epochs", [*named, *sorted(set(metrics.values()))])
    rungs: dict[tuple[int, int], list[Entry]] = {}
    for row in epochs.filter(pc.is_valid(epochs["rung"])).to_pylist():
        trial = by_id.get(row["trial_id"])
        value = row[metrics[row["trial_id"]]] if trial else None
        if trial is not None and value is not None:
            final = trial["objective"] if trial["status"] == Status.COMPLETED else None
            stopped = trial["status"] == Status.STOPPED and trial["epochs"] == row["epoch"]
            kind = kind_of(trial["regime"], bool(trial["sparsity"]))
            place = (row["sequence"], kind, row["cell"])
            entry = Entry(*place, value, row["cutoff"], final, trial["exempt"], stopped, row["evidence"])
            rungs.setdefault((row["rung"], row["epoch"]), []).append(entry)
    return rungs


def _state(entries: Sequence[Entry]) -> dict[str, Any]:
    """The evidence when the last trial of a kind reached a rung, and whether the rung then compared it with others."""
    last = max(entries, key=lambda entry: entry.sequence)
    return {"evidence": last.evidence, "acts": last.cutoff is not None}


def _summary(entries: Sequence[Entry]) -> dict[str, Any]:
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
