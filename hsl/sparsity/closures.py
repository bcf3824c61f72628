"""Losses that an optimizer evaluates inside its step."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

Closure = Callable[[], Any]


class SeenClosure:
    """The closure of one step: evaluated once before the step where needed, and seen at every further call.

    Masks are updated from gradients, so these must be there before the step begins. An optimizer that evaluates the
    loss at other weights than those it began with (SAM) gets a fresh evaluation each time.

    Args:
        closure: What the user gave to the step.
        weights: Those whose change makes an evaluation out of date.
        after: Called after each evaluation inside the step.
        failed: Called where an evaluation raises, which ends the step.
    """

    def __init__(
        self,
        closure: Closure,
        weights: Iterable[nn.Parameter],
        after: Callable[[], None],
        failed: Callable[[], None],
    ) -> None:
        self._closure, self._weights, self._after, self._failed = closure, list(weights), after, failed
        self._loss: Any = None
        self._valid_for: list[Any] | None = None

    def evaluate(self) -> None:
        """Evaluate before the step."""
        self._loss = self._evaluated()
        self.settle()

    def settle(self) -> None:
        """The evaluation is one of the weights and gradients of now, which have been prepared for the step."""
        self._valid_for = self._now()

    def __call__(self) -> Any:
        """Answer the first call from the evaluation before the step, if nothing has changed; else evaluate."""
        valid, self._valid_for = self._valid_for, None
        if valid is not None and valid == self._now():
            return self._loss
        loss = self._evaluated()
        self._after()
        return loss

    def _evaluated(self) -> Any:
        try:
            with torch.enable_grad():
                return self._closure()
        except BaseException:
            self._failed()
            raise

    def _now(self) -> list[Any]:
        return [
            (w.data_ptr(), w._version, None if w.grad is None else w.grad._version) for w in self._weights
        ]
