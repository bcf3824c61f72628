"""A table of replays: each setting on the same curves, over many orders of arrival."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from hsl.simulation.curves import Curve, by_cell
from hsl.simulation.replayed import Replay, Replayed
from hsl.simulation.rivals import FlatAsha, TopAfter
from hsl.simulation.spot_nodes import Spot
from hsl.stopping.rule import StoppingRule
from hsl.stopping.settings import Kind, Median, Promotion, Stratified, make_rule

Cells = Mapping[str, Sequence[Curve]]
Order = Callable[[Cells, np.random.Generator], dict[str, list[Curve]]]
"""The order in which each cell proposes its configurations."""

Reordered = Callable[[Order], Order]
"""Makes another order of one, such as that of a warm start."""

_NUMBERS = (
    *("epochs", "epochs_low", "epochs_high", "regret", "regret_low", "regret_high"),
    *("found", "cells_lost", "finished", "seconds"),
)

SCHEMA = pa.schema([("setting", pa.string()), *((name, pa.float64()) for name in _NUMBERS)])
"""Medians over the orders; ``low`` and ``high`` are quartiles. ``epochs``: trained, as a fraction of all. ``regret``:
best objective of a cell less the best that was trained to the end, mean over cells with a finished trial. ``found``:
share of these whose best was trained to the end. ``cells_lost``: cells without a finished trial. ``finished``: trials.
``seconds``: end of the sweep on the virtual clock."""


@dataclass(frozen=True)
class Setting:
    """A row of the table: the rule by the seed of an order, and the configurations that are proposed in that order."""

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
    """Replay what was asked, and the searches that it is compared with; a table with `SCHEMA`.

    Args:
        curves: Trials that were trained to the end.
        asked: Early stopping, the one that matters first; none for the defaults of each kind of our own.
        workers: How many trials run at once.
        orders: Random orders of arrival, at least one.
        warm: Where given, every setting that depends on the order is replayed with a warm start as well.
    """
    cells, epochs = by_cell(curves), max(curve.epochs for curve in curves)
    wanted = [setting(each, epochs) for each in list(asked) or [Stratified(), Promotion(), Median()]]
    rows = [_row(each, cells, workers, orders) for each in wanted]
    others = list(comparisons(epochs, rows[0]["epochs"]))
    if warm:
        again = (*wanted, others[1])
        others += [replace(each, name=f"{each.name}, warm start", order=warm(each.order)) for each in again]
    rows += [_row(each, cells, workers, orders) for each in others]
    return pa.Table.from_pylist(rows, SCHEMA)


def comparisons(epochs: int, share: float) -> Iterator[Setting]:
    """Searches without early stopping, and with other rules; the random one spends this share of all epochs."""
    yield Setting("flat ASHA over all cells", lambda _: FlatAsha(epochs), shuffled)
    yield Setting("random search of equal cost", lambda _: StoppingRule(), _thinned(share))
    yield Setting("best quarter after one epoch", lambda _: TopAfter(0.25, epochs), shuffled)
    yield Setting("oracle", lambda _: StoppingRule(), _best_alone)
    yield Setting("no early stopping", lambda _: StoppingRule(), shuffled)


def _thinned(share: float) -> Order:
    def order(cells: Cells, rng: np.random.Generator) -> dict[str, list[Curve]]:
        every = shuffled(cells, rng)
        return {c: curves[: max(1, int(share * len(curves) + rng.random()))] for c, curves in every.items()}

    return order


def _best_alone(cells: Cells, rng: np.random.Generator) -> dict[str, list[Curve]]:
    return {cell: [max(curves, key=lambda curve: curve.final)] for cell, curves in cells.items()}


def _row(asked: Setting, cells: Cells, workers: int, orders: int) -> dict[str, Any]:
    runs = [replayed(asked, cells, workers, seed) for seed in range(orders)]
    best = best_finals(cells)
    total = sum(curve.epochs for curves in cells.values() for curve in curves)
    return {
        "setting": asked.name,
        **_quartiles("epochs", [run.epochs / total for run in runs]),
        **_quartiles("regret", [regret(run, best) for run in runs]),
        "found": median([float(np.mean([v >= best[c] for c, v in run.best.items()])) for run in runs]),
        "cells_lost": median([len(best) - len(run.best) for run in runs]),
        "finished": median([run.finished for run in runs]),
        "seconds": median([run.seconds for run in runs]),
    }


def replayed(asked: Setting, cells: Cells, workers: int, seed: int, spot: Spot | None = None) -> Replayed:
    """One replay of a setting, with the order of arrival and the interruptions of a seed."""
    order = asked.order(cells, np.random.default_rng(seed))
    return Replay(asked.make(seed), order, workers, spot, seed).run()


def best_finals(cells: Cells) -> dict[str, float]:
    """The best final objective of each cell."""
    return {cell: max(curve.final for curve in curves) for cell, curves in cells.items()}


def regret(run: Replayed, best: Mapping[str, float]) -> float:
    """Mean difference to the best over the cells with a finished trial."""
    return float(np.mean([best[cell] - value for cell, value in run.best.items()]))


def median(values: Sequence[float]) -> float:
    """The median as a plain number."""
    return float(np.median(values))


def _quartiles(name: str, values: Sequence[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {name: middle, f"{name}_low": low, f"{name}_high": high}
