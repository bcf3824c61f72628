"""The sections of a report, in the order of the page."""

from collections.abc import Sequence

from hsl.results.report import (
    compute,
    deciles,
    layerwise,
    learning_curves,
    origin,
    parameters,
    pareto,
    sparsity,
    stopping,
    winners,
)
from hsl.results.report.evidence import Evidence, gather
from hsl.results.report.significance import compare_winners
from hsl.results.report.structs import Report
from hsl.results.report.style import palette
from hsl.results.show.phrases import listed
from hsl.wording import count, duration


def make_report(uri: str, metric: str | None = None, methods: Sequence[str] = ()) -> Report:
    """Everything that a report of a store shows, as plain values; parameters and errors are those of `gather`."""
    evidence = gather(uri, metric, methods)
    stored = {row["method"] for row in evidence.rows("SELECT DISTINCT method FROM labelled")}
    compared = compare_winners(evidence, evidence.winners)
    others = (sparsity, layerwise, pareto, deciles, learning_curves, stopping, parameters, compute, origin)
    return Report(
        title=str(evidence.space.get("name") or evidence.snapshot.uri),
        finding=winners.finding(evidence, compared),
        facts=_facts(evidence),
        sections=(
            winners.section(evidence, compared),
            *(module.section(evidence) for module in others),
        ),
        palette=palette(evidence.methods, stored),
    )


_FACTS = """
SELECT count(*) AS trials, count(*) FILTER (status = 'completed') AS completed,
  count(*) FILTER (status = 'stopped') AS stopped, count(*) FILTER (status = 'failed') AS failed,
  count(DISTINCT cell) AS cells, coalesce(sum(seconds), 0) AS seconds,
  list(DISTINCT dataset ORDER BY dataset) AS datasets,
  list(DISTINCT model ORDER BY model) AS models, max(ended_at) AS ended FROM labelled
"""


def _facts(evidence: Evidence) -> tuple[tuple[str, str], ...]:
    found = evidence.rows(_FACTS)[0]
    facts = {
        "data set": listed(found["datasets"]),
        "model": listed(found["models"]),
        "cells": f"{found['cells']:,}",
        "trials": count(found["trials"], "trial"),
        "completed / stopped early / failed": f"{found['completed']:,} / {found['stopped']:,} / {found['failed']:,}",
        "training time": duration(found["seconds"]),
        "last result": f"{found['ended']:%Y-%m-%d %H:%M} UTC" if found["ended"] else "",
    }
    return tuple((label, value) for label, value in facts.items() if value)
