"""Which configurations of a cell are retrained with fresh seeds."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from hsl.search.jobs import Job
from hsl.search.needs import Needs
from hsl.search.plan import Plan
from hsl.search.schema import SearchSpace
from hsl.training.configuration import Configuration

Row = Mapping[str, Any]


def winners(rows: Iterable[Row], cell: str, top: int) -> list[Row]:
    """The best trials of a cell that were trained to the end, by the objective on validation data."""
    finished = [row for row in rows if row["cell"] == cell and row["status"] == "completed"]
    ranked = [row for row in finished if row["objective"] is not None]
    return sorted(ranked, key=lambda row: (-row["objective"], row["configuration_id"]))[:top]


def confirm_seeds(space: SearchSpace) -> list[int]:
    """Seeds that no trial of the search has used, the same in every cell, so that cells can be paired."""
    return [space.seed + 1 + index for index in range(space.confirm.seeds)]


def confirm_jobs(plan: Plan, rows: list[dict[str, Any]], needs: Needs) -> list[Job]:
    """Jobs of the confirm stage, cell by cell.

    Args:
        plan: The cells, how many configurations and seeds.
        rows: Ended trials of the search.
        needs: Makes the jobs.
    """
    return [
        needs.job(cell, "confirm", configuration, seed, json.loads(row["parameters"]))
        for cell in plan.cells
        for row in winners(rows, cell.name, plan.space.confirm.top)
        for configuration in [Configuration.model_validate_json(row["configuration"])]
        for seed in confirm_seeds(plan.space)
    ]
