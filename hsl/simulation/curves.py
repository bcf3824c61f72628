"""Learning curves of a store, as a replay needs them. No torch, no ray."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import fmean
from typing import Any

import numpy as np

from hsl.errors import NothingMatchedError
from hsl.results.audit import objective_metrics
from hsl.store.documents import mapping
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.wording import kind_of

OBJECTIVE = "objective"


@dataclass(frozen=True, eq=False)
class Curve:
    """One trial that was trained to the end.

    Attributes:
        rows: Evaluated epochs: ``epoch``, ``epochs_at_target``, ``objective``.
        seconds: Training time up to each of them.
        parameters: Tuned values (axis -> value).
        regime: Its regime.
        is_dense: Whether no weight is pruned.
        worth: Test accuracy of its configuration, of fresh seeds if there are any; NaN where it is unknown.
    """

    trial_id: str
    cell: str
    rows: tuple[Mapping[str, Any], ...]
    seconds: tuple[float, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    regime: str = ""
    is_dense: bool = False
    worth: float = math.nan

    @property
    def kind(self) -> str:
        """Its regime, dense apart from sparse, as `hsl.planning.plan.kin_of` names it."""
        return kind_of(self.regime, is_sparse=not self.is_dense)

    @property
    def final(self) -> float:
        """Objective at the end."""
        return float(self.rows[-1][OBJECTIVE])

    @property
    def epochs(self) -> int:
        """Epochs of the full training."""
        return int(self.rows[-1]["epoch"])

    def stations(self, milestones: tuple[int, ...], progress: str) -> tuple[int, ...]:
        """Indices of the rows at which it reports: the first at or after each milestone of a column, and the last."""
        return _stations(tuple(row[progress] for row in self.rows), milestones)

    def epoch_at(self, seconds: float) -> float:
        """Epochs trained after some training time, parts of epochs included; even between two rows."""
        return float(np.interp(seconds, (0.0, *self.seconds), (0.0, *self._ends)))

    def seconds_at(self, epoch: float) -> float:
        """Training time of some epochs."""
        return float(np.interp(epoch, (0.0, *self._ends), (0.0, *self.seconds)))

    def station_after(self, epoch: float, stations: Sequence[int]) -> int:
        """Position in `stations` of the first row beyond some epochs; the last where none is."""
        beyond = (n for n, row in enumerate(stations) if self._ends[row] > epoch)
        return next(beyond, len(stations) - 1)

    @property
    def _ends(self) -> tuple[float, ...]:
        return tuple(row["epoch"] for row in self.rows)


@lru_cache(maxsize=4096)
def _stations(progress: tuple[int, ...], milestones: tuple[int, ...]) -> tuple[int, ...]:
    last = len(progress) - 1
    reached = (next((i for i, at in enumerate(progress) if at >= m), last) for m in milestones)
    return tuple(sorted({*reached, last}))


def read_curves(store: Store) -> tuple[list[Curve], int]:
    """Complete curves of the search in the order in which they ended, and the number of other trials of the search.

    Raises:
        NothingMatchedError: If there is none.
    """
    metrics = objective_metrics(store)
    trials = _trials(store, metrics)
    search = [row for row in trials if row["stage"] == "search"]
    rows, worth = _rows_by_trial(store, metrics), _worths(trials)
    curves = [
        replace(
            curve,
            parameters=mapping(trial, "trials", "parameters"),
            regime=trial["regime"],
            is_dense=not trial["sparsity"],
            worth=worth(trial),
        )
        for trial in search
        if trial["status"] == Status.COMPLETED
        and (curve := _curve(trial["trial_id"], trial["cell"], rows.get(trial["trial_id"], [])))
    ]
    if not curves:
        raise NothingMatchedError(
            f"{store.uri} has no trial of the search that was trained to the end; "
            f"record some with early_stopping=none or a larger early_stopping.exempt"
        )
    return curves, len(search) - len(curves)


def _trials(store: Store, metrics: Mapping[str, str]) -> list[dict[str, Any]]:
    """All trials in the order in which they ended, each with the test metric of its objective as ``test``."""
    names = (
        "sequence",
        "trial_id",
        "configuration_id",
        "cell",
        "regime",
        "sparsity",
        "seed",
        "stage",
        "status",
    )
    tests = {metric: _of_test(metric) for metric in set(metrics.values())}
    table = store.read("trials", [*names, "parameters", *sorted(set(tests.values()))]).sort_by("sequence")
    return [{**row, "test": row[tests[metrics[row["trial_id"]]]]} for row in table.to_pylist()]


def _of_test(metric: str) -> str:
    return f"test_{metric.removeprefix('val_')}"


def _worths(trials: Sequence[Mapping[str, Any]]) -> Callable[[Mapping[str, Any]], float]:
    """What the configuration of a trial of the search is worth: mean test metric of its fresh seeds, else its own."""
    fresh: dict[tuple[str, str], list[float]] = {}
    for row in trials:
        if row["stage"] != "search" and row["status"] == Status.COMPLETED and row["test"] is not None:
            fresh.setdefault((row["cell"], row["configuration_id"]), []).append(row["test"])

    def worth(row: Mapping[str, Any]) -> float:
        own = math.nan if row["test"] is None else float(row["test"])
        return fmean(fresh.get((row["cell"], row["configuration_id"]), [own]))

    return worth


def _rows_by_trial(store: Store, metrics: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    names = ["trial_id", "epoch", "epochs_at_target", "seconds"]
    table = store.read("epochs", [*names, *sorted(set(metrics.values()))])
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.sort_by([("trial_id", "ascending"), ("epoch", "ascending")]).to_pylist():
        if metric := metrics.get(row["trial_id"]):
            plain = {name: row[name] for name in names[1:]} | {OBJECTIVE: row[metric]}
            rows.setdefault(row["trial_id"], []).append(plain)
    return rows


def _curve(trial_id: str, cell: str, rows: Sequence[dict[str, Any]]) -> Curve | None:
    spent = np.cumsum([row["seconds"] or 0.0 for row in rows]).tolist()
    kept = [(row, at) for row, at in zip(rows, spent, strict=True) if row[OBJECTIVE] is not None]
    if not kept or kept[-1][0] is not rows[-1] or any(row["epochs_at_target"] is None for row, _ in kept):
        return None
    plain = tuple({name: row[name] for name in ("epoch", "epochs_at_target", OBJECTIVE)} for row, _ in kept)
    return Curve(trial_id, cell, plain, tuple(at for _, at in kept))


def by_cell(curves: Iterable[Curve]) -> dict[str, list[Curve]]:
    """Curves of each cell, in their order."""
    cells: dict[str, list[Curve]] = {}
    for curve in curves:
        cells.setdefault(curve.cell, []).append(curve)
    return cells


def winner(curves: Iterable[Curve]) -> Curve:
    """The curve that a search would choose: the best at the end, of equals that with the lowest name."""
    return min(curves, key=lambda curve: (-curve.final, curve.trial_id))


def paced(curves: Sequence[Curve], epoch_seconds: float) -> list[Curve]:
    """The same curves of a slower or faster training: an epoch takes `epoch_seconds` on average over all."""
    spent = sum(curve.seconds[-1] for curve in curves)
    if not spent:
        raise NothingMatchedError(
            "the store does not say how long its epochs took, so their time cannot be scaled"
        )
    factor = epoch_seconds * sum(curve.epochs for curve in curves) / spent
    return [replace(curve, seconds=tuple(factor * at for at in curve.seconds)) for curve in curves]


def resampled(curves: Sequence[Curve], count: int, seed: int) -> list[Curve]:
    """`count` curves drawn with replacement, equally many in each cell, each with an id of its own."""
    rng, cells = np.random.default_rng(seed), by_cell(curves)
    drawn = []
    for number, (_, own) in enumerate(sorted(cells.items())):
        size = (number + 1) * count // len(cells) - number * count // len(cells)
        picked = rng.integers(len(own), size=size)
        drawn += [replace(own[i], trial_id=f"{own[i].trial_id}~{n}") for n, i in enumerate(picked)]
    return drawn
