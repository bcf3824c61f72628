"""Pruning in rounds: what imp and its ratios can be tuned by, and what the round before theirs was. Torch-free."""

import math
from collections.abc import Mapping

from hsl.sparsity.methods.composition import Hyperparameter

KEPT_PER_ROUND = 0.8
"""Fraction of the remaining weights that a round keeps (Frankle and Carbin 2019, arXiv:1803.03635)."""

_LTH = "Frankle and Carbin 2019, arXiv:1803.03635"

ITERATIVE = (
    Hyperparameter(
        "rounds",
        0,
        0,
        100,
        "rounds of training and pruning before the last training (0: as few as keep 80 % or more in each)",
        _LTH,
        whole=True,
    ),
    Hyperparameter(
        "rewind",
        0.0,
        0.0,
        1.0,
        "fraction of the steps at which the rewind weights are taken (0: initial)",
        _LTH,
    ),
)


def rounds_of(sparsity: float, rounds: float) -> int:
    """Number of rounds: as asked for, or as few as keep `KEPT_PER_ROUND` or more of the weights in each.

    Args:
        sparsity: Final fraction of zeros, in (0, 1).
        rounds: Hyperparameter ``rounds``; 0 leaves it to the sparsity.
    """
    if rounds:
        return int(rounds)
    return max(1, math.ceil(math.log1p(-sparsity) / math.log(KEPT_PER_ROUND) - 1e-9))


def round_before(sparsity: float, given: Mapping[str, float]) -> tuple[float, int] | None:
    """Sparsity and number of rounds of the network that the last round prunes; None if that is the dense one.

    After round k of n the density is d^(k / n), so that the last round reaches d.

    Args:
        sparsity: Final fraction of zeros, in (0, 1).
        given: Hyperparameters of `ITERATIVE`.
    """
    rounds = rounds_of(sparsity, given["rounds"])
    if rounds == 1:
        return None
    return 1.0 - (1.0 - sparsity) ** ((rounds - 1) / rounds), rounds - 1
