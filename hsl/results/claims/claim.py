"""Claims: a few directional statements each, about trials that are selected by their configuration."""

from dataclasses import dataclass

MEASURES = {
    "matched_gain": "test accuracy on matched data, less that of dense of the same regime and seed",
    "clean_gain": "test accuracy on clean data, less that of dense of the same regime and seed",
    "shallow_excess": "mean density of the shallow half of the layers, less that of the deep half",
    "training_flops": "training operations relative to dense",
}
"""What a statement can measure of a trial; all are fractions."""

EXACT = ("shallow_excess", "training_flops")
"""Measures that hardly depend on the seed: the range over the trials decides."""


@dataclass(frozen=True)
class Statement:
    """One sentence that data can support or contradict.

    The conditions are SQL over the columns method, distribution, sparsity, baseline and what
    `hsl.results.claims.evaluate` reads from the configuration: score, which, fraction (of `keep`), severity,
    corrupted ("both" if training and test are, alike), attack, norm, label_noise.

    Attributes:
        text: The sentence.
        where: Which regimes it is about.
        a: Which trials it is about.
        direction: "above" or "below" `threshold`, or "within" it of zero.
        b: Trials that are subtracted; None where the effect is the measure itself.
        alike: Columns in which, like in the seed, a trial of `a` and one of `b` must agree.
        measure: One of `MEASURES`.
        threshold: What the effect is compared to, in units of the measure.
    """

    text: str
    where: str
    a: str
    direction: str
    b: str | None = None
    alike: tuple[str, ...] = ("regime_key", "sparsity")
    measure: str = "matched_gain"
    threshold: float = 0.0


@dataclass(frozen=True)
class Claim:
    """A claim of a paper.

    Attributes:
        source: The paper, and where in it.
        statements: The claim is supported if all of them are.
    """

    id: str
    text: str
    source: str
    statements: tuple[Statement, ...]
