"""Every kind of early stopping by the settings of a space. What a sweep and a replay drive; no ray unless asked for."""

from collections.abc import Callable, Mapping
from typing import Any

from hsl.stopping.median import MedianRule
from hsl.stopping.promotion import PromotionRungs
from hsl.stopping.rule import Judge
from hsl.stopping.settings import (
    EarlyStopping,
    Kind,
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
    return _BUILD[type(settings)](settings, epochs, seed) if settings else Judge(seed=seed)


def _of_ray(settings: RayAsha | RayHyperband | RayMedian, epochs: int, seed: int) -> Judge:
    """Ray's own rules, which draw nothing."""
    from hsl.stopping.ray_rules import RayRules  # noqa: PLC0415  imports ray

    return RayRules(settings, epochs)


_BUILD: Mapping[type[Kind], Callable[[Any, int, int], Judge]] = {
    Stratified: Rungs,
    Promotion: PromotionRungs,
    Median: MedianRule,
    RayAsha: _of_ray,
    RayHyperband: _of_ray,
    RayMedian: _of_ray,
}
