"""Do sparse networks gain on hard samples: accuracy by difficulty of the test samples."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from hsl.results.report.evidence import Evidence, Values, key_of
from hsl.results.report.structs import Cell, Figure, Panel, Section, Table, interval
from hsl.results.show.phrases import INTERVAL, ends, first_panels, named, with_interval
from hsl.results.stats import Difference, mean_interval, paired_difference
from hsl.store.documents import document
from hsl.wording import count

HEADING = "Accuracy by difficulty"

_DECILES = """
SELECT trial_id, CAST(detail AS INTEGER) AS decile, accuracy, samples, parameters
FROM evaluations
WHERE measure = 'decile' AND split = 'test' AND checkpoint = 'final' AND accuracy IS NOT NULL
  AND try_cast(detail AS INTEGER) IS NOT NULL AND trial_id IN (SELECT trial_id FROM chosen_trials)
"""

_ASIDE = 0.07
"""How far marks of sparse and dense stand apart, in deciles."""

Profile = dict[int, dict[int, float]]
"""Decile to seed to accuracy."""


class _Pair(NamedTuple):
    """A winner and its dense network.

    Attributes:
        row: The row of `best` of the winner.
        sparse: Its accuracies; `dense` those of the dense network.
        level: Of confidence that intervals of the two need.
    """

    row: Values
    sparse: Profile
    dense: Profile
    level: float

    def difference(self, decile: int) -> Difference | None:
        """Sparse minus dense in a decile, or None where one of them was not evaluated."""
        mine, its = self.sparse.get(decile), self.dense.get(decile)
        return paired_difference(mine, its, self.level) if mine and its else None


def section(evidence: Evidence) -> Section:
    """The section of the figure, or what it lacks."""
    pairs = [(row, dense) for row in evidence.champions if (dense := evidence.dense.of(row))]
    seeds = evidence.seeds([row for pair in pairs for row in pair])
    rows = evidence.of_trials(_DECILES, chain.from_iterable(seeds.values()))
    profiles = []
    for row, its in pairs:
        sides = [_decile_rows(seeds[key_of(side)], rows) for side in (row, its)]
        mine, dense_profile = (_profile(side, _shared(*sides)) for side in sides)
        profiles.append(_Pair(row, mine, dense_profile, evidence.level(row, its)))
    known = [pair for pair in profiles if pair.sparse and pair.dense]
    if not known:
        missing = (
            "The store has no accuracies by difficulty of the test samples for a winner and its dense network, by the "
            "same scores for both (table evaluations, measure decile; hsl evaluate adds what is not there)."
        )
        return Section("deciles", HEADING, missing=(missing,))
    return Section("deciles", HEADING, figures=(_figure(evidence, known, rows),))


def _decile_rows(trials: Sequence[Values], rows: Mapping[str, Sequence[Values]]) -> list[Values]:
    """Rows of the deciles of some trials, each with the seed of its trial."""
    return [{**row, "seed": trial["seed"]} for trial in trials for row in rows.get(trial["trial_id"], ())]


def _shared(mine: Sequence[Values], its: Sequence[Values]) -> str | None:
    """How the samples were divided, the most frequent way of those of both sides: others are of other samples."""
    counts = Counter(row["parameters"] for row in (*mine, *its))
    common = {row["parameters"] for row in mine} & {row["parameters"] for row in its}
    return max(common, key=lambda parameters: (counts[parameters], str(parameters)), default=None)


def _profile(rows: Sequence[Values], parameters: str | None) -> Profile:
    profile: Profile = {}
    for row in rows:
        if row["parameters"] == parameters:
            profile.setdefault(row["decile"], {})[row["seed"]] = row["accuracy"]
    return dict(sorted(profile.items()))


def _figure(evidence: Evidence, known: Sequence[_Pair], rows: Mapping[str, Sequence[Values]]) -> Figure:
    kept, left_out = first_panels([evidence.setting(pair.row) for pair in known])
    return Figure(
        name="deciles",
        title=_title(evidence, known),
        subtitle=f"Test accuracy in tenths of the test samples by difficulty{_score(rows)}, 0 easiest to 9 hardest",
        caption=(
            f"Of every {evidence.noun} the sparse winner over all sparsities, chosen on validation, and the dense "
            f"network tuned under the same budget (dashed). Means over confirming seeds, whiskers: {INTERVAL}; n "
            f"and differences paired by seed are in the table.{left_out}"
        ),
        panels=tuple(
            Panel(
                f"{evidence.setting(pair.row)}: {named(pair.row)} at {pair.row['sparsity']:g}",
                (*_points(pair, "sparse"), *_points(pair, "dense")),
            )
            for pair in known
            if evidence.setting(pair.row) in kept
        ),
        table=_table(evidence, known),
        methods=evidence.ordered(["dense", *(pair.row["method"] for pair in known)]),
    )


def _score(rows: Mapping[str, Sequence[Values]]) -> str:
    """By which score, where the rows say it."""
    for row in chain.from_iterable(rows.values()):
        described = document(row, "evaluations", "parameters")
        if isinstance(described, dict) and isinstance(described.get("by"), str):
            return f" ({described['by']})"
    return ""


def _title(evidence: Evidence, known: Sequence[_Pair]) -> str:
    """In how many settings the hardest samples show a difference."""
    found = [pair.difference(max(pair.sparse)) for pair in known]
    above = sum(one is not None and one.low is not None and one.low > 0 for one in found)
    below = sum(one is not None and one.high is not None and one.high < 0 for one in found)
    return (
        f"On the hardest tenth, the interval of sparse minus dense is above 0 in {above} and below 0 in {below} "
        f"of {count(len(known), evidence.noun)}"
    )


def _points(pair: _Pair, kind: str) -> list[dict[str, Any]]:
    method, profile = (pair.row["method"], pair.sparse) if kind == "sparse" else ("dense", pair.dense)
    means = {decile: mean_interval(list(values.values()), pair.level) for decile, values in profile.items()}
    return [
        {
            "kind": kind,
            "method": method,
            "place": decile + (_ASIDE if kind == "sparse" else -_ASIDE),
            **ends(*found[:3]),
            "tip": f"{method}, decile {decile}: {with_interval(*found[:3])} %, {count(found.n, 'seed')}",
        }
        for decile, found in means.items()
    ]


def _table(evidence: Evidence, known: Sequence[_Pair]) -> Table:
    rows = []
    for pair in known:
        for decile in pair.sparse:
            found = pair.difference(decile)
            if found is None:
                continue
            sides = (pair.sparse[decile], pair.dense[decile])
            means = [mean_interval(list(side.values()), pair.level) for side in sides]
            rows.append(
                (
                    Cell(evidence.setting(pair.row)),
                    Cell(str(decile), decile),
                    *(interval(*mean[:3]) for mean in means),
                    interval(*found[:3], sign=True),
                    Cell(f"{found.n}, {found.kind}", found.n),
                )
            )
    columns = ("decile", "sparse % [95 % CI]", "dense % [95 % CI]", "difference [95 % CI]", "n")
    return evidence.table(columns, rows, f"hsl query {evidence.uri} 'SELECT * FROM evaluations'")
