"""Evaluation of the networks that a trial keeps: the one at its end, and the best."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from hsl.hardness.attacks.robustness import fingerprint
from hsl.training.measuring.measures import Bench, Item, Row


@dataclass(frozen=True)
class Kept:
    """State of the model that a training has kept, as ``final`` or ``best``, after an epoch."""

    checkpoint: str
    epoch: int
    state: Mapping[str, Tensor]


def kept_networks(state: Mapping[str, Any], checkpoints: Iterable[str]) -> list[Kept]:
    """The networks in the state of a trainer: those of `checkpoints` that it has."""
    best = state.get("best") or {}
    there = {"final": Kept("final", state["epoch"], state["model"])}
    if best.get("network") is not None:
        there["best"] = Kept("best", best["epoch"], best["network"])
    return [there[name] for name in checkpoints if name in there]


def evaluate_kept(
    kept: Iterable[Kept],
    wanted: Iterable[Item],
    bench_of: Callable[[Mapping[str, Tensor]], Bench],
    is_done: Callable[[str, Item], bool] = lambda checkpoint, item: False,
    states: Path | None = None,
) -> Iterator[list[Row]]:
    """Evaluate networks, one item after the other; a best network that is the final one is evaluated once.

    Args:
        kept: The networks.
        wanted: The items.
        bench_of: Makes a network from its state.
        is_done: Whether an item of ``final`` or ``best`` is there already.
        states: Folder for the progress of interrupted robustness measures; emptied network by network, when the
            rows are taken.

    Yields:
        Rows of one item of one network, with checkpoint and epoch; no rows while a costly item is in progress.
    """
    wanted = list(wanted)
    found: dict[tuple[int, int], list[Row]] = {}
    for network in kept:
        bench: Bench | None = None
        # One that was trained again on a GPU need not be the same.
        own = states and states / fingerprint(list(network.state), network.state.values())
        for number, item in enumerate(wanted):
            if is_done(network.checkpoint, item):
                continue
            at, done = (network.epoch, number), own and own / item.key
            if at not in found:
                bench = bench or bench_of(network.state)
                found[at] = yield from bench.measuring(item, done)
            yield [{"checkpoint": network.checkpoint, "epoch": network.epoch, **row} for row in found[at]]
        if own:
            shutil.rmtree(own, ignore_errors=True)
