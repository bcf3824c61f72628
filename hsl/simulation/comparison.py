"""A table of replays: each setting on the same curves, over many orders of arrival."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from hsl.simulation.curves import Curve, by_cell
from hsl.simulation.replayed import Replay, Replayed
from hsl.simulation.rivals import FlatAsha, TopAfter
from hsl.stopping.rule import StoppingRule
from hsl.stopping.settings import Kind, Median, Promotion, Stratified, make_rule

Cells = Mapping[str, Sequence[Curve]]
Order = Callable[[Cells, np.random.Generator], dict[str, list[Curve]]]
"""The order in which each cell proposes its configurations."""

Reordered = Callable[[Order], Order]
"""Makes another order of one, such as that of a warm start."""

SCHEMA = pa.schema(
    [
        ("setting", pa.string()),
        ("epochs", pa.float64()),
        ("epochs_low", pa.float64()),
        ("epochs_high", pa.float64()),
        ("regret", pa.float64()),
        ("regret_low", pa.float64()),
        ("regret_high", pa.float64()),
        ("found", pa.float64()),
        ("cells_lost", pa.float64()),
        ("finished", pa.float64()),
        ("seconds", pa.float64()),
    ]
)
"""Medians over the orders; ``low`` and ``high`` are quartiles. ``epochs``: trained, as a fraction of all. ``regret``:
best objective of a cell less the best that was trained to the end, mean over cells with a finished trial. ``found``:
share of these whose best was trained to the end. ``cells_lost``: cells without a finished trial. ``finished``: trials.
``seconds``: end of the sweep on the virtual clock."""


@dataclass(frozen=True)
class Setting:
    """A row of the table.

    Attributes:
        name: How it is shown.
        make: Makes the rule of one order.
        order: Which configurations are proposed, and in which order.
    """

    name: str
    make: Callable[[int], StoppingRule]
    order: Order


def shuffled(cells: Cells, rng: np.random.Generator) -> dict[str, list[Curve]]:
    """All configurations in random order."""
    return {cell: [curves[i] for i in rng.permutation(len(curves))] for cell, curves in cells.items()}


def setting(settings: Kind | None, epochs: int) -> Setting:
    """A row for early stopping as a space may ask for it."""
    return Setting(label(settings), lambda seed: make_rule(settings, epochs, seed), shuffled)


def label(settings: Kind | None) -> str:
    """Kind of early stopping, and what differs from its defaults."""
    if settings is None:
        return "none"
    given = settings.model_dump(exclude_defaults=True, exclude={"kind"})
    return " ".join([settings.kind, *(f"{name}={value:g}" for name, value in given.items())])


def table(
    curves: Sequence[Curve],
    asked: Sequence[Kind | None],
    workers: int,
    orders: int,
    warm: Reordered | None = None,
) -> pa.Table:
    """Replay what was asked, and what it is to be compared with.

    Args:
        curves: Trials that were trained to the end.
        asked: Early stopping, the one that matters first; none for the defaults of each kind of our own.
        workers: How many trials run at once.
        orders: Random orders of arrival, at least one.
        warm: Where given, everything that depends on the order is replayed with a warm start as well.

    Returns:
        A table as `SCHEMA` says.
    """
    cells, epochs = by_cell(curves), max(curve.epochs for curve in curves)
    wanted = [setting(each, epochs) for each in list(asked) or [Stratified(), Promotion(), Median()]]
    rows = [_row(each, cells, workers, orders) for each in wanted]
    others = list(comparisons(epochs, rows[0]["epochs"]))
    rows += [_row(each, cells, workers, orders) for each in others]
    if warm:
        again = [
            replace(each, name=f"{each.name}, warm start", order=warm(each.order))
            for each in (*wanted, others[1])
        ]
        rows += [_row(each, cells, workers, orders) for each in again]
    return pa.Table.from_pylist(rows, SCHEMA)


def comparisons(epochs: int, share: float) -> Iterator[Setting]:
    """Searches without early stopping, and with other rules.

    Args:
        epochs: Epochs of a full training.
        share: Fraction of all epochs that a random search of equal cost may spend.
    """
    yield Setting("flat ASHA over all cells", lambda _: FlatAsha(epochs), shuffled)
    yield Setting("random search of equal cost", lambda _: StoppingRule(), _thinned(share))
    yield Setting("best quarter after one epoch", lambda _: TopAfter(0.25, epochs), shuffled)
    yield Setting("oracle", lambda _: StoppingRule(), _best_alone)
    yield Setting("no early stopping", lambda _: StoppingRule(), shuffled)


def _thinned(share: float) -> Order:
    def order(cells: Cells, rng: np.random.Generator) -> dict[str, list[Curve]]:
        all_of_them = shuffled(cells, rng)
        return {
            cell: curves[: max(1, int(share * len(curves) + rng.random()))]
            for cell, curves in all_of_them.items()
        }

    return order


def _best_alone(cells: Cells, rng: np.random.Generator) -> dict[str, list[Curve]]:
    return {cell: [max(curves, key=lambda curve: curve.final)] for cell, curves in cells.items()}


def _row(asked: Setting, cells: Cells, workers: int, orders: int) -> dict[str, Any]:
    runs = [_one(asked, cells, workers, seed) for seed in range(orders)]
    best = {cell: max(curve.final for curve in curves) for cell, curves in cells.items()}
    total = sum(curve.epochs for curves in cells.values() for curve in curves)
    return {
        "setting": asked.name,
        **_quartiles("epochs", [run.epochs / total for run in runs]),
        **_quartiles("regret", [float(np.mean([best[c] - v for c, v in run.best.items()])) for run in runs]),
        "found": float(np.median([np.mean([v >= best[c] for c, v in run.best.items()]) for run in runs])),
        "cells_lost": float(np.median([len(best) - len(run.best) for run in runs])),
        "finished": float(np.median([run.finished for run in runs])),
        "seconds": float(np.median([run.seconds for run in runs])),
    }


def _one(asked: Setting, cells: Cells, workers: int, seed: int) -> Replayed:
    order = asked.order(cells, np.random.default_rng(seed))
    return Replay(asked.make(seed), order, workers).run()


def _quartiles(name: str, values: Sequence[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {name: middle, f"{name}_low": low, f"{name}_high": high}
