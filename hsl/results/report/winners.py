"""The answer: the winner of every setting and sparsity against dense, as a table and as a heat map."""

from collections.abc import Mapping, Sequence
from typing import Any

from hsl.results.report.evidence import Evidence, Values, key_of
from hsl.results.report.significance import BETTER, WORSE, Compared
from hsl.results.report.structs import Cell, Figure, Panel, Section, Table, interval, number, whole
from hsl.results.show.phrases import INTERVAL, NOTHING, listed, named, points, with_interval
from hsl.results.show.text import ends_only
from hsl.results.stats import COVERS_SAMPLES, EQUAL, MINIMUM_SEEDS
from hsl.wording import count, duration

_MARKS: Mapping[str, tuple[str, str]] = {BETTER: ("▲", "good"), WORSE: ("▼", "bad"), EQUAL: ("=", "")}
_FAINTEST, _STRONGEST = 0.06, 0.6
"""Opacity of no difference and of the largest: text on it stays readable in light and dark."""

_COLUMNS = (
    *("sparsity", "configuration", "difference [95 % CI]", "verdict", "test accuracy % [95 % CI]", "n"),
    *("dense %", "p, corrected", "tuned parameters", "time per trial", "cell"),
)

SAMPLES_TOO = "difference, samples too"


def finding(evidence: Evidence, compared: Sequence[Compared]) -> str:
    """The answer of the whole sweep in one sentence."""
    settings = dict.fromkeys(evidence.setting(one.row) for one in compared)
    if not settings:
        return "No sparse configuration was trained to the end."
    if not any(one.is_decided for one in compared):
        reasons = listed(list(dict.fromkeys(one.verdict for one in compared)))
        return f"No claim against dense is possible for {count(len(compared), 'sparse winner')}: {reasons}."
    gains = {name: _range(evidence, compared, name, BETTER) for name in settings}
    losses = {name: _range(evidence, compared, name, WORSE) for name in settings}
    parts = [_counted("beats", gains, evidence.noun), _counted("loses to", losses, evidence.noun)]
    said = "; it ".join(part for part in parts if part)
    if not said:
        return (
            f"No sparse winner is shown to differ from dense in any of {count(len(settings), evidence.noun)}."
        )
    return f"The sparse winner {said}."


def _range(evidence: Evidence, compared: Sequence[Compared], setting: str, verdict: str) -> str:
    mine = [one for one in compared if evidence.setting(one.row) == setting and one.verdict == verdict]
    shown = sorted(one.row["difference"] for one in mine)
    return " to ".join(dict.fromkeys(points(end) for end in (shown[:1] + shown[-1:])))


def _counted(verb: str, ranges: Mapping[str, str], noun: str) -> str:
    where = [f"{name} ({found} points)" for name, found in ranges.items() if found]
    return f"{verb} dense in {len(where)} of {count(len(ranges), noun)}: {listed(where)}" if where else ""


def section(evidence: Evidence, compared: Sequence[Compared]) -> Section:
    """The section of the headline table and the heat map."""
    if not evidence.winners:
        counts = evidence.rows("SELECT status, count(*) AS n FROM labelled GROUP BY status ORDER BY status")
        found = listed([f"{row['n']:,} {row['status']}" for row in counts])
        lacking = f"No trial was trained to the end, so there is no winner; trials: {found}."
        return Section("winners", "Winners against dense", missing=(lacking,))
    figures = (_heat_map(evidence, compared),) if compared else ()
    lacking = "No sparse trial was trained to the end; the table holds dense networks only."
    text = (
        f"Per {evidence.noun} and sparsity, the configuration with the best validation objective ({evidence.metric} "
        f"test accuracy is reported and chooses nothing). Accuracy is the mean over the n seeds of the confirm "
        f"stage with its {INTERVAL}; the difference is to the dense network of the same {evidence.noun}, tuned "
        "under the same budget, paired by seed (~: seeds not shared, Welch). p: two-sided t test, Benjamini-Hochberg "
        f"over all rows; below {MINIMUM_SEEDS} seeds nothing is claimed. Unconfirmed: one trial of the search, "
        "not retrained with fresh seeds, so optimistic."
        + (f" {SAMPLES_TOO.capitalize()}: its 95 % interval {COVERS_SAMPLES}." if _kept(evidence) else ""),
    )
    missing = () if compared else (lacking,)
    return Section("winners", "Winners against dense", text, figures, (_table(evidence, compared),), missing)


def _table(evidence: Evidence, compared: Sequence[Compared]) -> Table:
    verdicts = {(*key_of(one.row), one.row["sparsity"]): one for one in compared}
    rows = [_line(evidence, row, verdicts.get((*key_of(row), row["sparsity"]))) for row in evidence.winners]
    columns: tuple[str, ...] = _COLUMNS
    if _kept(evidence):
        columns = (*columns, SAMPLES_TOO)
        rows = [(*line, _over_samples(row)) for line, row in zip(rows, evidence.winners, strict=True)]
    return evidence.table(columns, rows, f"hsl best {evidence.uri}")


def _kept(evidence: Evidence) -> bool:
    """Whether the store keeps which test samples are correct."""
    return any(row["samples"] is not None for row in evidence.winners)


def _over_samples(row: Values) -> Cell:
    return Cell(ends_only(row["difference_samples_low"], row["difference_samples_high"], sign=True))


def _line(evidence: Evidence, row: Values, one: Compared | None) -> tuple[Cell, ...]:
    lost = f" of {row['seeds'] + row['seeds_lost']}" if row["seeds_lost"] else ""
    difference, verdict, p_value = _against_dense(one)
    return (
        Cell(evidence.setting(row)),
        number(row["sparsity"]),
        Cell(named(row)),
        difference,
        verdict,
        interval(row["test_mean"], row["test_low"], row["test_high"]),
        Cell(f"{row['seeds']}{lost}", row["seeds"]),
        Cell("" if row["baseline"] else with_interval(row["dense_mean"], None, None), row["dense_mean"]),
        p_value,
        Cell(row["parameters"] or NOTHING),
        Cell(NOTHING if row["seconds"] is None else duration(row["seconds"]), row["seconds"]),
        Cell(row["cell"], mark="code"),
    )


def _against_dense(one: Compared | None) -> tuple[Cell, Cell, Cell]:
    """Difference, verdict and p-value."""
    if one is None:
        return Cell(""), Cell("baseline", mark="weak"), Cell("")
    row = one.row
    welch = " ~" if row["difference_kind"] == "unpaired" else ""
    shown = with_interval(row["difference"], row["difference_low"], row["difference_high"], sign=True)
    sign, mark = _MARKS.get(one.verdict, ("", "weak"))
    return (
        Cell(shown + welch, row["difference"]),
        Cell(f"{sign} {one.verdict}".strip(), mark=mark),
        number(one.p_adjusted, 2),
    )


def _heat_map(evidence: Evidence, compared: Sequence[Compared]) -> Figure:
    settings = list(dict.fromkeys(evidence.setting(one.row) for one in compared))
    sparsities = sorted({one.row["sparsity"] for one in compared})
    largest = max((abs(one.row["difference"] or 0.0) for one in compared), default=0.0)
    drawn = tuple(_square(evidence, one, largest) for one in compared)
    return Figure(
        name="difference",
        title=_title(evidence, compared),
        subtitle=f"Difference of {evidence.metric} test accuracy to dense of the same {evidence.noun}, in points",
        caption=(
            "Blue: better than dense, orange: worse, stronger for larger differences; the number says the same. "
            "A solid frame marks a difference beyond chance (corrected p below 0.05). Grey with a dashed frame: "
            f"fewer than {MINIMUM_SEEDS} paired seeds or unconfirmed, nothing is claimed. n: seeds; the intervals "
            f"({INTERVAL}) are in the table."
        ),
        panels=(Panel("", drawn),),
        table=_heat_table(evidence, compared),
        scales={"settings": settings, "sparsities": [f"{value:g}" for value in sparsities]},
        height=max(90, 54 * len(settings) + 40),
    )


def _title(evidence: Evidence, compared: Sequence[Compared]) -> str:
    if all(one.row["difference"] is None for one in compared):
        return "There is no dense baseline to compare to"
    decided = [one for one in compared if one.is_decided]
    if not decided:
        return "No difference to dense can be tested: confirming seeds are missing"
    better, worse = (sum(one.verdict == verdict for one in decided) for verdict in (BETTER, WORSE))
    return (
        f"Sparse is better than dense in {better} and worse in {worse} of {count(len(decided), 'compared pair')} "
        f"of {evidence.noun} and sparsity"
    )


def _square(evidence: Evidence, one: Compared, largest: float) -> dict[str, Any]:
    row = one.row
    difference = row["difference"]
    claims = one.is_decided
    share = abs(difference) / largest if claims and largest else 0.0
    return {
        "setting": evidence.setting(row),
        "sparsity": f"{row['sparsity']:g}",
        "text": NOTHING if difference is None else points(difference),
        "n": f"n={row['seeds']}" if row["confirmed"] else "unconfirmed",
        "kind": ("gain" if difference >= 0 else "loss") if claims else "unclear",
        "strength": round(_FAINTEST + share * (_STRONGEST - _FAINTEST), 3),
        "frame": "beyond chance" if one.is_difference else ("none" if claims else "unclear"),
        "tip": f"{named(row)}: {_against_dense(one)[0].text}, {one.verdict}",
    }


def _heat_table(evidence: Evidence, compared: Sequence[Compared]) -> Table:
    rows = [
        (
            Cell(evidence.setting(one.row)),
            number(one.row["sparsity"]),
            _against_dense(one)[0],
            whole(one.row["seeds"]),
            _against_dense(one)[1],
        )
        for one in compared
    ]
    columns = ("sparsity", "difference [95 % CI]", "n", "verdict")
    return evidence.table(columns, rows, f"hsl best {evidence.uri}")
