"""Drivers that make one mask before the training: of the untrained network, or of a trained parent."""

from collections.abc import Mapping

from torch import Tensor

from hsl.errors import MethodError
from hsl.sparsity.drivers.base import Driver
from hsl.sparsity.init import set_first_masks_
from hsl.sparsity.methods.moments import Once, OnceAfterParent
from hsl.sparsity.methods.weight_scores import CRITERIA
from hsl.sparsity.network import (
    Loss,
    Network,
    Parent,
    Start,
    all_finite,
    keep_top,
    load_parent_,
    set_masks_,
    step_gradients,
    warn_of_ties,
)
from hsl.sparsity.saliency import check_scores, first_masks


class OnceDriver(Driver):
    """One mask at the start; by the first step's gradients if it needs some and no loss is given."""

    def __init__(
        self,
        network: Network,
        criterion: str,
        needs_gradient: bool,
        loss: Loss | None,
        hyperparameters: Mapping[str, float],
    ) -> None:
        self._network, self._criterion = network, criterion
        self._loss, self._hyperparameters = loss, hyperparameters
        self.pending = needs_gradient and loss is None

    def start(self) -> None:
        """Make the mask, unless it waits for gradients."""
        if not self.pending:
            self._set(first_masks(self._network, self._criterion, self._loss, self._hyperparameters))
        self._loss = None  # a function is often one that cannot be pickled

    def wants_gradients(self, step: int) -> bool:
        """Only until the mask is made."""
        return self.pending

    def before_step(self, step: int) -> bool:
        """Make the mask from the first gradients that are finite."""
        if not self.pending:
            return False
        network = self._network
        gradients = step_gradients(network.layers)
        if not all_finite(gradients):
            return False
        score = CRITERIA[self._criterion]
        scores = {name: score(network.signals(name, gradients[name])) for name in network.layers}
        check_scores(scores, network.budget, self._criterion)
        masks = keep_top(scores, network.budget)
        warn_of_ties(scores, masks, network.budget, self._criterion)
        self._set(masks)
        self.pending = False
        return True

    def _set(self, masks: Mapping[str, Tensor]) -> None:
        set_first_masks_(self._network, masks)


class AfterParentDriver(Driver):
    """One mask from a trained parent."""

    def __init__(self, network: Network, moment: OnceAfterParent, parent: Parent) -> None:
        self._network, self._moment, self._parent = network, moment, parent

    def start(self) -> None:
        """Score the parent's trained weights, and start from its trained or rewound ones."""
        network, parent = self._network, self._parent
        self._parent = Parent({})  # two networks less to hold, copy and pickle
        load_parent_(network.model, parent.trained, "trained")
        masks = first_masks(network, self._moment.criterion, None, {})
        if self._moment.start == "rewound" and parent.rewind is not None:
            load_parent_(network.model, parent.rewind, "rewind")
        set_masks_(network.layers, masks)


def of_untrained(moment: Once, start: Start) -> OnceDriver:
    """The driver of `Once`."""
    return OnceDriver(start.network, moment.criterion, start.needs_gradient, start.loss, start.values)


def of_parent(moment: OnceAfterParent, start: Start) -> AfterParentDriver:
    """The driver of `OnceAfterParent`.

    Raises:
        MethodError: If there is no parent, or nothing of it to rewind to.
    """
    parent = start.parent
    if parent is None:
        raise MethodError(
            f"method {start.method!r} starts from a trained dense network: "
            "give parent=Parent(trained=state_dict, rewind=state_dict)"
        )
    if moment.start == "rewound" and parent.rewind is None:
        raise MethodError(
            f"method {start.method!r} rewinds: give parent=Parent(trained=..., rewind=state_dict), with "
            "the parent's weights at the step to rewind to (its initial weights, for instance)"
        )
    return AfterParentDriver(start.network, moment, parent)
