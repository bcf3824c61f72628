"""What the driver costs, beside others, in one run: ``python tests/benchmarks/driver.py --trials 200 2000``.

Trials do nothing, so all time is the driver's: Optuna studies, early stopping, store, progress and Ray Tune. Start-up
(the time until the first trial has ended) is printed apart. Then trials that only sleep show how busy the workers are.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from typing import Any

from driver_runs import (
    EDGE,
    PER_CELL,
    WORKERS,
    Run,
    space_of,
    time_bare,
    time_hsl,
    time_optuna,
    time_plain,
)
from rich.console import Console
from rich.table import Table

from hsl.space.schema import SearchSpace


def overhead(trials: list[int], per_cell: int, plain_trials: int, folder: Path) -> Table:
    """Trials that do nothing."""
    table = Table(title=f"trials that do nothing, {per_cell} in a cell", title_justify="left")
    for name in (
        "driver",
        "trials",
        "start-up s",
        "ms per trial",
        f"last {EDGE} / first {EDGE}",
        "the same by processor time",
        "the machine itself",
        "KiB per trial",
    ):
        table.add_column(name, justify="left" if name == "driver" else "right")
    for count in trials:
        store = folder / str(count)
        table.add_row("hsl", str(count), *_figures(apart(time_hsl, space_of(count, per_cell), store)))
        again = apart(time_hsl, space_of(count, per_cell, extra=1), store)
        table.add_row("hsl, continued with more", str(len(again.ends)), f"{again.start_up:.1f}")
        drawn = space_of(count, per_cell, sampler="random")
        table.add_row(
            "hsl, random", str(count), *_figures(apart(time_hsl, drawn, folder / f"{count}-random"))
        )
        table.add_row("Optuna and joblib", str(count), *_figures(time_optuna(count, per_cell)))
    if plain_trials:
        table.add_row("plain Tuner", str(plain_trials), *_figures(apart(time_plain, plain_trials)))
    return table


def in_turn(trials: int, per_cell: int, rounds: int, folder: Path) -> Table:
    """The first and the last `EDGE` trials of a sweep, each in a process of its own, in turn.

    Between the first and the last of thousands the machine itself may change more than what is measured.
    """
    whole, before = space_of(trials, per_cell), folder / "before"
    apart(time_hsl, _stopped(whole, trials - EDGE), before)
    first, last = [], []
    for number in range(rounds):
        first.append(apart(time_hsl, _stopped(whole, EDGE), folder / f"first-{number}"))
        last.append(apart(time_hsl, whole, Path(shutil.copytree(before, folder / f"last-{number}"))))
    table = Table(title=f"{EDGE} of {trials} trials in turn, {rounds} times", title_justify="left")
    for name in ("", "least", "lower quartile", "median", "upper quartile", "most"):
        table.add_column(name, justify="right" if name else "left")
    ratios = [late.per_trial / early.per_trial for early, late in zip(first, last, strict=True)]
    table.add_row("first, ms per trial", *_spread([1000 * run.per_trial for run in first]))
    table.add_row("last, ms per trial", *_spread([1000 * run.per_trial for run in last]))
    table.add_row("last / first", *_spread(ratios))
    return table


def _stopped(space: SearchSpace, trials: int) -> SearchSpace:
    """The same sweep, stopped after so many trials of one epoch."""
    return space.model_copy(update={"budget": space.budget.model_copy(update={"epochs": trials})})


def _spread(values: list[float]) -> tuple[str, ...]:
    return tuple(
        f"{value:.2f}" for value in (min(values), *quantiles(values, n=4, method="inclusive"), max(values))
    )


def _figures(run: Run) -> tuple[str, ...]:
    grown, memory = [run.growth(run.ends), run.growth(run.worked), run.drift], run.memory_per_trial
    return (
        f"{run.start_up:.1f}",
        f"{1000 * run.per_trial:.1f}",
        *("" if growth is None else f"{growth:.2f}" for growth in grown),
        "" if memory is None else f"{memory:.0f}",
    )


def apart(measure: Callable[..., Run], *arguments: Any) -> Run:
    """Measure in a process of its own, so that nothing is left of what was measured before."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def efficiency(seconds: float, trials: int, workers: int, plain: bool, folder: Path) -> Table:
    """Trials that sleep."""
    table = Table(title=f"{trials} trials of {seconds:g} s on {workers} workers", title_justify="left")
    for name in ("driver", "wall s", "of the limit", "efficiency"):
        table.add_column(name, justify="left" if name == "driver" else "right")
    space = space_of(trials, workers=workers)
    runs = {
        "bare processes": time_bare(trials, seconds, workers),
        "hsl": time_hsl(space, folder / f"sleep-{seconds:g}", seconds),
    }
    if plain:
        runs["plain Tuner"] = time_plain(trials, seconds, workers)
    limit = trials * seconds / workers
    for name, run in runs.items():
        wall = run.wall(seconds)
        table.add_row(name, f"{wall:.1f}", f"{wall / limit:.2f}", f"{limit / wall:.3f}")
    return table


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, nargs="*", default=[200, 2000], help="trials that do nothing")
    parser.add_argument("--per-cell", type=int, default=PER_CELL, help="trials of a cell")
    parser.add_argument(
        "--rounds",
        type=int,
        default=0,
        help=f"compare the first and the last {EDGE} of the most trials so often, in turn (at least 2)",
    )
    parser.add_argument(
        "--plain-trials", type=int, default=30, help="the same with a plain Tuner; 0 for none"
    )
    parser.add_argument(
        "--seconds", type=float, nargs="*", default=[1.0], help="lengths of trials that sleep"
    )
    parser.add_argument("--sleeping-trials", type=int, default=40)
    parser.add_argument("--workers", type=int, default=WORKERS, help="for trials that sleep")
    parser.add_argument(
        "--plain-sleeping", action="store_true", help="sleeping trials with a plain Tuner, too"
    )
    arguments = parser.parse_args()
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.trials or arguments.plain_trials:
            console.print(overhead(arguments.trials, arguments.per_cell, arguments.plain_trials, folder))
        if arguments.rounds:
            console.print(in_turn(max(arguments.trials), arguments.per_cell, arguments.rounds, folder))
        for seconds in arguments.seconds:
            console.print(
                efficiency(
                    seconds, arguments.sleeping_trials, arguments.workers, arguments.plain_sleeping, folder
                )
            )


if __name__ == "__main__":
    main()
