"""What the engine asks of a driver."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import Tensor

from hsl.sparsity.network import Start


class Driver:
    """A driver that never does anything; the others override what they need.

    Attributes:
        pending: Whether the first mask still waits for the gradients of the first step.
        reached_at: Steps after which the target sparsity is reached.
        restarting: Weights, by layer, whose values and optimizer state the engine zeroes before the step: they were
            dropped and grown at once.
        restarts_optimizer: Whether the coming step is to find the optimizer without any state.
    """

    pending: bool = False
    reached_at: int = 0
    restarting: Mapping[str, Tensor] = MappingProxyType({})
    restarts_optimizer: bool = False

    def start(self) -> None:
        """Make the first masks, before any step."""

    def wants_gradients(self, step: int) -> bool:
        """Whether the gradients of pruned weights are read before step `step` (counted from 0)."""
        return False

    def before_step(self, step: int) -> bool:
        """Change masks before step `step`; True if that replaces the step for the prunable weights."""
        return False

    def after_step(self, step: int) -> None:
        """Change masks when `step` steps are done."""

    def trained_masks(self) -> Mapping[str, Tensor] | None:
        """Which weights have optimizer state, by layer; None if the active ones, the default."""
        return None

    def state_dict(self) -> dict[str, Any]:
        """What the driver must remember besides the masks: JSON-able values, and tensors nested by strings."""
        return {"pending": self.pending}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.pending = bool(state["pending"])


def no_driver(_: object, start: Start) -> Driver:
    """The driver of dense training."""
    return Driver()
