"""What makes samples hard, and the samples a regime makes of a data set. Usable without the rest of hsl.

This package itself imports no torch; the modules `keyed`, `difficulty`, `noise`, `corruptions`, `attacks` and
`apply` do.
"""

from hsl.hardness.regimes import Attack, Corruption, Keep, LabelNoise, Regime
from hsl.hardness.registries import ATTACKS, CORRUPTIONS, LABEL_NOISES, SCORES, SELECTIONS

__all__ = [
    "ATTACKS",
    "CORRUPTIONS",
    "LABEL_NOISES",
    "SCORES",
    "SELECTIONS",
    "Attack",
    "Corruption",
    "Keep",
    "LabelNoise",
    "Regime",
]
