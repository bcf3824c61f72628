"""What each type of node of a cluster would make of a plan: nodes, time, money. Pure; no torch, no ray."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from hsl.cluster.fleet import Fleet, fitting
from hsl.cluster.launcher import NodeType
from hsl.cluster.prices import DEFAULT
from hsl.planning.cost import Cost
from hsl.space.schema import Resources


@dataclass(frozen=True)
class Offer:
    """A plan on nodes of one type alone. Speed is taken to be the same on all types.

    Attributes:
        node_type: Its name in the cluster file.
        machine: The provider's name of it.
        trials_per_node: Trials that fit on one at once.
        nodes: How many are needed, of those that there may be.
        trials: Trials that run at once.
        seconds: Wall time with so many nodes from the start, at least; None where the plan's is not known.
        cost: Money for it at `price`; None where either is not known.
        on_demand_cost: Money for it on demand.
        price: US dollars per node and hour: spot, where it is a spot machine.
        is_spot: Whether the provider may take it away.
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
        most: Nodes that there may be of all types together.
        trials: Trials that run at once when it has grown.
        seconds: Wall time then, at least.
        of_types: What each type of node offers.
    """

    source: str
    most: int
    trials: int
    seconds: float | None
    of_types: tuple[Offer, ...]

    @property
    def cost(self) -> float | None:
        """Money at most: that of the dearest type."""
        costs = [offer.cost for offer in self.of_types]
        known = [cost for cost in costs if cost is not None]
        return max(known) if known and len(known) == len(costs) else None


def offers_of(
    fleet: Fleet, resources: Resources, costs: Sequence[Cost], prices: Mapping[str, float] | None = None
) -> Offers:
    """What a cluster would make of a plan.

    Args:
        fleet: The cluster.
        resources: What a trial is given, and how many may run at once.
        costs: Cost of each stage, for machines as these.
        prices: Of the space, by type of node or ``default``; where there are any, they take the place of the
            cluster's.

    Raises:
        HslError: If no node of the cluster can ever run a trial.
    """
    fits = fleet.capacity(resources.cpu, resources.gpu)
    widest = max((cost.trials for cost in costs if cost.stage != "parents"), default=1)
    trials = min(resources.concurrent or fits, fits, widest)
    seconds = _sum([cost.core_seconds for cost in costs])
    workers = fleet.workers
    if prices:
        usual = prices.get(DEFAULT)
        workers = tuple(replace(n, price=prices.get(n.name, usual), priced_on=None) for n in workers)
    each = [_offer(node, fleet.most, resources, trials, seconds) for node in workers]
    usable = tuple(offer for offer in each if offer is not None)
    return Offers(fleet.source, fleet.most, trials, _shared(seconds, trials), usable)


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


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _shared(seconds: float | None, trials: int) -> float | None:
    return None if seconds is None else seconds / trials


def _product(hours: float | None, price: float | None) -> float | None:
    return None if hours is None or price is None else hours * price
