"""Was early stopping right, by the trials that it was not allowed to stop."""

from collections.abc import Sequence
from typing import Any

from hsl.errors import StoreError
from hsl.results.audit import audit
from hsl.results.report.evidence import Evidence, Values
from hsl.results.report.structs import Cell, Figure, Panel, Section, Table, shortened, whole
from hsl.results.show.phrases import NOTHING, with_interval
from hsl.wording import count

HEADING = "Audit of early stopping"


def section(evidence: Evidence) -> Section:
    """The section of the audit, or what it lacks."""
    try:
        rows = audit(evidence.snapshot).to_pylist()
    except StoreError:
        rows = []
    pooled = [row for row in rows if row["kind"] and row["cell"] is None]
    if not pooled:
        return Section(
            "stopping", HEADING, missing=("The store has no rungs at which trials were compared.",)
        )
    table = _table(evidence, pooled)
    text = (
        "A rung stops trials of one kind (regime, dense apart from sparse) once those that were trained to the end "
        "have shown that it predicts: from an evidence of 20 on, which a rung that says nothing reaches in at most one "
        "case of 20. "
        "A share of the trials is exempt from early stopping and always trained to the end. A false "
        "stop is an exempt trial that was behind the cut-off and ended better than all that its cell kept; rates "
        "with their 95 % Wilson interval. Regret: what those behind would have added to their cell, on average.",
    )
    known = [row for row in pooled if row["correlation"] is not None]
    if not known:
        lacking = "Too few exempt trials were trained to the end to compare their order at a rung with the final one."
        return Section("stopping", HEADING, text, (), (table,), (lacking,))
    return Section("stopping", HEADING, text, (_figure(known, table),))


def _name(row: Values) -> str:
    return f"{row['kind']}, rung {row['rung']}, epoch {row['epoch']}"


def _figure(known: Sequence[Values], table: Table) -> Figure:
    return Figure(
        name="stopping",
        title=_title(known),
        subtitle="Rank correlation of the order at a rung with the final order, exempt trials within cells",
        caption=(
            "1: the order at the rung is the final one, 0: they are unrelated. Whiskers: 95 % interval (Fisher's z "
            "with the variance of Bonett and Wright). Rungs count epochs at the target sparsity; n: exempt trials that "
            "were trained to the end."
        ),
        panels=(Panel("", tuple(_bar(row) for row in known)),),
        table=table,
        height=32 * len(known) + 24,
    )


def _title(known: Sequence[Values]) -> str:
    lowest = min(known, key=lambda row: row["correlation"])
    wrong, behind = (sum(row[name] or 0 for row in known) for name in ("false_stops", "behind"))
    said = f"; {wrong} of {count(behind, 'exempt trial')} behind a cut-off would have won" if behind else ""
    return (
        f"Rungs predict the final order with a rank correlation of at least {lowest['correlation']:.2f}{said}"
    )


def _correlation(row: Values) -> str:
    if row["correlation"] is None:
        return NOTHING
    return f"{row['correlation']:.2f} [{row['correlation_low']:.2f}, {row['correlation_high']:.2f}]"


def _bar(row: Values) -> dict[str, Any]:
    return {
        "rung": f"{_name(row)} (n={row['exempt']})",
        "rho": round(row["correlation"], 3),
        "low": round(row["correlation_low"], 3),
        "high": round(row["correlation_high"], 3),
        "tip": f"{_correlation(row)}, {count(row['exempt'], 'exempt trial')}",
    }


def _table(evidence: Evidence, rows: Sequence[Values]) -> Table:
    lines = [
        (
            Cell(_name(row), row["rung"]),
            whole(row["entries"]),
            whole(row["stopped"]),
            whole(row["exempt"]),
            Cell(_correlation(row), row["correlation"]),
            Cell(f"{row['false_stops']} of {row['behind']}", row["false_stops"]),
            Cell(with_interval(row["false_stop_rate"], row["false_stop_low"], row["false_stop_high"])),
            Cell(NOTHING if row["regret"] is None else f"{100 * row['regret']:.2f}", row["regret"]),
            Cell(NOTHING if row["evidence"] is None else f"{row['evidence']:.3g}", row["evidence"]),
            Cell("yes" if row["acts"] else "no"),
        )
        for row in rows
    ]
    shown, note = shortened(lines, f"hsl status {evidence.uri}")
    return Table(
        (
            *("rung", "entries", "stopped", "exempt", "rank correlation [95 % CI]"),
            *(
                "false stops of those behind",
                "false-stop rate % [95 % CI]",
                "regret, points",
                "evidence",
                "acts",
            ),
        ),
        shown,
        note,
    )
