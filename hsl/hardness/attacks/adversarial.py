"""Adversarial training: the loss of a batch of training samples, and the attack of the evaluation.

The gradients that every loss leaves behind, and so those by which methods such as RigL grow weights, are
those of the attacked images. Scores that are computed once before training, such as those of SNIP, are
computed elsewhere.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from hsl.hardness import keyed
from hsl.hardness.attacks.attacks import Ball, pgd, pgd_divergence, random_start
from hsl.hardness.attacks.losses import mart_loss, trades_loss
from hsl.hardness.registries import TRAININGS, attack_facts
from hsl.hardness.returned import attack_of
from hsl.hardness.schema.regimes import AtBounds, Attack

SMALL_START = 0.001
"""Standard deviation of the starting points of TRADES and MART, in pixel units."""


class TrainingLoss:
    """The loss of a batch; this one is the cross-entropy of the images as they are.

    Attributes:
        replays: How many steps in a row are taken on a batch.
    """

    replays: int = 1

    def begin_epoch(self) -> None:
        """Forget all state that is carried from batch to batch, so that an epoch depends on no other."""

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, ids: Tensor, cycle: int
    ) -> tuple[Tensor, Tensor]:
        """Logits and loss.

        Args:
            model: Maps images in [0, 1] to logits; in train mode.
            images: float32 [B, C, H, W] in [0, 1].
            labels: int64 [B].
            ids: Sample ids, int64 [B].
            cycle: Number of the pass through the training samples; random draws follow it.

        Returns:
            Logits [B, classes] by which training accuracy is counted, and the loss to be minimised, float [].
        """
        logits = model(images)
        return logits, functional.cross_entropy(logits, labels)


class Attacked(TrainingLoss):
    """Cross-entropy of the attacked images (Madry et al., ICLR 2018, arXiv 1706.06083).

    Args:
        attack: What is done to every batch.
        seed: Seed of the starting points.
    """

    def __init__(self, attack: Attack, seed: int) -> None:
        self.attack = attack
        self._seed = seed
        self._settings = attack.model_dump(include={"eps", "step", "steps", "norm", "bn_mode"})

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, ids: Tensor, cycle: int
    ) -> tuple[Tensor, Tensor]:
        """As `TrainingLoss`."""
        start = None
        if self.attack.random_start:
            start = random_start(self._key(cycle), ids, tuple(images.shape[1:]), self.attack.eps)
        attacked = attack_of(self.attack.name)(model, images, labels, start=start, **self._settings)
        return super().__call__(model, attacked, labels, ids, cycle)

    def _key(self, cycle: int) -> int:
        return keyed.key(self._seed, "attack", cycle)


class _WithClean(Attacked):
    """Adversarial training whose loss compares the predictions for the attacked and for the clean images.

    The attack starts a little away from the clean image, where the gradient of a divergence vanishes.
    """

    craft: Callable[..., Tensor]
    loss: Callable[..., Tensor]

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, ids: Tensor, cycle: int
    ) -> tuple[Tensor, Tensor]:
        """As `TrainingLoss`; the logits are those of the attacked images."""
        start = keyed.normal(self._key(cycle), ids, tuple(images.shape[1:])).mul_(SMALL_START)
        attacked = self.craft(model, images, labels, start=start, **self._settings)
        clean, found = model(images), model(attacked)
        return found, self.loss(clean, found, labels, self.attack.beta or 0.0)


class Trades(_WithClean):
    """TRADES: clean cross-entropy and the divergence of the attacked from the clean prediction.

    Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019, arXiv
    1901.08573.
    """

    craft = staticmethod(pgd_divergence)
    loss = staticmethod(trades_loss)


class Mart(_WithClean):
    """MART: adversarial training that weighs the images by how wrong the model is about them.

    Wang et al., Improving Adversarial Robustness Requires Revisiting Misclassified Examples, ICLR 2020.
    """

    craft = staticmethod(pgd)
    loss = staticmethod(mart_loss)


class Free(TrainingLoss):
    """Free adversarial training: every gradient moves the weights and the perturbation at once.

    A batch is replayed several times in a row. The perturbation is kept from replay to replay and from batch
    to batch, by the place in the batch, and starts at zero in every epoch. So a training has as many steps as
    one without an attack, and sees each sample in one of `replays` epochs.

    Shafahi et al., Adversarial Training for Free!, NeurIPS 2019, arXiv 1904.12843.

    Args:
        attack: Its eps, step, norm and replays.
        seed: Not read: nothing is drawn.
    """

    def __init__(self, attack: Attack, seed: int) -> None:
        self.attack = attack
        self.replays = attack.replays or 1
        self._cut = CUTS[attack.at_bounds or "moved"]
        self._change: Tensor | None = None

    def begin_epoch(self) -> None:
        """Start from no perturbation."""
        self._change = None

    def __call__(
        self, model: nn.Module, images: Tensor, labels: Tensor, ids: Tensor, cycle: int
    ) -> tuple[Tensor, Tensor]:
        """As `TrainingLoss`; the backward pass of the loss moves the perturbation of the next call."""
        change = self._of_batch(images).requires_grad_()
        change.register_hook(partial(self._move, change.detach()))
        return super().__call__(model, self._cut(images + change), labels, ids, cycle)

    def _of_batch(self, images: Tensor) -> Tensor:
        """The perturbation of the places in a batch; zero where there was none before."""
        shape = images.shape[1:]
        kept = images.new_zeros(0, *shape) if self._change is None else self._change
        missing = max(0, len(images) - len(kept))
        self._change = torch.cat([kept, images.new_zeros(missing, *shape)])
        return self._change[: len(images)].clone()

    def _move(self, change: Tensor, gradient: Tensor) -> None:
        attack = self.attack
        ball = Ball(torch.zeros_like(change), attack.eps, attack.norm)
        moved = ball.bounded(change + attack.step * ball.direction(gradient.float()))
        if self._change is not None:
            self._change[: len(moved)] = moved


def cut(images: Tensor) -> Tensor:
    """Images cut to [0, 1], with a gradient of 1 at 0 and at 1 and of 0 outside.

    That of `torch.clamp` at its bounds was 1 from pull request 7049 (2018) to 191142 (2026), and is 0 since.
    """
    return torch.where((images >= 0) & (images <= 1), images, images.detach().clamp(0, 1))


CUTS: dict[AtBounds, Callable[[Tensor], Tensor]] = {"moved": cut, "clamp": partial(torch.clamp, min=0, max=1)}
"""What free adversarial training does at black and white pixels -> how it cuts images to [0, 1]."""


def training_loss(attack: Attack | None, seed: int) -> TrainingLoss:
    """The loss of the training batches of a regime with this attack, or none, in a trial with this seed."""
    if attack is None:
        return TrainingLoss()
    if attack.name in TRAININGS:
        return TRAININGS[attack.name](attack, seed)
    return Attacked(attack, seed)


def evaluation_attack(attack: Attack | None, key: int) -> Callable[..., Tensor] | None:
    """The attack on matched samples: ``(model, images, labels, ids) -> images``, or None.

    Trainings that are no attacks of their own are evaluated by PGD; free adversarial training, whose step is
    as long as eps, by PGD with steps of 2.5 * eps / eval_steps. `key` is the stream of the starting points.
    """
    if attack is None:
        return None
    run = attack_of("pgd" if attack.name in TRAININGS else attack.name)
    step, reach = attack.step, attack_facts(attack.name).eval_reach
    if reach is not None and attack.eps > 0:
        step = reach * attack.eps / attack.eval_steps
    settings = {"eps": attack.eps, "step": step, "steps": attack.eval_steps, "norm": attack.norm}

    def attacked(model: nn.Module, images: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
        start = random_start(key, ids, tuple(images.shape[1:]), attack.eps) if attack.random_start else None
        return run(model, images, labels, start=start, **settings)

    return attacked
