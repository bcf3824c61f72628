"""How much computing a training takes, in passes: one forward and backward computation of one sample."""

from __future__ import annotations

import math

from hsl.training.configuration import Configuration

FORWARD = 1 / 3
"""A forward computation alone, as a share of a pass."""


def count_passes(trained: Configuration, epochs: int, exposure: int, clean: int, matched: int) -> float:
    """Passes of the first epochs of a training, its evaluations included.

    Args:
        trained: What is trained.
        epochs: How many epochs.
        exposure: Number of samples that an epoch presents.
        clean: Number of clean validation and test samples; 0 where nothing is evaluated.
        matched: Number of matched validation and test samples; 0 where nothing is evaluated.
    """
    regime = trained.regime
    per_evaluation = clean * FORWARD
    if regime.attack:
        per_evaluation += matched * (regime.attack.eval_steps + FORWARD)
    elif regime.needs_scores is not None or (regime.corruption and regime.corruption.where != "train"):
        per_evaluation += matched * FORWARD
    evaluations = math.ceil(epochs / trained.training.evaluate_every)
    return epochs * exposure * regime.passes_per_step + evaluations * per_evaluation
