"""Every kind of early stopping by the settings of a space. What a sweep and a replay drive; no ray unless asked for."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping
from typing import Any, Literal

from hsl.search.median import MedianRule
from hsl.search.promotion import PromotionRungs
from hsl.search.rungs import Decision, Judge, Rungs, every_epoch, milestones
from hsl.search.schema import EarlyStopping, Median, Promotion, RayAsha, RayHyperband, RayMedian, Stratified


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
    from hsl.search.ray_rules import RayRules  # noqa: PLC0415  imports ray

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


def judge_rows(
    judge: Judge, cell: str, trial_id: str, rows: Iterable[MutableMapping[str, Any]], objective: str
) -> Decision:
    """Report epochs of a trial until one of them ends or pauses it; rung and cut-off are noted in the rows."""
    for row in rows:
        verdict = judge.report(cell, trial_id, row, objective)
        if verdict.rung is not None:
            row.update(rung=verdict.rung, cutoff=verdict.cutoff)
        if verdict.decision is not Decision.CONTINUE:
            return verdict.decision
    return Decision.CONTINUE
