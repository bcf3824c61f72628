"""Learning curves of the search, with where early stopping ended them."""

from collections.abc import Sequence
from typing import Any

from hsl.results.report.evidence import Evidence, Values
from hsl.results.report.structs import Cell, Figure, Mark, Panel, Section, Table, level
from hsl.results.report.style import CIRCLE, CROSS
from hsl.results.show.phrases import first_panels, named, scaled
from hsl.store.outcomes import Status
from hsl.wording import count

HEADING = "Learning curves"
MAX_CURVES = 40
"""Curves per panel: more hide each other."""
MAX_VALUES = 40
"""Values per curve."""
MAX_RUNGS = 5

# A sample that is the same whenever it is drawn; the winners of a search are always in it.
_SAMPLE = """
SELECT {settings}, trial_id, cell, method, distribution, sparsity, status, epochs, budget_epochs, objective
FROM labelled WHERE stage = 'search'
QUALIFY row_number() OVER (PARTITION BY {settings} ORDER BY md5(trial_id)) <= {curves}
ORDER BY {settings}, cell, trial_id
"""

_VALUES = """
WITH evaluated AS (
  SELECT trial_id, epoch, val_{metric}_accuracy AS value, count(*) OVER mine AS number,
    row_number() OVER (PARTITION BY trial_id ORDER BY epoch DESC) AS place
  FROM epochs WHERE val_{metric}_accuracy IS NOT NULL AND trial_id IN (SELECT trial_id FROM chosen_trials)
  WINDOW mine AS (PARTITION BY trial_id)
)
SELECT trial_id, epoch, value, place = 1 AS is_last FROM evaluated
WHERE (place - 1) % ceil(number / {values})::BIGINT = 0 ORDER BY trial_id, epoch
"""

# In stores from before rungs were recorded, rungs are where trials stopped.
_RUNGS = """
WITH stopped AS (SELECT trial_id, epochs AS epoch FROM labelled WHERE status = 'stopped'),
places AS (
  SELECT rung AS place FROM epochs WHERE rung IS NOT NULL
  UNION ALL SELECT epochs_at_target FROM epochs JOIN stopped USING (trial_id, epoch)
    WHERE rung IS NULL AND epochs_at_target IS NOT NULL
)
SELECT place AS rung, count(*) AS decided FROM places GROUP BY place ORDER BY decided DESC, place LIMIT {rungs}
"""

_COUNTS = """
SELECT count(*) AS trials, count(*) FILTER (status = 'stopped') AS stopped, max(budget_epochs) AS budget,
  min(epochs) FILTER (status = 'stopped') AS first, max(epochs) FILTER (status = 'stopped') AS last
FROM labelled WHERE stage = 'search'
"""


def section(evidence: Evidence) -> Section:
    """The section of the figure, or what it lacks."""
    sample = evidence.rows(_SAMPLE.format(settings=evidence.setting_sql, curves=MAX_CURVES))
    values = evidence.of_trials(_VALUES.format(metric=evidence.metric, values=MAX_VALUES), sample)
    drawn = [row for row in evidence.in_order(sample) if len(values.get(row["trial_id"], ())) > 1]
    if not drawn:
        missing = "No trial of the search has a curve: two epochs or more with a validation accuracy."
        return Section("curves", HEADING, missing=(missing,))
    return Section("curves", HEADING, figures=(_figure(evidence, drawn, values),))


def _figure(evidence: Evidence, drawn: Sequence[Values], values: dict[str, list[Values]]) -> Figure:
    counts = evidence.rows(_COUNTS)[0]
    rungs = sorted(row["rung"] for row in evidence.rows(_RUNGS.format(rungs=MAX_RUNGS)))
    settings, left_out = first_panels([evidence.setting(row) for row in drawn])
    return Figure(
        name="curves",
        title=_title(counts),
        subtitle=(
            f"{evidence.metric.capitalize()} validation accuracy of {count(len(drawn), 'trial')} of the search, "
            f"of {counts['trials']:,}; one seed each"
        ),
        caption=(
            "One line per trial. A cross ends a line that was stopped early, a dot one that was trained to the end. "
            "Dotted vertical lines: rungs, where trials that are sparse from the start are compared; a rung counts "
            "epochs at the target sparsity, so that gradual methods are compared as many epochs after they got there. "
            "Dense trials dashed. "
            f"At most {MAX_CURVES} curves per panel, chosen by a hash of the trial.{left_out}"
        ),
        panels=tuple(
            Panel(name, tuple(_lines([row for row in drawn if evidence.setting(row) == name], values, rungs)))
            for name in settings
        ),
        table=_table(evidence, drawn),
        methods=evidence.ordered(row["method"] for row in drawn),
        marks=(Mark("stopped early", "ink", CROSS), Mark("trained to the end", "ink", CIRCLE)),
    )


def _title(counts: Values) -> str:
    if not counts["stopped"]:
        return (
            f"All {count(counts['trials'], 'trial')} of the search ran to their end: none was stopped early"
        )
    when = " to ".join(map(str, dict.fromkeys((counts["first"], counts["last"]))))
    return (
        f"Early stopping ended {counts['stopped']:,} of {count(counts['trials'], 'trial')} of the search after "
        f"{when} of {count(counts['budget'], 'epoch')}"
    )


def _lines(
    rows: Sequence[Values], values: dict[str, list[Values]], rungs: Sequence[int]
) -> list[dict[str, Any]]:
    lines = [
        {
            "kind": ("stopped" if row["status"] == Status.STOPPED else "ended") if value["is_last"] else "on",
            "trial": index,
            "method": row["method"],
            "dense": row["method"] == "dense",
            "epoch": value["epoch"],
            "value": scaled(value["value"], 1),
            "tip": f"{named(row)} at {row['sparsity']:g}, {row['status']} after {count(row['epochs'], 'epoch')}"
            if value["is_last"]
            else "",
        }
        for index, row in enumerate(rows)
        for value in values[row["trial_id"]]
    ]
    blank = dict.fromkeys(lines[0])
    return [*lines, *({**blank, "kind": "rung", "epoch": rung} for rung in rungs)]


def _table(evidence: Evidence, drawn: Sequence[Values]) -> Table:
    rows = [
        (
            Cell(evidence.setting(row)),
            level(row["sparsity"]),
            Cell(named(row)),
            Cell(row["status"]),
            Cell(f"{row['epochs']} of {row['budget_epochs']}", row["epochs"]),
            Cell("" if row["objective"] is None else f"{100 * row['objective']:.1f}", row["objective"]),
            Cell(row["trial_id"], mark="code"),
        )
        for row in drawn
    ]
    columns = ("sparsity", "configuration", "status", "epochs", "last objective %", "trial")
    return evidence.table(
        columns, rows, f"""hsl query {evidence.uri} "SELECT * FROM trials WHERE stage = 'search'\""""
    )
