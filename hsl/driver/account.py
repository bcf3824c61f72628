"""What a sweep has spent, over all of its runs, and the budgets that are spent. Pure; no torch, no ray."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from hsl.wording import amount


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
        limits: Budgets by name; those that are missing are not limited.
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
        """Charge a time during which some GPUs were held, at the price of all nodes together per hour."""
        self.spent.wall_time += seconds
        self.spent.gpu_hours += seconds * gpus / 3600
        self.spent.cost += seconds * price / 3600

    def reached(self, trial_id: str) -> int:
        """The last epoch of a trial that was counted."""
        return self._seen.get(trial_id, 0)

    def count(self, trial_id: str, epoch: int) -> None:
        """Count the new epochs of a trial that has trained up to `epoch`."""
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
