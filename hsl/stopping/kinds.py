"""Every kind of early stopping by the settings of a space. What a sweep and a replay drive; no ray unless asked for."""

from __future__ import annotations

from typing import Literal

from hsl.stopping.median import MedianRule
from hsl.stopping.promotion import PromotionRungs
from hsl.stopping.rule import Judge, every_epoch, milestones
from hsl.stopping.settings import (
    EarlyStopping,
    Median,
    Promotion,
    RayAsha,
    RayHyperband,
    RayMedian,
    Stratified,
)
from hsl.stopping.stratified import Rungs


def make_judge(settings: EarlyStopping | None, epochs: int, seed: int) -> Judge:
    """Early stopping as a space asks for it.

    Args:
        settings: Its kind and arguments; None stops nobody.
        epochs: Epochs of a full training.
        seed: Seed of whatever is drawn.
    """
    match settings:
        case None:
            return Judge(seed=seed)
        case Stratified():
            return Rungs(settings, epochs, seed)
        case Promotion():
            return PromotionRungs(settings, epochs, seed)
        case Median():
            return MedianRule(settings, epochs, seed)
    from hsl.stopping.ray_rules import RayRules  # noqa: PLC0415  imports ray

    return RayRules(settings, epochs)


def milestones_of(settings: EarlyStopping | None, epochs: int) -> tuple[int, ...]:
    """When a trial is judged, as its worker is told; the same as of `make_judge`, without ray."""
    match settings:
        case None:
            return ()
        case Stratified() | Promotion():
            return milestones(settings.grace, settings.reduction_factor, epochs)
        case Median():
            return every_epoch(settings.grace, epochs)
    return every_epoch(1, epochs)


def counts(settings: EarlyStopping | None) -> Literal["epochs_at_target", "epoch"]:
    """What milestones count: Ray's schedulers know nothing of target sparsities."""
    return "epoch" if isinstance(settings, RayAsha | RayHyperband | RayMedian) else "epochs_at_target"


def can_pause(settings: EarlyStopping | None) -> bool:
    """Whether trials may have to continue from their rung, so that they need a checkpoint there."""
    return isinstance(settings, Promotion | RayHyperband)
