"""Accuracy against what training costs: which configurations are worth their operations."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hsl.results.report.evidence import Evidence, Key, Values, key_of
from hsl.results.report.structs import Cell, Figure, Panel, Section, Table, interval, level, number
from hsl.results.show.phrases import INTERVAL, ends, first_panels, listed, named, with_interval
from hsl.results.stats import SHARE, Interval, mean_interval
from hsl.wording import count

HEADING = "Accuracy against training operations"
MAX_POINTS = 60
"""Dominated configurations per panel, the best by validation."""
ROOM = 0.16
"""Distance between two names on a panel, as a share of its width."""

# As `best` averages: completed trials, and of a confirmed configuration those of the confirm stage alone.
_CONFIGURATIONS = """
SELECT * FROM (
  SELECT {settings}, cell, configuration_id, stage = 'confirm' AS confirmed, baseline,
    any_value(method) AS method, any_value(distribution) AS distribution, any_value(sparsity) AS sparsity,
    avg(training_flops) AS flops, avg(objective) AS score,
    list(test_{metric}_accuracy) FILTER (isfinite(test_{metric}_accuracy)) AS tests
  FROM labelled
  WHERE status = 'completed' AND isfinite(objective) AND training_flops > 0
  GROUP BY {settings}, cell, configuration_id, stage, baseline
  QUALIFY row_number() OVER (PARTITION BY cell, configuration_id ORDER BY stage) = 1
) WHERE len(tests) > 0
ORDER BY {settings}, score DESC, cell, configuration_id
"""


def section(evidence: Evidence) -> Section:
    """The section of the figure, or what it lacks."""
    sql = _CONFIGURATIONS.format(settings=evidence.setting_sql, metric=evidence.metric)
    found = evidence.in_order(evidence.rows(sql))
    if all(row["baseline"] for row in found):
        missing = "No completed sparse trial has recorded its operations."
        return Section("cost-accuracy", HEADING, missing=(missing,))
    return Section("cost-accuracy", HEADING, figures=(_figure(evidence, found),))


def front(rows: Sequence[Values]) -> list[Values]:
    """The rows that no other dominates: at least as good on validation for at most as many operations.

    Args:
        rows: With "score" (higher is better) and "flops" (lower is better).

    Returns:
        By rising operations; of equals the first.
    """
    kept: list[Values] = []
    for row in sorted(rows, key=lambda row: (row["flops"], -row["score"])):
        if not kept or row["score"] > kept[-1]["score"]:
            kept.append(row)
    return kept


def _figure(evidence: Evidence, found: Sequence[Values]) -> Figure:
    settings, left_out = first_panels([evidence.setting(row) for row in found])
    panels, listed_rows = [], []
    for name in settings:
        mine = [row for row in found if evidence.setting(row) == name]
        best = front(mine)
        on_front = {key_of(row) for row in best}
        rest = [row for row in mine if key_of(row) not in on_front][:MAX_POINTS]
        names = _names(best)
        drawn = [_point(evidence, row, names) for row in best]
        drawn += [_point(evidence, row, None) for row in rest]
        panels.append(Panel(name, tuple(drawn)))
        listed_rows += best
    return Figure(
        name="pareto",
        title=_title(evidence, found),
        subtitle=(
            f"{evidence.metric.capitalize()} test accuracy of {count(len(found), 'configuration')} against the "
            "operations of training, relative to dense training"
        ),
        caption=(
            "Joined by a line, and named where there is room: configurations that no other beats in validation "
            "objective at no more operations; test accuracy chooses nothing. Filled: mean over confirming seeds, "
            f"whiskers: {INTERVAL}. Hollow: one trial of the search, unconfirmed, so optimistic. Faint: dominated, "
            f"at most {MAX_POINTS} per panel. Operations are counted, parents included, not timed.{left_out}"
        ),
        panels=tuple(panels),
        table=_table(evidence, listed_rows),
        methods=evidence.ordered(row["method"] for row in found),
    )


def _title(evidence: Evidence, found: Sequence[Values]) -> str:
    costs = {key_of(row): row["flops"] for row in found}
    spent = [(costs.get(key_of(row)), row) for row in evidence.champions]
    known = [f"{cost:.2g} times dense in {evidence.setting(row)}" for cost, row in spent if cost is not None]
    return f"Training operations of the best sparse network: {listed(known, 4)}"


def _names(front: Sequence[Values]) -> dict[Key, str]:
    """Configurations to the names that are written at their points: those that have room, the best first."""
    room = ROOM * (math.log(front[-1]["flops"]) - math.log(front[0]["flops"]))
    names: dict[Key, str] = {}
    last = math.inf
    for row in reversed(front):
        place = math.log(row["flops"])
        if last - place >= room:
            last = place
            names[key_of(row)] = "dense" if row["baseline"] else f"{row['method']} {row['sparsity']:g}"
    return names


def _accuracy(evidence: Evidence, row: Values) -> Interval:
    """Test accuracy; its interval only where fresh seeds have confirmed it."""
    found = mean_interval(row["tests"], evidence.level(row), SHARE)
    return found if row["confirmed"] else found._replace(low=None, high=None)


def _point(evidence: Evidence, row: Values, names: Mapping[Key, str] | None) -> dict[str, Any]:
    """A configuration as it is drawn; `names` are those of a front that it is on."""
    found = _accuracy(evidence, row)
    shown = f"{with_interval(*found[:3])} %, {count(found.n, 'seed')}"
    drawn = found if names is not None else found._replace(low=None, high=None)
    return {
        "kind": "dominated" if names is None else "front",
        "confirmed": row["confirmed"],
        "method": row["method"],
        "flops": float(f"{row['flops']:.4g}"),
        **ends(*drawn[:3]),
        "name": (names or {}).get(key_of(row), ""),
        "tip": f"{named(row)} at {row['sparsity']:g}: {shown}, {row['flops']:.3g} times dense",
    }


def _table(evidence: Evidence, rows: Sequence[Values]) -> Table:
    lines = []
    for row in rows:
        found = _accuracy(evidence, row)
        lines.append(
            (
                Cell(evidence.setting(row)),
                Cell(named(row)),
                level(row["sparsity"]),
                number(row["flops"]),
                interval(*found[:3]),
                Cell(str(found.n) if row["confirmed"] else f"{found.n}, unconfirmed", found.n),
            )
        )
    columns = ("configuration", "sparsity", "training operations / dense", "test accuracy % [95 % CI]", "n")
    return evidence.table(columns, lines, f"hsl query {evidence.uri} 'SELECT * FROM trials'")
