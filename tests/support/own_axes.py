"""One thing of every axis, as somebody outside the package would write it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import torch
from ray.tune.logger import LoggerCallback
from torch import Tensor, nn

from hsl.hardness import keyed
from hsl.hardness.registries import CorruptionFacts, ScoreFacts
from hsl.registry import Entry
from hsl.space.samplers import SamplerSettings
from hsl.sparsity.distributions.ranked import Family
from hsl.sparsity.drivers.base import Driver
from hsl.sparsity.methods import Hyperparameter, Method
from hsl.sparsity.methods.moments import Moment
from hsl.sparsity.network import Network, Start, keep_top, set_masks_
from hsl.stopping.rule import Decision, StoppingRule, Verdict
from hsl.stopping.settings import Kind
from hsl.training.data.arrays import Arrays


def bars(path: str) -> Arrays:
    """A data set: images with a bright row or a bright column, 300 of them, and noise as `path` says."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, int(path or 60), (300, 1, 16, 16)).astype(np.uint8)
    labels = np.arange(300) % 2
    for number, label in enumerate(labels):
        place = generator.integers(16)
        view = images[number, 0] if label else images[number, 0].T
        view[place] = 255
    return Arrays(images, labels.astype(np.int64), np.zeros(300, bool))


def small(shape: tuple[int, int, int], classes: int, width: int = 16) -> nn.Module:
    """A model."""
    channels, height, across = shape
    return nn.Sequential(
        nn.Flatten(), nn.Linear(channels * height * across, width), nn.ReLU(), nn.Linear(width, classes)
    )


def by_width(
    shapes: Mapping[str, tuple[int, ...]], sparsity: float, *, keep_dense: Any = ()
) -> dict[str, float]:
    """A distribution: the last layer is twice as dense as it would be, the others make up for it."""
    sizes = {name: float(np.prod(shape)) for name, shape in shapes.items()}
    *_, last = sizes
    fixed = {last: min(1.0, 2 * (1 - sparsity))} | dict.fromkeys(keep_dense, 1.0)
    left = (1 - sparsity) * sum(sizes.values()) - sum(fixed[name] * sizes[name] for name in fixed)
    others = left / sum(size for name, size in sizes.items() if name not in fixed)
    return {name: fixed.get(name, others) for name in sizes}


@dataclass(frozen=True)
class HalfWay(Moment):
    """A moment of its own: dense for a share of the steps, then sparse at once."""

    has_schedule = True

    def build(self, start: Start) -> Driver:
        return HalfWayDriver(start.network, max(1, round(start.values["at"] * start.total_steps)))


class HalfWayDriver(Driver):
    def __init__(self, network: Network, step: int) -> None:
        self._network, self.reached_at = network, step

    def after_step(self, step: int) -> None:
        if step == self.reached_at:
            layers = self._network.layers
            scores = {name: layer.weight.detach().abs() for name, layer in layers.items()}
            set_masks_(layers, keep_top(scores, self._network.budget))


HALF_WAY = Method(
    name="own_axes:HALF_WAY",
    summary="magnitude pruning at once, in the midst of the training",
    source="-",
    moment=HalfWay(),
    families=(Family.FORMULA,),
    default="uniform",
    hyperparameters=(Hyperparameter("at", 0.5, 0.0, 1.0, "fraction of the steps before the pruning", "-"),),
)


def _slope(probabilities: Tensor) -> Tensor:
    """A score of whole trajectories [T, N]: how little the probability of the label has risen."""
    return (1 - (probabilities[-1] - probabilities[0])).float()


SLOPE = Entry(_slope, ScoreFacts("trajectory", ("probabilities",), least_epochs=2))


def every_other(scores: Tensor, ids: Tensor, key: int) -> Tensor:
    """A selection: every second sample of the order first."""
    order = scores.argsort(descending=True)
    return torch.cat([order[::2], order[1::2]])


def _stripes(pixels: Tensor, ids: Tensor, severity: int, key: int) -> Tensor:
    """A corruption: one column is dark, at random."""
    damaged = pixels.clone()
    places = keyed.integers(key, ids, (), pixels.shape[-1])
    for image, place in zip(damaged, places, strict=True):
        image[..., int(place)] /= 1 + severity
    return damaged


STRIPES = Entry(_stripes, CorruptionFacts(least_side=4, channels=(1, 3), severities=(5, 5)))


def sign(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    step: float,
    steps: int,
    norm: str = "linf",
    start: Tensor | None = None,
    bn_mode: str = "eval",
) -> Tensor:
    """An attack: a random sign for every pixel."""
    return (images + eps * torch.sign(torch.randn_like(images))).clamp(0, 1)


class Eager(SamplerSettings):
    """A sampler with an argument of its own: a model from the first trials on."""

    drawn: int = 2

    def build(self, seed: int) -> optuna.samplers.BaseSampler:
        return optuna.samplers.TPESampler(n_startup_trials=self.drawn, seed=seed)


class Floor(Kind):
    """Early stopping: trials below the floor after the first epochs stop."""

    progress = "epoch"

    floor: float = 0.4
    after: int = 2

    def milestones(self, epochs: int) -> tuple[int, ...]:
        return (self.after,)

    def build(self, epochs: int, seed: int) -> StoppingRule:
        return FloorRule(self.milestones(epochs), self.floor)


class FloorRule(StoppingRule):
    progress = "epoch"

    def __init__(self, milestones: tuple[int, ...], floor: float) -> None:
        super().__init__(milestones)
        self._floor = floor

    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        if epoch == self.milestones[0] and value < self._floor:
            return Verdict(Decision.STOP, epoch, self._floor)
        return Verdict()


class Diary(LoggerCallback):
    """A tracker."""

    file = Path("diary.txt")

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        with self.file.open("a") as file:
            file.write(f"{trial} {iteration}\n")
