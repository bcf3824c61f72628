"""A table of replays on nodes that are taken away: what is lost, what it costs.

Nothing is known here of how often a provider takes machines away; the rate is an argument. For orientation, per node
and hour: AWS publishes, per machine and region, which share was interrupted in the last month, in steps from below 5
to above 20 % (Spot Instance Advisor), so 0.01 to 0.03 % an hour on average; Google ends a preemptible machine after
24 hours at the latest (Kadupitiya et al. 2020, arXiv 1911.05160), so at least 4 % an hour, though not at a constant
rate as is assumed here. Above that are bad days. Losses of several machines at once are not simulated.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from hsl.errors import HslError
from hsl.simulation.comparison import Cells, best_finals, median, regret, replayed, setting
from hsl.simulation.curves import Curve, by_cell
from hsl.simulation.replayed import Replayed
from hsl.simulation.spot_nodes import HOUR, Spot
from hsl.stopping.settings import Kind, Stratified

SCHEMA = pa.schema(
    [
        ("setting", pa.string()),
        ("spot_rate", pa.float64()),
        ("finished", pa.int64()),
        ("epochs", pa.int64()),
        ("losses", pa.int64()),
        ("repeated_epochs", pa.float64()),
        ("repeated", pa.float64()),
        ("regret", pa.float64()),
        ("cells_lost", pa.int64()),
        ("hours", pa.float64()),
        ("node_hours", pa.float64()),
        ("cost", pa.float64()),
        ("on_demand", pa.float64()),
    ]
)
"""Medians over the orders. ``spot_rate``: preemptions per node and hour. ``finished``: trials that were trained to the
end. ``epochs``: trained, each counted once. ``losses``: nodes that were preempted with trials on them.
``repeated_epochs``: trained again, ``repeated``: the same as a share of ``epochs``. ``regret``, ``cells_lost``: see
`simulation.comparison`. ``hours``: end of the sweep. ``node_hours``: during which nodes held trials. ``cost``: of these
at the spot price. ``on_demand``: of those of the same sweep without preemptions, at the price on demand."""


MOST_LOSSES = 5.0
"""Mean preemptions of a node between two checkpoints beyond which next to no trial would end (e^-5 get through)."""


@dataclass(frozen=True)
class Prices:
    """What a node costs per hour, as a spot machine and on demand; None where it is not known."""

    spot: float | None = None
    on_demand: float | None = None


def spot_table(
    curves: Sequence[Curve],
    asked: Sequence[Kind | None],
    workers: int,
    orders: int,
    rates: Sequence[float],
    spot: Spot,
    prices: Prices,
) -> pa.Table:
    """Replay each kind of early stopping at each rate of preemptions, and without any; a table with `SCHEMA`.

    Args:
        curves: Trials that were trained to the end.
        asked: Early stopping; by default the default of a space, and none.
        workers: How many trials run at once.
        orders: Random orders of arrival, each with preemptions of its own.
        rates: Preemptions per node and hour.
        spot: All other properties of nodes.
        prices: Of a node.

    Raises:
        HslError: If nodes are lost so often that the replay would not end.
    """
    _check_ends(curves, rates, spot)
    cells, rows = by_cell(curves), list[dict[str, Any]]()
    for wanted in [setting(each, cells) for each in list(asked) or [Stratified(), None]]:
        runs = {
            rate: [replayed(wanted, cells, workers, n, replace(spot, rate=rate)) for n in range(orders)]
            for rate in sorted({0.0, *rates})
        }
        undisturbed = median([run.node_seconds for run in runs[0.0]]) / HOUR
        on_demand = None if prices.on_demand is None else prices.on_demand * undisturbed
        rows += [_row(wanted.name, rate, runs[rate], cells, prices.spot, on_demand) for rate in runs]
    return pa.Table.from_pylist(rows, SCHEMA)


def _check_ends(curves: Sequence[Curve], rates: Sequence[float], spot: Spot) -> None:
    """Check the longest segment that a trial has to survive: between two checkpoints, or its whole training."""
    longest = max(curve.seconds[-1] * min(1, spot.checkpoint_interval / curve.epochs) for curve in curves)
    losses = max(rates, default=0) * longest / HOUR
    if not losses <= MOST_LOSSES:
        raise HslError(
            f"at {max(rates):g} losses per node and hour a node is lost {losses:.1f} times between two checkpoints "
            f"({longest:.0f} s), so that next to no trial would end; lower --spot-rate, --checkpoint-interval or "
            f"--epoch-seconds to at most {MOST_LOSSES:g} times"
        )


def _row(
    name: str,
    rate: float,
    runs: Sequence[Replayed],
    cells: Cells,
    price: float | None,
    on_demand: float | None,
) -> dict[str, Any]:
    best = best_finals(cells)
    hours = median([run.node_seconds for run in runs]) / HOUR
    return {
        "setting": name,
        "spot_rate": rate,
        "finished": round(median([run.finished for run in runs])),
        "epochs": round(median([run.epochs for run in runs])),
        "losses": round(median([run.losses for run in runs])),
        "repeated_epochs": median([run.repeated for run in runs]),
        "repeated": median([run.repeated / run.epochs for run in runs]),
        "regret": median([regret(run, best) for run in runs]),
        "cells_lost": round(median([len(best) - len(run.best) for run in runs])),
        "hours": median([run.seconds for run in runs]) / HOUR,
        "node_hours": hours,
        "cost": None if price is None else price * hours,
        "on_demand": on_demand,
    }
