"""Adversarial images. Pixels are in [0, 1], so normalisation has to be part of the model."""

from typing import Literal

import torch
from torch import Tensor, nn

from hsl.errors import HslError
from hsl.hardness import keyed
from hsl.hardness.attacks.modes import frozen, in_mode
from hsl.hardness.attacks.objectives import ROUNDED, VANISHED, Objective, cross_entropy, distance, lead
from hsl.hardness.schema.fields import NORMS

BNMode = Literal["eval", "train"]


def pgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
    norm: str = "linf",
    start: Tensor | None = None,
    bn_mode: BNMode = "eval",
) -> Tensor:
    """Projected gradient ascent on the cross-entropy.

    As every attack, it works in float32 outside autocast (in 16 bit, small gradients become zero, and their
    sign with them). Gradients of the parameters are not computed, their ``.grad`` is left alone, and every
    training flag is as before afterwards. Madry et al., Towards Deep Learning Models Resistant to Adversarial
    Attacks, ICLR 2018, arXiv 1706.06083.

    Args:
        model: Maps float32 [B, C, H, W] in [0, 1] to logits [B, classes].
        images: Floating point [B, C, H, W] in [0, 1].
        labels: int64 [B].
        eps: Largest change, of every value (``linf``) or of an image as a vector (``l2``), in [0, 1]; 0
            returns the images. Common are 8/255, and 0.5 for ``l2``.
        step: Change per step in the same norm, above 0.
        steps: Number of steps, at least 1.
        norm: Norm that `eps` bounds: ``linf`` steps along the sign of the gradient, ``l2`` along the gradient
            scaled to length 1, however small it is. An image whose gradient is exactly zero stays where it is.
        start: First perturbation [B, C, H, W], for example of `random_start`, taken back into the ball; None
            starts at the image.
        bn_mode: Mode of the model while the attack runs. ``train`` normalises by the batch under attack, and
            moves the running statistics of batch normalisation with every step; ``eval`` leaves them alone.

    Returns:
        float32 [B, C, H, W] in [0, 1], nowhere further than eps from `images`.

    Raises:
        HslError: If a parameter is outside its range.
    """
    loss = cross_entropy(VANISHED, bn_mode)
    return _climb(
        loss, model, images, labels, eps=eps, step=step, steps=steps, norm=norm, start=start, bn_mode=bn_mode
    )


def pgd_odds(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
    norm: str = "linf",
    start: Tensor | None = None,
    bn_mode: BNMode = "eval",
) -> Tensor:
    """`pgd` for evaluation: where float32 rounds the gradient of the cross-entropy, it climbs the odds of an error.

    Both have the same direction. The difference shows where the model is sure by more than `ROUNDED` nats: there
    float32 holds the probability of the right class as almost or exactly 1, and the part of the gradient that leads
    away from it is lost, which passes for robustness (Theoretical Analysis of Relative Errors in Gradient
    Computations for Adversarial Attacks with CE Loss, 2025, arXiv 2507.22428). Parameters and result are
    those of `pgd`.
    """
    loss = cross_entropy(ROUNDED, bn_mode)
    return _climb(
        loss, model, images, labels, eps=eps, step=step, steps=steps, norm=norm, start=start, bn_mode=bn_mode
    )


def pgd_margin(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
    norm: str = "linf",
    start: Tensor | None = None,
    bn_mode: BNMode = "eval",
) -> Tensor:
    """Projected gradient ascent on the margin: the largest logit of a wrong class less that of the right one.

    Unlike that of the cross-entropy, its gradient does not vanish where the model is sure. Takes at least two
    classes; parameters and result are those of `pgd`. Carlini & Wagner, Towards Evaluating the Robustness of
    Neural Networks, S&P 2017, arXiv 1608.04644.
    """
    return _climb(
        lead, model, images, labels, eps=eps, step=step, steps=steps, norm=norm, start=start, bn_mode=bn_mode
    )


def pgd_divergence(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
    norm: str = "linf",
    start: Tensor | None = None,
    bn_mode: BNMode = "eval",
) -> Tensor:
    """Projected gradient ascent on the divergence from the prediction for the clean image; the attack of TRADES.

    At the clean image itself the gradient is nothing but rounding, so it needs a `start`; labels are not
    read. Parameters and result are those of `pgd`; the prediction for the clean image is made in the same
    mode. Zhang et al., Theoretically Principled Trade-off between Robustness and Accuracy, ICML 2019, arXiv
    1901.08573.
    """
    _check(eps, step, steps, norm, bn_mode)
    off = torch.autocast(images.device.type, enabled=False)
    with torch.no_grad(), in_mode(model, training=bn_mode == "train"), off:
        clean = model(images.detach().float()).float()
    return _climb(
        distance,
        model,
        images,
        clean,
        eps=eps,
        step=step,
        steps=steps,
        norm=norm,
        start=start,
        bn_mode=bn_mode,
    )


def fgsm_rs(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int = 1,
    norm: str = "linf",
    start: Tensor | None = None,
    bn_mode: BNMode = "eval",
) -> Tensor:
    """One large step along the sign of the gradient, from a random start: the fast attack for training.

    A model trained with it can learn to withstand this attack alone. So an evaluation asks for more `steps`,
    and gets `pgd` with steps of 2.5 * eps / steps; `step`, commonly 1.25 * eps, is read for one step alone.
    The norm is ``linf``; the other parameters and the result are those of `pgd`. Wong, Rice & Kolter, Fast is
    Better than Free, ICLR 2020, arXiv 2001.03994.
    """
    if norm != "linf":
        raise HslError(f"fgsm_rs is defined for norm linf, not for {norm!r}; use pgd")
    _check(eps, step, steps, norm, bn_mode)
    if steps > 1:
        step = 2.5 * eps / steps or step  # in a ball without a radius any step will do
    loss = cross_entropy(VANISHED, bn_mode)
    return _climb(
        loss, model, images, labels, eps=eps, step=step, steps=steps, norm=norm, start=start, bn_mode=bn_mode
    )


def random_start(key: int, ids: Tensor, shape: tuple[int, ...], eps: float) -> Tensor:
    """First perturbation of an attack: uniform in the ball of the maximum norm.

    An attack in ``l2`` takes it back into its own, smaller ball: to a random point of the sphere.

    Args:
        key: Stream of the draws.
        ids: Sample ids, int64 [B]. The draws of an image depend on its id and the key alone.
        shape: (C, H, W).
        eps: Radius, in pixel units.

    Returns:
        float32 [B, C, H, W] in [-eps, eps].
    """
    return keyed.uniform(key, ids, shape).mul_(2).sub_(1).mul_(eps)


class Ball:
    """The images that an attack may reach.

    Args:
        images: Clean images, floating point [B, C, H, W] in [0, 1].
        eps: Radius.
        norm: Norm of the radius.
    """

    def __init__(self, images: Tensor, eps: float, norm: str) -> None:
        self.clean = images.detach().float().clone()
        self._eps = eps
        self._norm = norm

    @property
    def is_a_point(self) -> bool:
        """Whether there is nothing but the clean image."""
        return self._eps == 0

    def direction(self, gradient: Tensor) -> Tensor:
        """The step of length 1 along which the loss grows fastest; zero where there is no gradient."""
        if self._norm == "linf":
            return gradient.sign()
        lengths = _lengths(gradient)
        largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
        scaled = gradient / torch.where(largest > 0, largest, 1)  # squares of small numbers are 0
        is_exact = (lengths > SMALL) & (lengths < 1 / SMALL)
        return torch.where(is_exact, gradient / lengths, scaled / _lengths(scaled).clamp(min=1))

    def moved(self, images: Tensor, gradient: Tensor, step: float) -> Tensor:
        """The images, a step up the gradient, taken back to the ball.

        In one new piece of memory: at every step of an attack its size is what this costs.
        """
        return self.project_(self.direction(gradient).mul_(step).add_(images))

    def project_(self, images: Tensor) -> Tensor:
        """Take images to the ball and then to [0, 1], in place.

        The clean image is in both, so the second brings an image no further from it.
        """
        change = images.sub_(self.clean)
        if self._norm == "linf":
            change.clamp_(-self._eps, self._eps)
        else:
            change.mul_(self._shortening(change))
        return change.add_(self.clean).clamp_(0, 1)

    def bounded(self, change: Tensor) -> Tensor:
        """A perturbation, taken back to the radius."""
        if self._norm == "linf":
            return change.clamp(-self._eps, self._eps)
        return change * self._shortening(change)

    def _shortening(self, change: Tensor) -> Tensor:
        return (self._eps / _lengths(change).clamp(min=1e-30)).clamp(max=1)


def _lengths(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=(1, 2, 3), keepdim=True)


SMALL = 1e-20
"""Length of a gradient from which on float32 holds the sum of its squares to 1 %, up to its inverse.

From there on steps are those of version 0.1.0 to the bit, under whose ids networks are trained; gradients of networks
that learn are larger (digits, 30 epochs: 5e-20). Below, its steps were not of unit length.
"""


def _climb(
    objective: Objective,
    model: nn.Module,
    images: Tensor,
    targets: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
    norm: str,
    start: Tensor | None,
    bn_mode: str,
) -> Tensor:
    """Projected gradient ascent on an objective; the other parameters and the result are those of `pgd`."""
    _check(eps, step, steps, norm, bn_mode)
    ball = Ball(images, eps, norm)
    off = torch.autocast(ball.clean.device.type, enabled=False)
    mode = in_mode(model, training=bn_mode == "train")
    with torch.inference_mode(mode=False), torch.enable_grad(), off, mode, frozen(model):
        attacked, targets = ball.clean.clone(), targets.clone()
        if ball.is_a_point:
            return attacked
        if start is not None:
            attacked = ball.project_(attacked.add_(start.detach()))
        for _ in range(steps):
            attacked = ball.moved(attacked, _gradient(model, attacked, targets, objective), step)
        return attacked


def _gradient(model: nn.Module, images: Tensor, targets: Tensor, objective: Objective) -> Tensor:
    """Gradient of the objective with respect to the images alone."""
    images = images.detach().requires_grad_()
    return torch.autograd.grad(objective(model(images).float(), targets), images)[0]


def check_ball(eps: float, norm: str) -> None:
    """Refuse a radius `eps`, in pixel units, outside [0, 1], and an unknown norm.

    Raises:
        HslError: If one is given.
    """
    if norm not in NORMS:
        raise HslError(f"unknown norm {norm!r}; known: {', '.join(NORMS)}")
    if not 0 <= eps <= 1:
        raise HslError(f"eps {eps} is outside 0-1; give it in pixel units, for example 8/255")


def _check(eps: float, step: float, steps: int, norm: str, bn_mode: str) -> None:
    check_ball(eps, norm)
    if not step > 0 or steps < 1:
        raise HslError(f"step {step} and steps {steps}: give a step above 0 and at least 1 of them")
    if bn_mode not in ("eval", "train"):
        raise HslError(f"unknown bn_mode {bn_mode!r}; known: eval, train")
