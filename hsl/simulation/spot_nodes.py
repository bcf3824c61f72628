"""Nodes of a replay: which are there, which are lost, and how long they are in use. Pure.

The life of a spot machine is exponentially distributed, so that preemptions are a Poisson process of each node that
does not depend on its load. A node without trials is not there: it has left, as on a cluster that shrinks, and comes
back at once when it is needed; it can neither be lost nor cost anything.
"""

import math
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

import numpy as np

T = TypeVar("T")

HOUR = 3600.0


@dataclass(frozen=True)
class Spot:
    """How nodes are preempted and replaced.

    Attributes:
        rate: Preemptions per node and hour.
        checkpoint_interval: Epochs between checkpoints; 0 loses no work.
        replacement: Seconds until another node is there.
        trials_per_node: Trials that run on one node at once.
    """

    rate: float = 0.0
    checkpoint_interval: float = 10.0
    replacement: float = 300.0
    trials_per_node: int = 1


class Nodes(Generic[T]):
    """Places on nodes that come and go, for as many trials as `workers` when all nodes are there.

    Attributes:
        count: Nodes, when all are there.
        seconds: Time that nodes held trials, summed over nodes.
        losses: Nodes that were preempted while they held a trial.
    """

    def __init__(self, workers: int, spot: Spot, seed: int = 0) -> None:
        self.count = math.ceil(workers / spot.trials_per_node)
        self.seconds = 0.0
        self.losses = 0
        self._workers = workers
        self._size = spot.trials_per_node
        self._mean_life = HOUR / spot.rate if spot.rate else math.inf
        self._rng = np.random.default_rng([seed, 1])
        self._free = list(range(workers))  # a heap
        self._held: dict[int, dict[int, T]] = {}
        self._since: dict[int, float] = {}

    @property
    def is_full(self) -> bool:
        """Whether every place is taken, or lost."""
        return not self._free

    def life(self) -> float:
        """Seconds until a node is lost; infinite where none is."""
        return float(self._rng.exponential(self._mean_life)) if self._mean_life < math.inf else math.inf

    def take(self, trial: T, now: float) -> int:
        """Put a trial on the first node that has a place; return the place."""
        place = heappop(self._free)
        node = place // self._size
        if node not in self._held:
            self._since[node] = now
        self._held.setdefault(node, {})[place] = trial
        return place

    def give(self, place: int, now: float) -> None:
        """Free the place of a trial."""
        node = place // self._size
        self._held[node].pop(place)
        heappush(self._free, place)
        if not self._held[node]:
            self._leave(node, now)

    def lose(self, node: int, now: float) -> list[T]:
        """Take a node away, unless it holds no trial; return its trials, which have no place now."""
        trials = list(self._held.get(node, {}).values())
        if trials:
            self.losses += 1
            self._leave(node, now)
            self._free = [place for place in self._free if place // self._size != node]
            heapify(self._free)
        return trials

    def replace(self, node: int) -> None:
        """Add a node in place of one that was lost."""
        for place in range(node * self._size, min((node + 1) * self._size, self._workers)):
            heappush(self._free, place)

    def _leave(self, node: int, now: float) -> None:
        self.seconds += now - self._since.pop(node)
        del self._held[node]
