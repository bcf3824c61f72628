"""How a trial ended, as samplers and studies need it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from hsl.space.sections import COST_COLUMNS
from hsl.store.outcomes import Status


@dataclass(frozen=True)
class Outcome:
    """The end of a trial: epochs trained, last value of the objective, further objectives of the space by name."""

    status: Status
    epochs: int
    objective: float | None
    against: Mapping[str, float | None] = field(default_factory=dict)

    @classmethod
    def of(cls, status: Status, row: Mapping[str, Any]) -> Self:
        """The outcome that columns of the trials table describe, as far as a worker has reported them."""
        against = {name: row.get(column) for name, column in COST_COLUMNS.items()}
        return cls(status, row.get("epochs", 0), row.get("objective"), against)
