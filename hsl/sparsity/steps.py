"""What happens around every step of the optimizer: masks move, pruned weights and their past are zero."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.utils.hooks import RemovableHandle

from hsl.errors import MethodError
from hsl.sparsity.closures import SeenClosure
from hsl.sparsity.drivers.base import Driver
from hsl.sparsity.guard import Watch, check_intact, check_masks, check_trained, check_zeros, parameters_of
from hsl.sparsity.network import Network
from hsl.sparsity.zeroing import Factors, zero_gradients_, zero_weights_and_state_, zero_where_

LOG = logging.getLogger(__name__)

Arguments = tuple[Any, ...]
Keywords = dict[str, Any]


class Steps:
    """Hooked to an optimizer, it keeps a network sparse.

    Args:
        network: With masks, unless the driver never makes any.
        driver: What decides about masks; started.
        optimizer: Of the network's weights.
        is_masked: Whether there are masks.

    Attributes:
        count: Steps so far.
        expected_masks: Digest of the masks with which a checkpoint was written, until they were found to be there.
    """

    def __init__(self, network: Network, driver: Driver, optimizer: Optimizer, is_masked: bool) -> None:
        self.count = 0
        self.expected_masks: str | None = None
        self._network, self._driver, self._optimizer = network, driver, optimizer
        self._is_masked = is_masked
        self._weights = {name: layer.weight for name, layer in network.layers.items()}
        self._factors = Factors()
        self._held_back: list[Tensor | None] | None = None
        self._skips_step = False
        self._watch: Watch | None = None
        self._handles: list[RemovableHandle] = []
        self._hook()

    def check(self) -> None:
        """Refuse to speak of a network that is not as sparse as its masks.

        Raises:
            MethodError: If a pruned weight is not zero, a weight was replaced, or a checkpoint has other masks.
        """
        if self._watch is not None:
            check_intact(self._network.layers, self._weights)
            self._check_continued()
            check_zeros(self._network.layers)

    def _check_continued(self) -> None:
        """Once after a checkpoint was read: the masks are its masks."""
        if self.expected_masks is not None:
            check_masks(self._network.layers, self.expected_masks)
            self.expected_masks = None

    def mask_gradients(self) -> None:
        """Zero the gradients of pruned weights, unless the coming step reads them."""
        if self._watch is not None and not self._driver.wants_gradients(self.count):
            zero_gradients_(self._network.layers, self._factors)

    def follow(self, optimizer: Optimizer) -> None:
        """Go on with another optimizer."""
        self.remove()
        self._optimizer = optimizer
        self._hook()

    def remove(self) -> None:
        """Let go of the optimizer."""
        for handle in self._handles:
            handle.remove()
        if self._watch is not None:
            self._watch.stop()
        self._watch, self._handles = None, []

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: hooks of the copied optimizer are its own."""
        return vars(self) | {"_watch": None, "_handles": [], "_is_hooked": bool(self._handles)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Hook the copied optimizer, if the original was hooked."""
        hooked = state.pop("_is_hooked")
        vars(self).update(state)
        if hooked:
            self._hook()

    def _hook(self) -> None:
        self._watch = Watch(self._optimizer, self._weights) if self._is_masked else None
        self._handles = [
            self._optimizer.register_step_pre_hook(self._before_step),
            self._optimizer.register_step_post_hook(self._after_step),
        ]

    def _before_step(
        self, optimizer: Optimizer, args: Arguments, kwargs: Keywords
    ) -> tuple[Arguments, Keywords]:
        if self._watch is None:
            return args, kwargs
        check_intact(self._network.layers, self._weights)
        self._check_continued()
        if self._driver.pending or self._driver.reached_at > 0 or self._network.explored:
            check_trained(self._network.layers)
            self._check_not_captured()
        self._held_back = None
        closure, arguments = self._with_seen_closure(self._watch, args, kwargs)
        self._skips_step = not unscaled_(optimizer)
        if self._skips_step:
            return arguments
        if self._driver.before_step(self.count):
            LOG.info("step %d: masks have moved", self.count)
            self._held_back = [weight.grad for weight in self._weights.values()]
        self._restart(self._watch.optimizers())
        self._prepare_gradients()
        if closure is not None:
            closure.settle()
        self._watch.is_inside = True
        return arguments

    def _after_step(self, *_: object) -> None:
        if self._skips_step:
            return
        self.count += 1
        if self._watch is None:
            return
        self._watch.leave()
        moved = self._held_back is not None
        for weight, gradient in zip(self._weights.values(), self._held_back or (), strict=moved):
            weight.grad = gradient
        self._held_back = None
        self._driver.after_step(self.count)
        if moved and self._network.explored:
            self._network.explore_()
        trained = self._driver.trained_masks()
        for optimizer in self._watch.optimizers():
            zero_weights_and_state_(self._network.layers, optimizer, self._factors, trained)
        self._watch.note_gradients(self._weights.values())

    def _check_not_captured(self) -> None:
        if _is_captured(next(iter(self._weights.values()))):
            raise MethodError(
                "the optimizer's step is being captured into a CUDA graph, whose replays would leave the masks as they "
                "are; capture forward and backward pass only, or take a method that makes one mask before the training"
            )

    def _prepare_gradients(self) -> None:
        """Hide from the optimizer what it must not learn from.

        Those are all gradients of prunable weights where masks have moved (optimizers skip what has none), else
        those of pruned weights. A method that trains more weights than it uses has seen to its own.
        """
        if self._held_back is not None:
            for weight in self._weights.values():
                weight.grad = None
        elif self._driver.trained_masks() is None:
            zero_gradients_(self._network.layers, self._factors)

    def _restart(self, optimizers: Iterable[Optimizer]) -> None:
        """Let weights that begin again begin without a past."""
        restarting, all_of_it = self._driver.restarting, self._driver.restarts_optimizer
        if not restarting and not all_of_it:
            return
        for optimizer in optimizers:
            zero_where_(self._network.layers, optimizer, restarting)
            if all_of_it:
                optimizer.state.clear()

    def _with_seen_closure(
        self, watch: Watch, args: Arguments, kwargs: Keywords
    ) -> tuple[SeenClosure | None, tuple[Arguments, Keywords]]:
        """Put one whose evaluations are seen in the place of a step's closure, if there is one."""
        # The first positional argument of the step is the optimizer itself.
        given = args[1] if len(args) > 1 else kwargs.get("closure")
        if given is None:
            return None, (args, kwargs)
        closure = SeenClosure(given, self._weights.values(), self._after_evaluation, watch.leave)
        if not watch.has_new_gradients(self._weights.values()):
            closure.evaluate()
        return closure, (args[:1], {**kwargs, "closure": closure})

    def _after_evaluation(self) -> None:
        if self._driver.trained_masks() is not None:
            raise MethodError(
                "this method trains weights that the network does not use, so the loss cannot be evaluated inside a "
                "step, as SAM does; take another method or optimizer"
            )
        self._prepare_gradients()


def _is_captured(weight: Tensor) -> bool:
    return weight.is_cuda and torch.cuda.is_current_stream_capturing()


def unscaled_(optimizer: Optimizer) -> bool:
    """Take the scale of a GradScaler off the gradients, where it leaves that to the optimizer's fused kernel.

    Returns:
        Whether the step counts: not if gradients overflow, so that the kernel will change nothing.
    """
    overflow: Tensor | None = getattr(optimizer, "found_inf", None)
    if overflow is not None and bool(overflow):
        return False
    scale: Tensor | None = getattr(optimizer, "grad_scale", None)
    if scale is not None:
        inverse = scale.double().reciprocal().float()
        for parameter in parameters_of(optimizer):
            if parameter.grad is not None:
                parameter.grad.mul_(inverse.to(parameter.grad.device))
        optimizer.grad_scale = None  # type: ignore[attr-defined]
    return True
