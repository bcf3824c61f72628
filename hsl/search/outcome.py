"""How a trial ended, as samplers and studies need it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from hsl.reasons import LOST
from hsl.space.sections import COST_COLUMNS
from hsl.store.outcomes import Status


@dataclass(frozen=True)
class Outcome:
    """The end of a trial.

    Attributes:
        epochs: Epochs trained.
        objective: Its last value.
        against: Further objectives of the space by name.
        is_lost: Whether it failed because its workers were lost, which says nothing about its configuration.
    """

    status: Status
    epochs: int
    objective: float | None
    against: Mapping[str, float | None] = field(default_factory=dict)
    is_lost: bool = False

    @classmethod
    def of(cls, status: Status, row: Mapping[str, Any], reason: str | None) -> Self:
        """The outcome that columns of the trials table describe, as far as a worker has reported them."""
        against = {name: row.get(column) for name, column in COST_COLUMNS.items()}
        is_lost = status is Status.FAILED and (reason or "").startswith(LOST)
        return cls(status, row.get("epochs", 0), row.get("objective"), against, is_lost)

    @property
    def is_failure(self) -> bool:
        """Whether its configuration made it fail: by an error, or by an objective that is missing or NaN."""
        is_known = self.objective is not None and not math.isnan(self.objective)
        return not self.is_lost and (self.status is Status.FAILED or not is_known)
