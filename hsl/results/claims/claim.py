"""Claims: a few directional statements each, about trials that are selected by their configuration."""

from dataclasses import dataclass
from typing import NamedTuple

MEASURES = {
    "matched_gain": "test accuracy on matched data, less that of dense of the same regime and seed",
    "clean_gain": "test accuracy on clean data, less that of dense of the same regime and seed",
    "shallow_excess": "mean density of the shallow half of the layers, less that of the deep half",
    "training_flops": "training operations relative to dense",
}
"""What a statement can measure of a trial; all are fractions."""

EXACT = ("shallow_excess", "training_flops")
"""Measures that hardly depend on the seed: the range over the trials decides."""


class Part(NamedTuple):
    """Regimes or networks that a statement is about.

    Attributes:
        words: In words, for messages.
        sql: A condition on the columns that `Statement` lists.
    """

    words: str
    sql: str


class Setting(NamedTuple):
    """A network on a data set, both by name; a data set with a path (``tiny-imagenet:PATH``) has its name too."""

    model: str
    dataset: str

    def __str__(self) -> str:
        return f"{self.model} on {self.dataset}"


@dataclass(frozen=True)
class Statement:
    """One sentence that data can support or contradict.

    The conditions are SQL over the columns method, distribution, sparsity, baseline and what
    `hsl.results.claims.evaluate` reads from the configuration: score, which, fraction (of `keep`), severity,
    corruptions (a list), corrupted ("both" if training and test are, alike), attack, norm, eps, label_noise.

    Attributes:
        text: The sentence.
        where: Which regimes it is about.
        a: Which trials it is about.
        direction: "above" or "below" `threshold`, or "within" it of zero.
        b: Trials that are subtracted; None where the effect is the measure itself.
        alike: Columns in which, like in the seed, a trial of `a` and one of `b` must agree.
        measure: One of `MEASURES`.
        threshold: What the effect is compared to, in units of the measure.
        needs: Networks of which each must be there, because the sentence is about all of them together.
        is_of_most: Whether the sentence is about most of `needs`: it holds if it holds of more than half of them.
        settings: Where the paper says it, if not everywhere that its claim is about.
    """

    text: str
    where: Part | str
    a: str
    direction: str
    b: str | None = None
    alike: tuple[str, ...] = ("regime_key", "sparsity")
    measure: str = "matched_gain"
    threshold: float = 0.0
    needs: tuple[Part, ...] = ()
    is_of_most: bool = False
    settings: tuple[Setting, ...] = ()

    @property
    def regime(self) -> Part:
        """Which regimes it is about."""
        return self.where if isinstance(self.where, Part) else Part("such data", self.where)


@dataclass(frozen=True)
class Claim:
    """A claim of a paper.

    Attributes:
        source: The paper, and where in it.
        statements: The claim is supported if all of them are.
        settings: Networks and data sets that it is about; empty for any.
    """

    id: str
    text: str
    source: str
    statements: tuple[Statement, ...]
    settings: tuple[Setting, ...] = ()

    def settings_of(self, statement: Statement) -> tuple[Setting, ...]:
        """Networks and data sets that one of its statements is about; empty for any."""
        return statement.settings or self.settings
