"""What a sweep has spent, over all of its runs, beside what it may spend. Pure; no torch, no ray."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from hsl.cluster.launcher import hourly
from hsl.search.progress import duration

NODE_TYPE = "ray.io/node-group"
"""Label that Ray's autoscaler and KubeRay give a node: its type in the cluster file."""

ACCELERATOR = "accelerator_type:"
"""Prefix of the resource by which a node says what its accelerators are."""

DEFAULT = "default"
"""Price of a node that no other price is for."""


@dataclass
class Spent:
    """Amounts under the names of their budgets.

    Attributes:
        epochs: Epochs of all trainings, each counted once, parents included.
        wall_time: Seconds during which a driver trained.
        gpu_hours: Hours that trials and parents held GPUs.
        cost: Money for the nodes that were there meanwhile.
    """

    epochs: float = 0.0
    wall_time: float = 0.0
    gpu_hours: float = 0.0
    cost: float = 0.0


class Account:
    """Adds up what is spent.

    Args:
        limits: What may be spent, by name of the budget; what is not named is not limited.
        before: What earlier runs have spent.
        seen: Last recorded epoch of each trial, so that one that is trained again counts once.
    """

    def __init__(
        self, limits: Mapping[str, float], before: Spent | None = None, seen: Mapping[str, int] | None = None
    ) -> None:
        self.spent = Spent(**asdict(before or Spent()))
        self._limits = dict(limits)
        self._seen = dict(seen or {})

    def charge(self, seconds: float, gpus: float, price: float) -> None:
        """Some time has passed.

        Args:
            seconds: How much.
            gpus: GPUs that were held meanwhile.
            price: Of all nodes together, per hour.
        """
        self.spent.wall_time += seconds
        self.spent.gpu_hours += seconds * gpus / 3600
        self.spent.cost += seconds * price / 3600

    def reached(self, trial_id: str) -> int:
        """The last epoch of a trial that was counted."""
        return self._seen.get(trial_id, 0)

    def count(self, trial_id: str, epoch: int) -> None:
        """A trial has trained up to `epoch`."""
        self.spent.epochs += max(0, epoch - self.reached(trial_id))
        self._seen[trial_id] = max(epoch, self.reached(trial_id))

    def exceeded(self) -> list[str]:
        """Names of the budgets that are spent."""
        spent = asdict(self.spent)
        return [name for name, limit in self._limits.items() if spent[name] >= limit]

    def in_words(self) -> str:
        """The budgets that are spent, with their amounts."""
        spent = asdict(self.spent)
        return ", ".join(
            f"budget.{name} is spent ({amount(name, spent[name])} of {amount(name, self._limits[name])})"
            for name in self.exceeded()
        )


def amount(budget: str, value: float) -> str:
    """An amount as people write it."""
    if budget == "wall_time":
        return duration(value)
    return f"{value:.0f}" if budget == "epochs" else f"{value:.2f}"


def price_of(nodes: Iterable[Mapping[str, Any]], prices: Mapping[str, float]) -> tuple[float, set[str]]:
    """Price per hour of all living nodes.

    A node costs the price of its type; else that of its accelerator, times their number; else the default; else
    what its own labels say, which it has from the cluster file.

    Args:
        nodes: As `ray.nodes` lists them.
        prices: Name of a node type or accelerator, or ``default``, to a price per hour.

    Returns:
        The price, and the types of the nodes that have none.
    """
    total, unknown = 0.0, set()
    for node in nodes:
        if not node.get("Alive", True):
            continue
        resources = node.get("Resources", {})
        accelerator = next((k.removeprefix(ACCELERATOR) for k in resources if k.startswith(ACCELERATOR)), "")
        kind = node.get("Labels", {}).get(NODE_TYPE, "")
        if kind in prices:
            total += prices[kind]
        elif accelerator in prices:
            total += prices[accelerator] * resources.get("GPU", 1.0)
        elif DEFAULT in prices:
            total += prices[DEFAULT]
        elif (own := hourly(node.get("Labels", {}))) is not None:
            total += own
        else:
            unknown.add(kind or accelerator or DEFAULT)
    return total, unknown
