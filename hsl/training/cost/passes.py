"""Cost of a training in passes: a pass is one forward and backward computation of one sample."""

import math
from collections.abc import Mapping

from hsl.hardness.registries import ROBUST
from hsl.hardness.schema.regimes import Regime
from hsl.training.configuration import Configuration
from hsl.training.measuring.evaluation_settings import Evaluation

FORWARD = 1 / 3
"""A forward computation alone, as a share of a pass."""


def evaluation_passes(evaluation: Evaluation, regime: Regime, samples: Mapping[str, int]) -> float:
    """Passes of evaluating one trained network, at most.

    Args:
        evaluation: Measures; an unknown one of robustness counts as much as PGD-20.
        regime: Of the network.
        samples: Number of samples of ``val`` and of ``test``.
    """
    steps = regime.attack.eval_steps if regime.attack else 0
    corruptions, attacks = evaluation.corruptions, evaluation.attacks
    costly = FORWARD * len(corruptions.names) * len(corruptions.severities) if corruptions else 0.0
    for name in attacks.names if attacks else ():
        costly += ROBUST.facts(name).passes
    total = 0.0
    for split in evaluation.splits:
        count = samples[split]
        total += count * (2 * FORWARD + steps) + min(count, evaluation.samples or count) * costly
    return total * len(evaluation.checkpoints)


def count_passes(trained: Configuration, epochs: int, exposure: int, clean: int, matched: int) -> float:
    """Passes of the first epochs of a training, its evaluations included.

    Args:
        trained: The configuration.
        epochs: Number of epochs.
        exposure: Number of samples that an epoch presents.
        clean: Number of clean validation and test samples; 0 where nothing is evaluated.
        matched: Number of matched ones, likewise.
    """
    regime = trained.regime
    per_evaluation = clean * FORWARD
    if regime.attack:
        per_evaluation += matched * (regime.attack.eval_steps + FORWARD)
    elif regime.needs_scores is not None or (regime.corruption and regime.corruption.where != "train"):
        per_evaluation += matched * FORWARD
    evaluations = math.ceil(epochs / trained.training.evaluate_every)
    return epochs * exposure * regime.passes_per_step + evaluations * per_evaluation
