"""Whether a network is still as sparse as its masks, and whether all that trains it is seen."""

from __future__ import annotations

import hashlib
import weakref
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.optimizer import register_optimizer_step_pre_hook

from hsl.errors import MethodError
from hsl.sparsity.layers import Prunable
from hsl.sparsity.mask_buffers import CHECKED, MASKED


class Watch:
    """Knows of every step of every optimizer over some weights.

    Optimizers that call others in their step (SAM, Lookahead) are followed: theirs count as part of it. A step of
    any other optimizer would train pruned weights, so it is refused before it begins.

    Args:
        optimizer: The one whose steps are seen.
        weights: Layer names and weights.
    """

    def __init__(self, optimizer: Optimizer, weights: Mapping[str, nn.Parameter]) -> None:
        self.nested: weakref.WeakSet[Optimizer] = weakref.WeakSet()
        self.is_inside = False
        self._optimizer = weakref.ref(optimizer)
        self._names = {id(weight): name for name, weight in weights.items()}
        self._read: list[tuple[weakref.ref[Tensor], int]] = []
        _LIVE.add(self)
        CHECKED.clear()

    def stop(self) -> None:
        """Let all optimizers be."""
        _LIVE.discard(self)
        CHECKED.clear()

    def follows(self, weight: Tensor) -> bool:
        """Whether it is one of the weights, and their optimizer still exists."""
        return self._optimizer() is not None and id(weight) in self._names

    def leave(self) -> None:
        """The step is over."""
        self.is_inside = False

    def optimizers(self) -> list[Optimizer]:
        """Those that have state of the weights."""
        own = self._optimizer()
        return [*([own] if own is not None else []), *self.nested]

    def before_step_of(self, optimizer: Optimizer) -> None:
        """Refuse the step of an optimizer that trains the weights unseen.

        Raises:
            MethodError: If it does.
        """
        own = self._optimizer()
        if own is None or optimizer is own:
            return
        shared = [self._names[id(p)] for p in parameters_of(optimizer) if id(p) in self._names]
        if not shared:
            return
        if not self.is_inside:
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            raise MethodError(
                f"a step of {type(optimizer).__name__} would train the weights of layer {shared[0]!r}{more} past "
                f"their Sparsifier, which follows another optimizer, {type(own).__name__}: build it with the one whose "
                "step() the training calls (of SAM with first_step and second_step: sam.base_optimizer), hand it over "
                "with follow(optimizer), or call its remove() first"
            )
        self.nested.add(optimizer)

    def note_gradients(self, weights: Iterable[nn.Parameter]) -> None:
        """Remember the gradients that a step has used."""
        gradients = [weight.grad for weight in weights]
        self._read = [
            (weakref.ref(gradient), gradient._version) for gradient in gradients if gradient is not None
        ]

    def has_new_gradients(self, weights: Iterable[nn.Parameter]) -> bool:
        """Whether a backward pass has come since the last step."""
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        same = len(gradients) == len(self._read) and all(
            known() is gradient and version == gradient._version
            for gradient, (known, version) in zip(gradients, self._read, strict=True)
        )
        # All of them may have been set to zero instead of None.
        return not same and any(bool(gradient.any()) for gradient in gradients)


def check_intact(layers: Prunable, weights: Mapping[str, nn.Parameter]) -> None:
    """Refuse layers whose weight is no longer the one that was masked.

    Args:
        layers: Prunable with masks.
        weights: What their weights were.

    Raises:
        MethodError: If a weight was replaced since.
    """
    for name, layer in layers.items():
        now = layer.module._parameters.get(layer.parameter)
        if now is not weights[name]:
            raise MethodError(
                f"the weight of layer {name!r} was replaced after the Sparsifier was built (by a parametrisation, "
                "fully_shard, another layer, or load_state_dict(assign=True)), so neither its mask nor the optimizer "
                "reaches it: change the model first, then make optimizer and Sparsifier"
            )


def masks_digest(layers: Prunable) -> str:
    """16 hexadecimal digits of all masks: where the active weights are."""
    made = hashlib.blake2b(digest_size=8)
    for name, layer in layers.items():
        made.update(name.encode() + layer.weight_mask.cpu().numpy().tobytes())
    return made.hexdigest()


def check_masks(layers: Prunable, digest: str) -> None:
    """Refuse masks that are not those with which a checkpoint was written.

    Raises:
        MethodError: If they are others.
    """
    if masks_digest(layers) != digest:
        raise MethodError(
            "the masks are not those of the checkpoint that load_state_dict of the Sparsifier has read: load the "
            "model's state dict of the same moment, masks included (strict=True names what is missing)"
        )


def check_trained(layers: Prunable) -> None:
    """Refuse to move the masks of layers that are not trained.

    Raises:
        MethodError: If one was frozen.
    """
    frozen = [name for name, layer in layers.items() if not layer.weight.requires_grad]
    if frozen:
        raise MethodError(
            f"layers {', '.join(frozen)} were frozen after the Sparsifier was built, and the method would prune them "
            "and never train them; give such layers a learning rate of 0, or exclude them: "
            f"layers=Layers(exclude={frozen})"
        )


@torch.no_grad()
def check_zeros(layers: Prunable) -> None:
    """Refuse a network whose weights do not obey its masks; NaN is left to the training loop.

    Args:
        layers: Prunable with masks.

    Raises:
        MethodError: If a pruned weight is not zero.
    """
    wrong = {}
    for name, layer in layers.items():
        weight = layer.weight
        wrong[name] = int(torch.count_nonzero((weight != 0) & ~weight.isnan() & ~layer.weight_mask))
    named = [name for name, count in wrong.items() if count]
    if named:
        raise MethodError(
            f"{sum(wrong.values())} pruned weights of layers {', '.join(named)} are not zero: something other than "
            "steps of the Sparsifier's optimizer has written to them (weights that were averaged or copied in, an "
            "update by hand, a copy of the model or optimizer); call apply_masks() of the Sparsifier to zero them"
        )


def parameters_of(optimizer: Optimizer) -> Iterable[Tensor]:
    """All parameters of an optimizer."""
    return (parameter for group in optimizer.param_groups for parameter in group["params"])


def check_followed(optimizer: Optimizer) -> None:
    """Refuse to train masked weights that nothing keeps sparse: those of a copy of the model alone, for example.

    An optimizer is looked at again only when masks, or what follows them, have changed.

    Raises:
        MethodError: If there are some.
    """
    if optimizer in CHECKED:
        return
    owned = {id(parameter) for parameter in parameters_of(optimizer)}
    masked = [weight for mark in tuple(MASKED) for weight in mark.weights() if id(weight) in owned]
    unseen = sum(not any(watch.follows(weight) for watch in tuple(_LIVE)) for weight in masked)
    if unseen:
        raise MethodError(
            f"{type(optimizer).__name__} would train {unseen} weights that have masks and no Sparsifier, so pruned "
            "weights would come back. Is the model a copy? Copy or pickle model, optimizer and Sparsifier together; to "
            "train it dense, copy what finalize() returns. Was the Sparsifier's optimizer replaced? Hand the new one "
            "over with follow(optimizer)"
        )
    CHECKED.add(optimizer)


_LIVE: weakref.WeakSet[Watch] = weakref.WeakSet()


def _before_any_step(optimizer: Optimizer, *_: object) -> None:
    for watch in tuple(_LIVE):
        watch.before_step_of(optimizer)
    check_followed(optimizer)


register_optimizer_step_pre_hook(_before_any_step)
