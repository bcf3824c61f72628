"""What a plan needs of each budget, next to its limit. Pure; no torch, no ray."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from hsl.planning.cluster_cost import Offers
from hsl.planning.cost import Cost, known_sum
from hsl.planning.plan import Plan
from hsl.results.rates import Rates


@dataclass(frozen=True)
class Forecast:
    """One budget.

    Attributes:
        budget: Its name.
        needed: Upper bound for the whole plan, including parents; None if unknown.
        limit: Limit of the space; None if there is none.
        spent: Amount that the store's sessions have spent; 0 without a store.
    """

    budget: str
    needed: float | None
    limit: float | None
    spent: float

    @property
    def ends_early(self) -> bool:
        """Whether the limit may end the sweep before everything is trained."""
        return self.limit is not None and self.needed is not None and self.needed > self.limit


def forecast(
    plan: Plan, costs: Sequence[Cost], rates: Rates | None = None, offers: Offers | None = None
) -> list[Forecast]:
    """What the stages of `plan` need of each budget that applies.

    Args:
        plan: The plan.
        costs: Cost of each of its stages.
        rates: Rates of former sessions; without them the plan is taken to run on this machine, as one node.
        offers: The plan on the cluster that it will run on.
    """
    space = plan.space
    seconds = known_sum(cost.core_seconds for cost in costs)
    wall = offers.seconds if offers else _wall(plan, seconds, rates)
    needed: dict[str, float | None] = {"epochs": float(sum(cost.epochs for cost in costs)), "wall_time": wall}
    if space.resources.gpu:
        needed["gpu_hours"] = None if seconds is None else seconds * space.resources.gpu / 3600
    if offers:
        needed["cost"] = offers.cost
    elif space.prices:  # at the rate of former sessions, else one node of the dearest type
        hourly = (rates and rates.cost_per_hour) or max(space.prices.values())
        needed["cost"] = None if wall is None else wall * hourly / 3600
    limits, spent = space.budget.limits, rates.spent if rates else {}
    names = [*needed, *(name for name in limits if name not in needed)]
    return [Forecast(name, needed.get(name, 0.0), limits.get(name), spent.get(name, 0.0)) for name in names]


def _wall(plan: Plan, seconds: float | None, rates: Rates | None) -> float | None:
    """Wall time of the sweep: as parallel as former sessions, else as this machine's cores permit."""
    if seconds is None:
        return None
    if rates and rates.parallel:
        return seconds / rates.parallel
    if plan.space.resources.gpu:  # how many GPUs there will be is not known here
        return None
    return seconds / max(1, int((os.cpu_count() or 1) / plan.space.resources.cpu))
