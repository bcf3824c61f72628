"""A plan in words and numbers."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from hsl.planning.budgets import Forecast
from hsl.planning.cluster_cost import Offers
from hsl.planning.cost import Cost
from hsl.planning.neighbours import neighbours
from hsl.planning.plan import Cell, Plan
from hsl.planning.sampling import notes, record, sampler_of
from hsl.wording import amount, duration


def document(
    plan: Plan,
    costs: Sequence[Cost],
    budgets: Sequence[Forecast],
    speed_is_measured: bool,
    offers: Offers | None = None,
) -> dict[str, Any]:
    """The plan as a JSON-able object; its times are based on the throughput in a store, or on a nominal one."""
    return {
        "name": plan.space.name,
        "cells": [_cell(cell, plan) for cell in plan.cells],
        "notes": notes(plan.space, plan.cells),
        "left_out": [asdict(omission) for omission in plan.omissions],
        "parents": [
            {"id": parent.id, "regime": parent.regime.model_dump(mode="json", exclude_defaults=True)}
            for parent in plan.parents
        ],
        "scores": [
            {"id": scores.id, "score": scores.score, "models": scores.models, "epochs": scores.epochs}
            for scores in plan.scores
        ],
        "stages": [asdict(cost) for cost in costs],
        "budgets": [asdict(budget) for budget in budgets],
        "time_estimate": "measured" if speed_is_measured else "nominal",
        **({"cluster": asdict(offers)} if offers else {}),
    }


def _cell(cell: Cell, plan: Plan) -> dict[str, Any]:
    return {
        "cell": cell.name,
        "levels": cell.levels,
        "baseline": cell.baseline,
        "methods": {name: [d for d in taken if d] for name, taken in cell.distributions.items()},
        "tuned": {axis: d.model_dump(mode="json", exclude_none=True) for axis, d in cell.domains.items()},
        "configurations": cell.configurations,
        "sampler": record(sampler_of(plan.space, cell)),
        **({"starts_from": [c.name for c in neighbours(cell, plan)]} if plan.space.warm_start else {}),
    }


def show_plan(
    plan: Plan,
    costs: Sequence[Cost],
    budgets: Sequence[Forecast],
    speed_is_measured: bool,
    console: Console,
    offers: Offers | None = None,
) -> None:
    """Print a plan for people."""

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, highlight=False, soft_wrap=True)

    console.print(_cells_table(plan))
    for omission in plan.omissions:
        say(f"left out: {omission.combination}: {omission.reason}", "yellow")
    for note in notes(plan.space, plan.cells):
        say(f"sampler: {note}", "yellow")
    for scores in plan.scores:
        say(f"needs: {scores.score} scores, the mean over {scores.models} models at epoch {scores.epochs}")
    if plan.parents:
        count = len(plan.parents)
        say(f"needs: {count} trained parents, and those of each fresh seed if a winner starts from one")
    console.print(_costs_table(costs))
    if offers:
        console.print(_offers_table(offers))
        say(_offers_line(offers))
    for budget in budgets:
        say(*_budget_line(budget))
    basis = "measured in the store" if speed_is_measured else "nominal, a guess until there is a store"
    say(f"Upper bounds: early stopping only lowers them. Throughput: {basis}.", "dim")


def _offers_table(offers: Offers) -> Table:
    """One row for each type of node that can run a trial."""
    table = Table("node type", "machine", box=None)
    for name in ("trials each", "nodes", "at once", "time", "cost", "on demand"):
        table.add_column(name, justify="right")
    for offer in offers.of_types:
        time = "unknown" if offer.seconds is None else duration(offer.seconds)
        costs = ["unknown" if cost is None else f"{cost:.2f}" for cost in (offer.cost, offer.on_demand_cost)]
        counts = [str(count) for count in (offer.trials_per_node, offer.nodes, offer.trials)]
        table.add_row(offer.node_type, offer.machine, *counts, time, *costs)
    return table


def _offers_line(offers: Offers) -> str:
    dates = sorted({offer.priced_on for offer in offers.of_types if offer.priced_on})
    priced = f" Prices: those of the file, of {', '.join(dates)}." if dates else ""
    return (
        f"{offers.source}: {offers.trials} trials at once on at most {offers.most} nodes. All nodes are taken to be "
        f"equally fast, full, and present from the start; the head and its storage are not counted.{priced}"
    )


def _budget_line(budget: Forecast) -> tuple[str, str]:
    """A budget in words, and the style of the line."""
    bound = "at most" if budget.budget == "epochs" else "about"
    needed = "unknown" if budget.needed is None else f"{bound} {amount(budget.budget, budget.needed)}"
    limit = "" if budget.limit is None else f", limit {amount(budget.budget, budget.limit)}"
    spent = f", spent so far {amount(budget.budget, budget.spent)}" if budget.spent else ""
    line = f"{budget.budget}: {needed}{limit}{spent}"
    warning = "the sweep may stop before everything is trained, and continue when it is raised"
    return (f"{line}; {warning}", "yellow") if budget.ends_early else (line, "")


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
