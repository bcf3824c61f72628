"""A table of replays: each setting on the same curves, over many orders of arrival."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from hsl.planning.plan import make_plan
from hsl.results.stats import mean_interval
from hsl.simulation.bias import SCHEMA as BIAS_SCHEMA
from hsl.simulation.bias import bias_rows, losses
from hsl.simulation.curves import Curve
from hsl.simulation.proposals import Evenly, Proposals
from hsl.simulation.replayed import Replay, Replayed
from hsl.simulation.rivals import FlatAsha, TopAfter
from hsl.simulation.spot_nodes import Spot
from hsl.space.schema import SearchSpace
from hsl.stopping.rule import StoppingRule
from hsl.stopping.settings import Kind, Median, Promotion, Stratified, make_rule

Cells = Mapping[str, Sequence[Curve]]
Order = Callable[[Cells, np.random.Generator], dict[str, list[Curve]]]
"""The order in which each cell proposes its configurations."""

Reordered = Callable[[Order], Order]
"""Makes another order of one, such as that of a warm start."""

_NUMBERS = (
    *("epochs", "epochs_low", "epochs_high", "regret", "regret_low", "regret_high"),
    *("true_regret", "true_regret_low", "true_regret_high", "found", "cells_lost", "finished", "seconds"),
)

SCHEMA = pa.schema([("setting", pa.string()), *((name, pa.float64()) for name in _NUMBERS)])
"""Medians over the orders; ``low`` and ``high`` are quartiles. ``epochs``: trained, as a fraction of all. ``regret``:
best objective of a cell less the best that was trained to the end, mean over cells with a finished trial.
``true_regret``: test accuracy by fresh seeds of what the whole search would choose less that of what was chosen; mean
over the orders with its 95 % interval; null where a test accuracy is unknown. ``found``:
share of these whose best was trained to the end. ``cells_lost``: cells without a finished trial. ``finished``: trials.
``seconds``: end of the sweep on the virtual clock."""


@dataclass(frozen=True)
class Setting:
    """A row of the table: the rule by the seed of an order, and the configurations that are proposed in that order."""

    name: str
    make: Callable[[int], StoppingRule]
    order: Order

    def proposals(self, cells: Cells, seed: int) -> Proposals:
        """What is trained, in the order of a seed."""
        return Evenly(self.order(cells, np.random.default_rng(seed)))


def shuffled(cells: Cells, rng: np.random.Generator) -> dict[str, list[Curve]]:
    """All configurations in random order."""
    return {cell: [curves[i] for i in rng.permutation(len(curves))] for cell, curves in cells.items()}


@dataclass(frozen=True)
class Policy(Setting):
    """A row for a whole policy: what is proposed is chosen from the recorded configurations by the space's sampler."""

    space: SearchSpace

    def proposals(self, cells: Cells, seed: int) -> Proposals:
        """What is proposed with the seed of an order."""
        from hsl.simulation.searched import Searched  # noqa: PLC0415  imports optuna

        return Searched(make_plan(self.space.model_copy(update={"seed": seed})), cells)


def setting(settings: Kind | None, cells: Cells) -> Setting:
    """A row for early stopping as a space may ask for it."""
    return Setting(label(settings), _rules(settings, cells), shuffled)


def policy(name: str, space: SearchSpace, cells: Cells) -> Policy:
    """A row for a space that is searched on its recorded curves."""
    return Policy(name, _rules(space.early_stopping, cells), shuffled, space)


def _rules(settings: Kind | None, cells: Cells) -> Callable[[int], StoppingRule]:
    kin = {cell: curves[0].kind for cell, curves in cells.items() if curves}
    epochs = length(cells)
    return lambda seed: make_rule(settings, epochs, seed, kin)


def length(cells: Cells) -> int:
    """Epochs of a full training."""
    return max(curve.epochs for curves in cells.values() for curve in curves)


def label(settings: Kind | None) -> str:
    """Kind of early stopping, and what differs from its defaults."""
    if settings is None:
        return "none"
    given = settings.model_dump(exclude_defaults=True, exclude={"kind"})
    return " ".join([settings.kind, *(f"{name}={value:g}" for name, value in given.items())])


Runs = Mapping[str, Sequence[Replayed]]
"""Name of a setting -> its replays, one per order."""


def replays(
    cells: Cells,
    asked: Sequence[Kind | None],
    workers: int,
    orders: int,
    warm: Reordered | None = None,
    policies: Mapping[str, SearchSpace] = MappingProxyType({}),
) -> Runs:
    """Replay what was asked, and the searches that it is compared with.

    Args:
        cells: Trials that were trained to the end.
        asked: Early stopping, the one that matters first; none for the defaults of each kind of our own.
        workers: How many trials run at once.
        orders: Random orders of arrival, at least one.
        warm: Where given, every setting that depends on the order is replayed with a warm start as well.
        policies: Spaces that are searched on the curves, by the names of their rows, which come first.
    """
    searched = [policy(name, space, cells) for name, space in policies.items()]
    kinds = list(asked) or ([] if policies else [Stratified(), Promotion(), Median()])
    wanted = [*searched, *(setting(each, cells) for each in kinds)]
    found = {each.name: _runs(each, cells, workers, orders) for each in wanted}
    others = list(comparisons(length(cells), median([_share(run, cells) for run in found[wanted[0].name]])))
    if warm:
        again = (*wanted[len(searched) :], others[1])
        others += [replace(each, name=f"{each.name}, warm start", order=warm(each.order)) for each in again]
    return found | {each.name: _runs(each, cells, workers, orders) for each in others}


def table(runs: Runs, cells: Cells) -> pa.Table:
    """What replays have cost and missed, a row for each setting; a table with `SCHEMA`."""
    return pa.Table.from_pylist([_summary(name, own, cells) for name, own in runs.items()], SCHEMA)


def bias_table(runs: Runs, cells: Cells) -> pa.Table:
    """What each setting costs dense more than sparse cells; a table with `hsl.simulation.bias.SCHEMA`."""
    rows = [row for name, own in runs.items() for row in bias_rows(name, own, cells)]
    return pa.Table.from_pylist(rows, BIAS_SCHEMA)


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


def _runs(asked: Setting, cells: Cells, workers: int, orders: int) -> list[Replayed]:
    return [replayed(asked, cells, workers, seed) for seed in range(orders)]


def _share(run: Replayed, cells: Cells) -> float:
    """Epochs trained, as a fraction of all."""
    return run.epochs / sum(curve.epochs for curves in cells.values() for curve in curves)


def _summary(name: str, runs: Sequence[Replayed], cells: Cells) -> dict[str, Any]:
    best = best_finals(cells)
    return {
        "setting": name,
        **_quartiles("epochs", [_share(run, cells) for run in runs]),
        **_quartiles("regret", [regret(run, best) for run in runs]),
        **_true_regret(runs, cells),
        "found": median([float(np.mean([v >= best[c] for c, v in run.best.items()])) for run in runs]),
        "cells_lost": median([len(best) - len(run.best) for run in runs]),
        "finished": median([run.finished for run in runs]),
        "seconds": median([run.seconds for run in runs]),
    }


def replayed(asked: Setting, cells: Cells, workers: int, seed: int, spot: Spot | None = None) -> Replayed:
    """One replay of a setting, with the order of arrival and the interruptions of a seed."""
    return Replay(asked.make(seed), asked.proposals(cells, seed), workers, spot, seed).run()


def best_finals(cells: Cells) -> dict[str, float]:
    """The best final objective of each cell."""
    return {cell: max(curve.final for curve in curves) for cell, curves in cells.items()}


def regret(run: Replayed, best: Mapping[str, float]) -> float:
    """Mean difference to the best over the cells with a finished trial."""
    return float(np.mean([best[cell] - value for cell, value in run.best.items()]))


def _true_regret(runs: Sequence[Replayed], cells: Cells) -> dict[str, float | None]:
    lost = [[loss.true for loss in losses(run, cells)] for run in runs]
    if not all(own and all(map(math.isfinite, own)) for own in lost):
        return {}
    found = mean_interval([fmean(own) for own in lost])
    return {"true_regret": found.mean, "true_regret_low": found.low, "true_regret_high": found.high}


def median(values: Sequence[float]) -> float:
    """The median as a plain number."""
    return float(np.median(values))


def _quartiles(name: str, values: Sequence[float]) -> dict[str, float]:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
    return {name: middle, f"{name}_low": low, f"{name}_high": high}
