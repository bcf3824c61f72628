"""A plan in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from hsl.search.cost import Cost
from hsl.search.plan import Cell, Plan
from hsl.search.progress import duration
from hsl.search.schema import Domain


def document(plan: Plan, costs: Sequence[Cost], speed_is_measured: bool) -> dict[str, Any]:
    """The plan as a JSON-able object.

    Args:
        plan: What would run.
        costs: Cost of each stage.
        speed_is_measured: Whether the time comes from a store's own record instead of a nominal throughput.
    """
    return {
        "name": plan.space.name,
        "cells": [_cell(cell) for cell in plan.cells],
        "left_out": [{"combination": o.combination, "reason": o.reason} for o in plan.omissions],
        "parents": [
            {"id": parent.id, "regime": parent.regime.model_dump(mode="json", exclude_defaults=True)}
            for parent in plan.parents
        ],
        "scores": [
            {"id": scores.id, "score": scores.score, "models": scores.models, "epochs": scores.epochs}
            for scores in plan.scores
        ],
        "stages": [
            {
                "stage": cost.stage,
                "trials": cost.trials,
                "epochs": cost.epochs,
                "passes": cost.passes,
                "core_seconds": cost.core_seconds,
            }
            for cost in costs
        ],
        "time_estimate": "measured" if speed_is_measured else "nominal",
    }


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "levels": cell.levels,
        "baseline": cell.baseline,
        "methods": {name: [d for d in taken if d] for name, taken in cell.distributions.items()},
        "tuned": {axis: _domain(domain) for axis, domain in cell.domains.items()},
        "configurations": cell.configurations,
    }


def _domain(domain: Domain) -> dict[str, Any]:
    return domain.model_dump(mode="json", exclude_none=True)


def show_plan(plan: Plan, costs: Sequence[Cost], speed_is_measured: bool, console: Console) -> None:
    """Print a plan for people."""

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, soft_wrap=True)

    console.print(_cells_table(plan))
    for omission in plan.omissions:
        say(f"left out: {omission.combination}: {omission.reason}", "yellow")
    for scores in plan.scores:
        say(f"needs: {scores.score} scores, the mean over {scores.models} models at epoch {scores.epochs}")
    if plan.parents:
        say(
            f"needs: {len(plan.parents)} trained parents, and those of each fresh seed where a winner starts from one"
        )
    console.print(_costs_table(costs))
    basis = "measured in the store" if speed_is_measured else "nominal, a guess until there is a store"
    say(f"Upper bounds: early stopping only lowers them. Throughput: {basis}.", "dim")


def _cells_table(plan: Plan) -> Table:
    """Cells with the same search share a row."""
    groups: dict[tuple[str, str, int], list[str]] = {}
    for cell in plan.cells:
        tuned = "\n".join(axis for axis in cell.domains if axis != "method")
        groups.setdefault((" ".join(cell.distributions), tuned, cell.configurations), []).append(cell.name)
    trials = f"{plan.search_trials} configurations to search"
    table = Table(title=f"{plan.space.name}: {len(plan.cells)} cells, {trials}", title_justify="left")
    for name in ("cells", "methods", "tuned"):
        table.add_column(name)
    table.add_column("configurations each", justify="right")
    for (methods, tuned, count), names in groups.items():
        table.add_row("\n".join(names), methods, tuned, str(count))
    return table


def _costs_table(costs: Sequence[Cost]) -> Table:
    table = Table("stage", box=None)
    for name in ("trials", "epochs", "million passes", "core time"):
        table.add_column(name, justify="right")
    for cost in costs:
        passes = "unknown" if cost.passes is None else f"{cost.passes / 1e6:.2f}"
        time = "unknown" if cost.core_seconds is None else duration(cost.core_seconds)
        table.add_row(cost.stage, str(cost.trials), str(cost.epochs), passes, time)
    return table
