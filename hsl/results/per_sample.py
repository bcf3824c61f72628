"""Intervals over seeds and test samples, where a store keeps which samples its networks classify correctly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow.compute as pc

from hsl.results.crossed import Table, crossed_interval
from hsl.results.stats import GAIN, SHARE
from hsl.store.packed import unpacked
from hsl.store.store import Store

Runs = Mapping[int, Sequence[Sequence[str]]]
"""Seed -> names of trials in groups: a seed counts as the mean over its groups, a group as the mean over its trials."""

_KEPT = {"checkpoint": "final", "split": "test", "measure": "sample"}
"""The rows of evaluations whose accuracies are those that answers report."""


class OverSamples(NamedTuple):
    """An interval over seeds and test samples.

    Attributes:
        low: Lower end; None, like the others, where there is no interval.
        samples: Number of test samples.
    """

    low: float | None = None
    high: float | None = None
    samples: int | None = None


class KeptSamples:
    """The test samples that trials classify correctly.

    Args:
        packed: Name of the trial -> samples as `hsl.store.packed` packs them.
    """

    def __init__(self, packed: Mapping[str, str]) -> None:
        self._packed = packed

    @classmethod
    def of(cls, store: Store, metric: str) -> KeptSamples:
        """What a store keeps of "matched" or "clean" accuracies; nothing of others, which are no means over samples."""
        rows = store.read("evaluations", [*_KEPT, "detail", "trial_id", "correct"])
        wanted = pc.is_valid(rows["correct"])
        for name, value in {**_KEPT, "detail": metric}.items():
            wanted = pc.and_(wanted, pc.equal(rows[name], value))
        found = rows.filter(wanted)
        return cls(dict(zip(found["trial_id"].to_pylist(), found["correct"].to_pylist(), strict=True)))

    def mean(self, runs: Runs, level: float) -> OverSamples:
        """The interval of the mean accuracy of trials at a level of confidence."""
        tables = self._tables(runs)
        return _interval(tables, level, SHARE) if tables else OverSamples()

    def difference(self, a: Runs, b: Runs, level: float) -> OverSamples:
        """That of the mean of `a` minus the mean of `b`, paired by sample, and by seed if two are shared."""
        shared = sorted(a.keys() & b.keys())
        is_paired = len(shared) >= 2
        if is_paired:
            a, b = ({seed: side[seed] for seed in shared} for side in (a, b))
        tables = self._tables(a, b)
        if not tables:
            return OverSamples()
        first, second = tables
        return _interval([first - second] if is_paired else [first, -second], level, GAIN)

    def _tables(self, *sides: Runs) -> list[Table]:
        """Float64 [seeds, samples] of each side; none unless all trials have kept them, of the same samples."""
        names = {name for runs in sides for groups in runs.values() for group in groups for name in group}
        if not names or not names <= self._packed.keys():
            return []
        found = {name: unpacked(self._packed[name]) for name in names}
        if len({ids.tobytes() for ids, _ in found.values()}) > 1:
            return []
        correct = {name: right.astype(np.float64) for name, (_, right) in found.items()}
        return [np.stack([_mean(groups, correct) for groups in runs.values()]) for runs in sides]


def _mean(groups: Sequence[Sequence[str]], correct: Mapping[str, Table]) -> Table:
    means: Table = np.mean([np.mean([correct[name] for name in group], axis=0) for group in groups], axis=0)
    return means


def _interval(parts: Sequence[Table], level: float, within: tuple[float, float]) -> OverSamples:
    found = crossed_interval(parts, level, within)
    return OverSamples(*found, parts[0].shape[1]) if found else OverSamples()
