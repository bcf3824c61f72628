"""What it cost, what early stopping saved, and what failed."""

import shlex
from collections.abc import Sequence

from hsl.results.report.evidence import Evidence, Values
from hsl.results.report.structs import Cell, Figure, Mark, Panel, Section, Table, whole
from hsl.results.report.style import SQUARE
from hsl.results.show.phrases import NOTHING, first_panels
from hsl.wording import count, duration

HEADING = "Cost and failures"
KINDS = ("search, completed", "search, stopped early", "search, failed", "confirm")
_REASON_LENGTH = 300
_MAX_REASONS = 30

_COST = """
SELECT {settings}, CASE WHEN stage = 'confirm' THEN 'confirm'
    WHEN status = 'stopped' THEN 'search, stopped early' ELSE 'search, ' || status END AS kind,
  count(*) AS trials, count(*) FILTER (status = 'failed') AS failed, coalesce(sum(seconds), 0) AS seconds,
  sum(epochs) AS epochs, sum(budget_epochs) AS budget
FROM labelled GROUP BY {settings}, kind ORDER BY {settings}, kind
"""

_FAILURES = """
SELECT coalesce(reason, 'no reason recorded') AS why, count(*) AS trials, min(trial_id) AS example,
  list(DISTINCT cell ORDER BY cell) AS cells
FROM labelled WHERE status = 'failed' GROUP BY why ORDER BY trials DESC, why
"""


def section(evidence: Evidence) -> Section:
    """The section of the figure and of the table of failures."""
    rows = evidence.in_order(evidence.rows(_COST.format(settings=evidence.setting_sql)))
    failures = evidence.rows(_FAILURES)
    text = () if failures else ("No trial failed.",)
    timed = any(row["seconds"] for row in rows)
    missing = () if timed else ("No training time is recorded.",)
    figures = (_figure(evidence, rows),) if timed else ()
    tables = (_failures(evidence, failures),) if failures else ()
    return Section("cost", HEADING, text, figures, tables, missing)


def _figure(evidence: Evidence, rows: Sequence[Values]) -> Figure:
    settings, left_out = first_panels([evidence.setting(row) for row in rows])
    totals = (sum(row["seconds"] for row in rows if evidence.setting(row) == name) for name in settings)
    size, unit = _unit(max(totals))
    drawn = tuple(
        {
            "setting": evidence.setting(row),
            "kind": row["kind"],
            "order": KINDS.index(row["kind"]),
            "time": round(row["seconds"] / size, 4),
            "tip": f"{row['kind']}: {count(row['trials'], 'trial')}, {duration(row['seconds'])}",
        }
        for row in rows
        if evidence.setting(row) in settings
    )
    return Figure(
        name="cost",
        title=_title(rows),
        subtitle=f"Training time of all trials by {evidence.noun}, in {unit}",
        caption=(
            "Time that trials were trained, summed over all that ran side by side; building parents and "
            "difficulty scores is not in it. Every bar is in the order of the legend. "
            f"Sums, not averages.{left_out}"
        ),
        panels=(Panel("", drawn),),
        table=_table(evidence, rows),
        marks=tuple(Mark(kind, f"hue{index}", SQUARE) for index, kind in enumerate(KINDS)),
        scales={"settings": settings, "kinds": list(KINDS), "unit": unit},
        height=max(80, 36 * len(settings) + 20),
    )


def _unit(longest: float) -> tuple[float, str]:
    """The unit of time in which the longest bar has a handy length, in seconds, and its name."""
    units = ((3600.0, "hours"), (60.0, "minutes"))
    return next(((size, name) for size, name in units if longest >= size), (1.0, "seconds"))


def _title(rows: Sequence[Values]) -> str:
    search = [row for row in rows if row["kind"] != "confirm"]
    seconds = sum(row["seconds"] for row in rows)
    budget, spent = (sum(row[name] for row in search) for name in ("budget", "epochs"))
    share = f"{100 * (1 - spent / budget):.0f} %" if budget else ""
    saved = f", early stopping left out {share} of the search's epochs" if budget else ""
    failed = sum(row["failed"] for row in rows)
    return (
        f"{duration(seconds)} of training{saved}; {count(failed, 'trial') if failed else 'no trial'} failed"
    )


def _table(evidence: Evidence, rows: Sequence[Values]) -> Table:
    lines = tuple(
        (
            Cell(evidence.setting(row)),
            Cell(row["kind"]),
            whole(row["trials"]),
            whole(row["failed"]),
            Cell(duration(row["seconds"]), row["seconds"]),
            Cell(f"{row['epochs']:,} of {row['budget']:,}", row["epochs"]),
        )
        for row in rows
    )
    return Table((evidence.noun, "kind", "trials", "failed", "time", "epochs trained of all"), lines)


def _failures(evidence: Evidence, failures: Sequence[Values]) -> Table:
    rows = tuple(
        (
            Cell(row["why"][:_REASON_LENGTH]),
            whole(row["trials"]),
            Cell(", ".join(row["cells"][:3]) + (", ..." if len(row["cells"]) > 3 else "") or NOTHING),
            Cell(f"hsl show {evidence.uri} {shlex.quote(row['example'])}", mark="code"),
        )
        for row in failures[:_MAX_REASONS]
    )
    note = f"The first {_MAX_REASONS} of {len(failures):,} reasons." if len(failures) > _MAX_REASONS else ""
    return Table(("reason of failure", "trials", "cells", "look at one"), rows, note)
