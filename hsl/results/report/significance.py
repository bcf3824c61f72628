"""Which winners are better than dense: p-values of the differences, corrected over all winners."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hsl.results.report.evidence import Evidence, Values, key_of
from hsl.results.stats import EQUAL, GAIN, Difference, adjusted, paired_difference, verdict

BETTER, WORSE = "better than dense", "worse than dense"
UNCONFIRMED, DENSE_UNCONFIRMED, NO_DENSE = "unconfirmed", "dense is unconfirmed", "no dense result"


@dataclass(frozen=True)
class Compared:
    """A winner and its difference to the dense baseline of its setting.

    Attributes:
        row: Its row of `best`.
        verdict: One of the verdicts of this module, or of `hsl.results.stats.verdict`.
        p_adjusted: Two-sided t test of no difference, Benjamini-Hochberg over all winners.
    """

    row: Mapping[str, Any]
    verdict: str
    p_adjusted: float | None

    @property
    def is_decided(self) -> bool:
        """Whether there are enough seeds for a verdict."""
        return self.verdict in (BETTER, WORSE, EQUAL)

    @property
    def is_difference(self) -> bool:
        """Whether it differs from dense by more than chance explains."""
        return self.verdict in (BETTER, WORSE)


def compare_winners(evidence: Evidence, winners: Sequence[Values]) -> list[Compared]:
    """The verdict on every sparse one of some rows of `best`."""
    sparse = [row for row in winners if not row["baseline"]]
    dense = [evidence.dense.of(row) for row in sparse]
    values = evidence.seeds([*sparse, *(row for row in dense if row)])
    tests = [_test(evidence, row, its, values) for row, its in zip(sparse, dense, strict=True)]
    corrected = adjusted([found.p if found else None for found in tests])
    return [
        Compared(row, _verdict(row, found, p), p)
        for row, found, p in zip(sparse, tests, corrected, strict=True)
    ]


def _test(
    evidence: Evidence, row: Values, dense: Values | None, values: Mapping[Any, list[Values]]
) -> Difference | None:
    """The difference between confirming seeds of both sides."""
    if dense is None or not (row["confirmed"] and dense["confirmed"]):
        return None
    mine, its = (
        {trial["seed"]: trial["test"] for trial in values[key_of(side)] if trial["test"] is not None}
        for side in (row, dense)
    )
    return paired_difference(mine, its, evidence.level(row, dense), GAIN) if mine and its else None


def _verdict(row: Values, found: Difference | None, p_adjusted: float | None) -> str:
    if not row["confirmed"]:
        return UNCONFIRMED
    if found is None:
        return NO_DENSE if row["difference"] is None else DENSE_UNCONFIRMED
    return verdict(found.difference, found.n, p_adjusted, BETTER, WORSE)
