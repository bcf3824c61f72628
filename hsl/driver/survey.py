"""Which nodes are there while trials run, which were lost, which trials are on them. Pure; no torch, no ray."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from typing import Any

from hsl.cluster.prices import price_of
from hsl.driver.interruptions import Interruptions
from hsl.driver.machines import Node
from hsl.driver.running import Running, Working
from hsl.driver.session import Session
from hsl.errors import HslError
from hsl.space.schema import SearchSpace

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often the cluster is looked at: nodes come and go slowly."""

ANXIOUS_SECONDS = 1.0
"""The same while a worker has ended and it is not known why."""


class Survey:
    """Keeps the session's view of the cluster.

    Args:
        session: Where nodes and prices are kept.
        space: Has the resources of a trial, and prices of nodes for which their labels have none.
        interruptions: Receives the nodes that are gone.
        nodes: Lists the nodes, as `ray.nodes` does.
    """

    def __init__(
        self,
        session: Session,
        space: SearchSpace,
        interruptions: Interruptions,
        nodes: Callable[[], Iterable[Node]],
    ) -> None:
        self._session = session
        self._space = space
        self.interruptions = interruptions
        self._nodes = nodes
        self._busy: set[str] = set()
        self._looked = -LOOK_SECONDS

    def charge(self, trials: Iterable[Running]) -> None:
        """Charge the session for the time since the last call."""
        working = sum(trial.working is Working.YES for trial in trials)
        self._session.tick(working * self._space.resources.gpu)

    def report(self, node: str | None) -> None:
        """Note that a trial has reported from a node."""
        if node is not None:
            self._busy.add(node)

    def look_if_due(self, trials: Collection[Running]) -> None:
        """Look at the cluster from time to time."""
        due = ANXIOUS_SECONDS if self.interruptions.is_undecided else LOOK_SECONDS
        if time.monotonic() - self._looked >= due:
            self.look(trials)

    def look(self, trials: Collection[Running]) -> None:
        """Look at the cluster now; `trials` are all that have not ended."""
        self._looked = time.monotonic()
        machines = self._session.machines
        has_changed = machines.look(self._nodes(), self._busy)
        self._busy = set(_occupied(trials))
        self.interruptions.look(machines.alive, machines.lost)
        if self._space.prices or self._session.price:
            set_price(self._session, self._space)
        self._session.show(self._snapshot(trials), has_changed)

    def _snapshot(self, trials: Collection[Running]) -> dict[str, Any]:
        """Columns of the session's row."""
        gpus = self._space.resources.gpu
        held = {node: count * gpus for node, count in _occupied(trials).items()}
        running = sum(trial.working is Working.YES for trial in trials)
        return {
            "nodes": self._session.machines.by_type(held),
            "running": running,
            "pending": len(trials) - running,
        }

    def close(self) -> None:
        """Note that nothing runs any more."""
        self._session.show(self._snapshot(()), is_news=False)


def _occupied(trials: Iterable[Running]) -> Counter[str]:
    """Number of trials on each node."""
    return Counter(trial.node for trial in trials if trial.working is Working.YES and trial.node is not None)


def set_price(session: Session, space: SearchSpace, strict: bool = False) -> None:
    """Look up what the nodes that are there cost.

    Raises:
        HslError: With `strict`, if a node has no price and the sweep has a budget of money.
    """
    session.price, unknown = price_of(session.machines.alive.values(), space.prices)
    if not unknown:
        return
    listed = ", ".join(sorted(unknown))
    message = f"prices: nothing is known of nodes of type {listed}; add their price per hour, or a default"
    if strict and space.budget.cost is not None:
        raise HslError(message)
    if space.prices or session.price:
        LOG.warning("%s; they count as free", message)
