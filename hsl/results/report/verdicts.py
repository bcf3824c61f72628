"""Which winners are better than dense: p-values of the shown differences, corrected over all of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hsl.results.compare import MINIMUM_SEEDS, SIGNIFICANCE
from hsl.results.report.evidence import Evidence, Values
from hsl.results.stats import adjusted, paired_difference

BETTER, WORSE, EQUAL = "better than dense", "worse than dense", "no difference shown"
UNCONFIRMED, FEW, ALIKE, NO_DENSE = "unconfirmed", "not enough seeds", "seeds do not vary", "no dense result"


@dataclass(frozen=True)
class Judged:
    """A winner beside the dense baseline of its setting.

    Attributes:
        row: What `best` says of it.
        verdict: One of the sentences of this module.
        p_adjusted: Two-sided t test of no difference, Benjamini-Hochberg over all winners.
    """

    row: Mapping[str, Any]
    verdict: str
    p_adjusted: float | None

    @property
    def is_difference(self) -> bool:
        """Whether it differs from dense by more than chance explains."""
        return self.verdict in (BETTER, WORSE)


def judge(evidence: Evidence, winners: Sequence[Values]) -> list[Judged]:
    """Every sparse winner with its verdict.

    Args:
        evidence: The store.
        winners: Rows of `best`; those of dense baselines are left out.
    """
    sparse = [row for row in winners if not row["baseline"]]
    dense = evidence.dense
    values = evidence.seeds([*sparse, *dense.values()])
    p_values = [_p_value(row, dense.get(row["cell"]), values) for row in sparse]
    corrected = adjusted(p_values)
    return [Judged(row, _verdict(row, p), p) for row, p in zip(sparse, corrected, strict=True)]


def _p_value(row: Values, dense: Values | None, values: Mapping[Any, list[Values]]) -> float | None:
    if dense is None or not (row["confirmed"] and dense["confirmed"]):
        return None
    mine, its = (_by_seed(values[side["cell"], side["configuration_id"]]) for side in (row, dense))
    if not mine or not its:
        return None
    found = paired_difference(mine, its)
    return found.p if found.n >= MINIMUM_SEEDS else None


def _by_seed(rows: Sequence[Values]) -> dict[int, float]:
    return {row["seed"]: row["test"] for row in rows if row["test"] is not None}


def _verdict(row: Values, p_adjusted: float | None) -> str:
    if row["difference"] is None:
        return NO_DENSE if row["confirmed"] else UNCONFIRMED
    if not row["confirmed"] or row["difference_kind"] == "point":
        return UNCONFIRMED
    if row["seeds"] < MINIMUM_SEEDS:
        return FEW
    if p_adjusted is None:
        return ALIKE
    if p_adjusted >= SIGNIFICANCE:
        return EQUAL
    return BETTER if row["difference"] > 0 else WORSE
