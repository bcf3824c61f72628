"""What makes samples hard, and the samples a regime makes of a data set. Usable without the rest of hsl.

This package itself imports no torch, nor do the schema (`regimes`, `keep`, `fields`), the names
(`registries`) and the tables (`constants`). All other modules do.
"""

from hsl.hardness.registries import ATTACKS, CORRUPTIONS, LABEL_NOISES, ROBUST, SCORES, SELECTIONS, TRAININGS
from hsl.hardness.schema.keep import Keep, LongTail
from hsl.hardness.schema.regimes import Attack, Corruption, LabelNoise, Regime

__all__ = [
    "ATTACKS",
    "CORRUPTIONS",
    "LABEL_NOISES",
    "ROBUST",
    "SCORES",
    "SELECTIONS",
    "TRAININGS",
    "Attack",
    "Corruption",
    "Keep",
    "LabelNoise",
    "LongTail",
    "Regime",
]
