"""Looks at the cluster while Ray Tune trains: which machines are there, which were lost, and who works where."""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from hsl.cluster.prices import price_of
from hsl.driver.interruptions import Losses
from hsl.driver.machines import Node
from hsl.driver.session import Session
from hsl.driver.tune.ray import Unsaved
from hsl.errors import HslError
from hsl.planning.job import Job
from hsl.space.schema import SearchSpace

LOG = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
"""How often the cluster is looked at: nodes come and go slowly."""

ANXIOUS_SECONDS = 1.0
"""The same while a worker has ended and it is not known why."""


class Surveyor(Unsaved, tune.Callback):
    """Keeps the session's view of the cluster, and tells lost machines from crashes. To be told before the recorder.

    Args:
        session: Where machines, prices and what is under way are kept.
        space: Says what a trial holds and what nodes cost; where it does not, their labels do.
        jobs: Job of every Tune trial that has not ended, by Tune's trial id.
        losses: Told which machines are gone.
        nodes: Lists the nodes, by default `ray.nodes`.
    """

    def __init__(
        self,
        session: Session,
        space: SearchSpace,
        jobs: Mapping[str, Job],
        losses: Losses,
        nodes: Callable[[], Iterable[Node]] | None = None,
    ) -> None:
        self._session = session
        self._space = space
        self._jobs = jobs
        self._losses = losses
        self._nodes = nodes or ray.nodes
        self._where: dict[str, str | None] = {}
        self._busy: set[str] = set()
        self._looked = -LOOK_SECONDS

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial was handed to a worker; on which node, its first report tells."""
        self._where[trial.trial_id] = None

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported."""
        node = self._where[trial.trial_id] = result.get("node")
        if node is not None:
            self._busy.add(node)

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has lost its worker, and waits for another one."""
        self._where.pop(trial.trial_id, None)

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has left its worker."""
        self._where.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial cannot be started."""
        self._where.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """The driver has handled one event."""
        due = ANXIOUS_SECONDS if self._losses.is_undecided else LOOK_SECONDS
        if time.monotonic() - self._looked >= due:
            self.look()

    def look(self) -> None:
        """See what is there."""
        self._looked = time.monotonic()
        machines = self._session.machines
        has_changed = machines.look(self._nodes(), self._busy)
        self._busy = {node for node in self._where.values() if node is not None}
        self._losses.look(machines.alive, machines.lost)
        if self._space.prices or self._session.price:
            set_price(self._session, self._space)
        self._session.show(self._snapshot(), has_changed)

    def _snapshot(self) -> dict[str, Any]:
        """Columns of the session's row."""
        trials = Counter(node for node in self._where.values() if node is not None)
        held = {node: count * self._space.resources.gpu for node, count in trials.items()}
        running = len(self._where)
        return {
            "nodes": self._session.machines.by_type(held),
            "running": running,
            "pending": max(0, len(self._jobs) - running),
        }

    def close(self) -> None:
        """Nothing runs any more."""
        self._where.clear()
        self._session.show(self._snapshot() | {"pending": 0}, is_news=False)


def home() -> str:
    """Id of the node that the driver runs on."""
    return str(ray.get_runtime_context().get_node_id())


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
