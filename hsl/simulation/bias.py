"""What a search costs dense more than sparse cells of the same regime."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import fmean
from typing import Any, NamedTuple

import pyarrow as pa

from hsl.results.stats import mean_interval
from hsl.simulation.curves import Curve, winner
from hsl.simulation.replayed import Replayed

SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("setting", "regime")),
        *((f"{what}{end}", pa.float64()) for what in ("bias", "true_bias") for end in ("", "_low", "_high")),
    ]
)
"""``bias``: best objective of a cell less the best that was trained to the end, mean over dense cells of the regime
less mean over its sparse ones; above 0 the search favours sparse networks. ``true_bias``: the same of test accuracies
by fresh seeds; null where one is unknown. Means over the orders with 95 % intervals (Student's t)."""


class Loss(NamedTuple):
    """What a search misses in a cell, in units of the objective, and of test accuracies by fresh seeds."""

    regime: str
    is_dense: bool
    validation: float
    true: float


def losses(run: Replayed, cells: Mapping[str, Sequence[Curve]]) -> Iterator[Loss]:
    """What a replay misses in each cell in which a trial was trained to the end."""
    for cell, chosen in run.chosen.items():
        best = winner(cells[cell])
        yield Loss(chosen.regime, chosen.is_dense, best.final - chosen.final, best.worth - chosen.worth)


def bias_rows(
    name: str, runs: Iterable[Replayed], cells: Mapping[str, Sequence[Curve]]
) -> Iterator[dict[str, Any]]:
    """Rows of a table with `SCHEMA`: those of a setting, for each regime with dense and sparse cells."""
    each = [list(losses(run, cells)) for run in runs]
    for regime in sorted({loss.regime for own in each for loss in own}):
        of_regime = [[loss for loss in own if loss.regime == regime] for own in each]
        both = [own for own in of_regime if {loss.is_dense for loss in own} == {True, False}]
        if both:
            validation = [_difference(own, lambda loss: loss.validation) for own in both]
            true = [_difference(own, lambda loss: loss.true) for own in both]
            yield {
                "setting": name,
                "regime": regime,
                **_interval("bias", validation),
                **_interval("true_bias", true),
            }


def _difference(own: Sequence[Loss], value: Any) -> float:
    dense, sparse = ([value(loss) for loss in own if loss.is_dense is wanted] for wanted in (True, False))
    return fmean(dense) - fmean(sparse)


def _interval(name: str, values: Sequence[float]) -> dict[str, float | None]:
    if not all(map(math.isfinite, values)):
        return {}
    found = mean_interval(values)
    return {name: found.mean, f"{name}_low": found.low, f"{name}_high": found.high}
