"""The epoch with the best validation metric, and the network as it was then."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor


class BestEpoch:
    """Remembers the evaluated epoch with the highest objective; of equal ones the earliest.

    Robust accuracy, for one, peaks long before the end of a training (Rice et al. 2020, arXiv 2002.11569).

    Args:
        objective: Name of the validation metric that is maximised.
        keeps_network: Whether the weights, masks and statistics of that epoch are kept as well.

    Attributes:
        epoch: The epoch, counted from 1; None before the first.
        network: State of the model after it; None where it is not kept.
    """

    def __init__(self, objective: str, keeps_network: bool) -> None:
        self.epoch: int | None = None
        self.network: dict[str, Tensor] | None = None
        self._value = -math.inf
        self._objective = objective
        self._keeps_network = keeps_network

    def see(self, row: Mapping[str, Any], network: Mapping[str, Tensor]) -> None:
        """Compare an epoch, unless it was not evaluated, with the best so far; `network` is the state after it."""
        value = row.get(self._objective)
        if value is None or not value > self._value:
            return
        self.epoch, self._value = row["epoch"], value
        if self._keeps_network:
            self.network = {name: tensor.detach().clone() for name, tensor in network.items()}

    def state_dict(self) -> dict[str, Any]:
        """State for a checkpoint; empty before the first evaluated epoch."""
        if self.epoch is None:
            return {}
        return {"epoch": self.epoch, "value": self._value, "network": self.network}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        if state:
            self.epoch, self._value, self.network = state["epoch"], state["value"], state["network"]
