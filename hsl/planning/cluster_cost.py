"""A plan on each type of node of a cluster: nodes, time, money. Pure; no torch, no ray."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hsl.cluster.fleet import Fleet, fitting
from hsl.cluster.launcher import NodeType
from hsl.cluster.prices import DEFAULT
from hsl.planning.cost import Cost, known_sum
from hsl.space.schema import Resources


@dataclass(frozen=True)
class Offer:
    """A plan on nodes of one type alone, with the speed taken to be the same on all types.

    Attributes:
        node_type: Name of the type in the cluster file.
        machine: The provider's name of it.
        trials_per_node: Trials that fit on one node at once.
        nodes: Nodes that are needed and permitted.
        trials: Trials that run at once.
        seconds: Lower bound of the wall time with all these nodes from the start; None if unknown.
        cost: Money for that at `price`; None if either is unknown.
        on_demand_cost: Money for that on demand.
        price: US dollars per node and hour: the spot price, if it is a spot machine.
        is_spot: Whether the provider may preempt it.
        priced_on: Date of the prices.
    """

    node_type: str
    machine: str
    trials_per_node: int
    nodes: int
    trials: int
    seconds: float | None
    cost: float | None
    on_demand_cost: float | None
    price: float | None
    is_spot: bool
    priced_on: str | None


@dataclass(frozen=True)
class Offers:
    """A plan on a cluster.

    Attributes:
        source: The cluster file.
        most: Largest number of nodes of all types together.
        trials: Trials that run at once on the largest cluster.
        seconds: Lower bound of the wall time on it.
        of_types: The plan on each type of node.
    """

    source: str
    most: int
    trials: int
    seconds: float | None
    of_types: tuple[Offer, ...]

    @property
    def cost(self) -> float | None:
        """Upper bound of the money: that of the dearest type; None if any is unknown."""
        known = [offer.cost for offer in self.of_types if offer.cost is not None]
        return max(known) if known and len(known) == len(self.of_types) else None


def offers_of(
    fleet: Fleet, resources: Resources, costs: Sequence[Cost], prices: Mapping[str, float] | None = None
) -> Offers:
    """A plan on a cluster.

    Args:
        fleet: The cluster.
        resources: Resources of a trial, and how many trials may run at once.
        costs: Cost of each stage, on machines such as these.
        prices: Prices of the space, by type of node or ``default``, which replace those of the cluster, if any.

    Raises:
        HslError: If no node of the cluster can ever run a trial.
    """
    fits = fleet.capacity(resources.cpu, resources.gpu)
    widest = max((cost.trials for cost in costs if cost.stage != "parents"), default=1)
    trials = min(resources.concurrent or fits, fits, widest)
    seconds = known_sum(cost.core_seconds for cost in costs)
    workers = fleet.workers
    if prices:
        default = prices.get(DEFAULT)
        workers = tuple(replace(n, price=prices.get(n.name, default), priced_on=None) for n in workers)
    each = (_offer(node, fleet.most, resources, trials, seconds) for node in workers)
    return Offers(fleet.source, fleet.most, trials, _shared(seconds, trials), tuple(filter(None, each)))


def _offer(
    node: NodeType, most: int, resources: Resources, trials: int, seconds: float | None
) -> Offer | None:
    size = fitting(node.cpus, node.gpus, resources.cpu, resources.gpu)
    nodes = min(node.most, most, math.ceil(trials / size)) if size else 0
    if not nodes:
        return None
    at_once = min(trials, nodes * size)
    hours = None if seconds is None else seconds / size / 3600
    return Offer(
        node_type=node.name,
        machine=node.machine,
        trials_per_node=size,
        nodes=nodes,
        trials=at_once,
        seconds=_shared(seconds, at_once),
        cost=_product(hours, node.price),
        on_demand_cost=_product(hours, node.on_demand_price),
        price=node.price,
        is_spot=node.is_spot,
        priced_on=node.priced_on,
    )


def _shared(seconds: float | None, trials: int) -> float | None:
    return None if seconds is None else seconds / trials


def _product(hours: float | None, price: float | None) -> float | None:
    return None if hours is None or price is None else hours * price
