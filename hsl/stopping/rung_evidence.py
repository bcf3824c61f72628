"""Whether a rung predicts the end, by the trials that were trained to the end. Pure and exact.

Trials of one kind (regime, dense apart from sparse) that reached a rung after as many epochs are compared within their
cells. The evidence is the odds at which one would have bet, from each end to the next, that a trial's place among the
earlier ones at the rung says its place at the end. Where it says nothing, the place at the end is equally likely each,
for any values at the rung, and whichever trials these let go on: the odds then reach 1 / alpha at any time with
a probability of at most alpha (Ville 1939). It is a test of independence by sequential ranks, as of Henzi and Law
(arXiv 2305.13818), here with the likelihood of a Gaussian copula as the bet.
"""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from heapq import heappop, heappush
from statistics import NormalDist
from typing import NamedTuple

from hsl.results.correlation import within_groups

ODDS = 20.0
"""Evidence from which a rung acts: where it does not predict at all it gets there in at most one kind of 20."""

LEAST_ENDS = 4
"""Number of trials of a kind that must have been trained to the end."""

LEVEL = 0.8
"""One-sided level of the lower bound of the rank correlation."""

LOOKS = 20
"""The bound is looked at again when there are one in so many ends more: large sweeps need not look at each."""

_RHOS = (0.3, 0.5, 0.7, 0.9)
"""Correlations that are bet on, with equal stakes."""

_NORMAL = NormalDist()


class Rung(NamedTuple):
    """A rung as one kind of trials passes it.

    Attributes:
        kind: Of the trials: those whose rungs may predict alike.
        at_target: Epochs since the target sparsity was reached.
        epoch: Epochs of training.
    """

    kind: str
    at_target: int
    epoch: int


class Shown(NamedTuple):
    """What the trials that have ended show about a rung.

    Attributes:
        odds: Evidence that it predicts, the largest so far; 1 at first.
        low: Lower bound of the rank correlation with the end, at `LEVEL`; None where there are too few ends.
        ends: Number of trials that were trained to the end.
    """

    odds: float = 1.0
    low: float | None = None
    ends: int = 0

    def acts(self, least: float) -> bool:
        """Whether the rung may stop trials: the evidence is there, and the correlation is above `least`."""
        known = self.low is not None and self.ends >= LEAST_ENDS
        return known and self.odds >= ODDS and (self.low or 0.0) > least


NOTHING = Shown()


@dataclass
class _Ranks:
    """Pairs of a cell (value at the rung, at the end), and both sides sorted, the end with what breaks its ties."""

    pairs: list[tuple[float, float]] = field(default_factory=list)
    at_rung: list[float] = field(default_factory=list)
    at_end: list[tuple[float, int]] = field(default_factory=list)

    def enter(self, trial_id: str, value: float, final: float) -> tuple[float, int]:
        """Enter a trial; return its places among the earlier ones, at the rung (equal ones half) and at the end."""
        end = (final, int.from_bytes(hashlib.blake2b(trial_id.encode(), digest_size=8).digest()))
        place = (bisect_left(self.at_rung, value) + bisect_right(self.at_rung, value)) / 2
        among = bisect_left(self.at_end, end)
        insort(self.at_rung, value)
        insort(self.at_end, end)
        self.pairs.append((value, final))
        return place, among


class RungEvidence:
    """The evidence about one rung for one kind of trials, after each end in their order."""

    def __init__(self) -> None:
        self._due: list[tuple[float, str, str, float, float]] = []
        self._cells: dict[str, _Ranks] = {}
        self._stakes = [1.0 / len(_RHOS)] * len(_RHOS)
        self._orders: list[float] = []
        self._shown = [NOTHING]
        self._next_look = LEAST_ENDS

    def add(self, order: float, cell: str, trial_id: str, value: float, final: float) -> None:
        """Note a trial that was at the rung with a value, and has ended with another.

        Args:
            order: Its place in the order in which trials count.
            cell: Cell of the trial.
            trial_id: Identity of the trial, which breaks ties at the end.
            value: Objective at the rung.
            final: Objective at the end.
        """
        heappush(self._due, (order, cell, trial_id, value, final))

    def before(self, order: float) -> Shown:
        """What the trials show that come before some place in the order."""
        while self._due and self._due[0][0] < order:
            self._enter(*heappop(self._due))
        return self._shown[bisect_left(self._orders, order)]

    def _enter(self, order: float, cell: str, trial_id: str, value: float, final: float) -> None:
        ranks = self._cells.setdefault(cell, _Ranks())
        place, among = ranks.enter(trial_id, value, final)
        if (others := len(ranks.pairs) - 1) > 0:
            self._stakes = [
                stake * _payoff(rho, others, place, among)
                for rho, stake in zip(_RHOS, self._stakes, strict=True)
            ]
        last = self._shown[-1]
        ends = last.ends + 1
        self._orders.append(max(order, self._orders[-1]) if self._orders else order)
        self._shown.append(Shown(max(last.odds, sum(self._stakes)), self._low(ends), ends))

    def _low(self, ends: int) -> float | None:
        if ends < self._next_look:
            return self._shown[-1].low
        self._next_look = ends + max(1, ends // LOOKS)
        found = within_groups([ranks.pairs for ranks in self._cells.values()], 2 * LEVEL - 1)
        return None if found is None else found.low


def _payoff(rho: float, others: int, place: float, among: int) -> float:
    """What a bet of 1 pays: the probability of a place at the end, given that at the rung, over that of a random one.

    Args:
        rho: Correlation of the normal scores that is bet on.
        others: Number of earlier trials, so that there are `others` + 1 places at the end.
        place: Number of these that were behind at the rung, equal ones half.
        among: Number of these that were behind at the end.
    """
    center, spread = rho * _NORMAL.inv_cdf((place + 0.5) / (others + 1)), math.sqrt(1 - rho**2)
    low, high = (
        _NORMAL.cdf((_NORMAL.inv_cdf(k / (others + 1)) - center) / spread)
        if 0 < k <= others
        else float(k > 0)
        for k in (among, among + 1)
    )
    return (others + 1) * (high - low)


class Evidence:
    """The evidence about all rungs of a search, each for one kind of trials."""

    def __init__(self) -> None:
        self._rungs: dict[Rung, RungEvidence] = {}
        self._entries: dict[str, list[tuple[Rung, str, float]]] = {}
        self._ended: set[str] = set()

    def enter(self, rung: Rung, cell: str, trial_id: str, value: float) -> None:
        """Note the value of a trial of a cell at a rung."""
        self._entries.setdefault(trial_id, []).append((rung, cell, value))

    def end(self, trial_id: str, order: float, final: float) -> None:
        """Note that a trial was trained to the end, once; all rungs that it has passed learn from it."""
        if trial_id in self._ended:
            return
        self._ended.add(trial_id)
        for rung, cell, value in self._entries.pop(trial_id, ()):
            self._rungs.setdefault(rung, RungEvidence()).add(order, cell, trial_id, value, final)

    def before(self, rung: Rung, order: float) -> Shown:
        """What the trials before some place in the order show about a rung."""
        return self._rungs[rung].before(order) if rung in self._rungs else NOTHING
