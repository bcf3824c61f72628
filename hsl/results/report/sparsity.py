"""Accuracy against sparsity: one line per method with the dense reference, one panel per setting."""

from collections.abc import Sequence
from typing import Any

from hsl.results.report.evidence import Evidence, Values
from hsl.results.report.structs import Cell, Figure, Panel, Section, Table, interval, level, shortened
from hsl.results.show.phrases import INTERVAL, ends, first_panels, listed, named, scaled, with_interval
from hsl.wording import count

HEADING = "Accuracy against sparsity"


def section(evidence: Evidence) -> Section:
    """The section of the figure, or what it lacks."""
    sparse = [row for row in evidence.by_method if not row["baseline"] and row["test_mean"] is not None]
    if not sparse:
        return Section("sparsity", HEADING, missing=("No sparse trial was trained to the end.",))
    return Section("sparsity", HEADING, figures=(_figure(evidence, sparse),))


def _figure(evidence: Evidence, sparse: Sequence[Values]) -> Figure:
    dense = [row for row in evidence.winners if row["baseline"] and row["test_mean"] is not None]
    settings, left_out = first_panels([evidence.setting(row) for row in sparse])
    levels = [f"{value:g}" for value in sorted({row["sparsity"] for row in sparse})]
    confirmed = sum(row["confirmed"] for row in sparse)
    drawn = [(evidence.setting(row), _point(row)) for row in sparse]
    drawn += [(evidence.setting(row), {**_point(row), "kind": "dense"}) for row in dense]
    return Figure(
        name="sparsity",
        title=_title(evidence, sparse, levels),
        subtitle=(
            f"{evidence.metric.capitalize()} test accuracy of every method's best configuration by validation; "
            f"{confirmed} of {count(len(sparse), 'point')} confirmed with fresh seeds"
        ),
        caption=(
            f"Filled marks with whiskers: mean over the seeds of the confirm stage and its {INTERVAL}. Hollow marks: "
            "one trial of the search, not confirmed, no interval. Dashed line and band: dense network of the same "
            f"{evidence.noun}, tuned under the same budget, with its {INTERVAL}. Trials that were stopped "
            f"early are not in it. Every panel has its own scale of accuracy.{left_out}"
        ),
        panels=tuple(
            Panel(name, tuple(row for setting, row in drawn if setting == name)) for name in settings
        ),
        table=_table(evidence, [*dense, *sparse]),
        methods=evidence.ordered(row["method"] for row in [*sparse, *dense]),
        scales={"sparsities": levels},
    )


def _title(evidence: Evidence, sparse: Sequence[Values], levels: Sequence[str]) -> str:
    if len(levels) == 1:
        return f"Methods at sparsity {levels[0]}, relative to dense"
    found = [f"{row['sparsity']:g} in {evidence.setting(row)}" for row in evidence.champions]
    return f"Validation prefers sparsity {listed(found, 4)}"


def _point(row: Values) -> dict[str, Any]:
    n = f"mean of {row['seeds']} seeds" if row["confirmed"] else "unconfirmed, one seed"
    found = [row[name] for name in ("test_mean", "test_low", "test_high")]
    return {
        "kind": "confirmed" if row["confirmed"] else "unconfirmed",
        "method": row["method"],
        "sparsity": f"{row['sparsity']:g}",
        **ends(*found),
        "top": scaled(row["test_mean"] if row["test_high"] is None else row["test_high"]),
        "tip": f"{named(row)} {row['parameters']}: {with_interval(*found)} %, {n}",
    }


def _table(evidence: Evidence, rows: Sequence[Values]) -> Table:
    lines = [
        (
            Cell(evidence.setting(row)),
            level(row["sparsity"]),
            Cell(named(row)),
            interval(row["test_mean"], row["test_low"], row["test_high"]),
            Cell(str(row["seeds"]) if row["confirmed"] else "1, unconfirmed", row["seeds"]),
        )
        for row in rows
    ]
    shown, note = shortened(lines, f"hsl best {evidence.uri} --by regime,sparsity,method")
    return Table(("setting", "sparsity", "configuration", "test accuracy % [95 % CI]", "n"), shown, note)
