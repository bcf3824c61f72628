"""Which configurations of a cell are retrained with fresh seeds, and how many seeds they need."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hsl.driver.jobs import Jobs
from hsl.planning.job import Job
from hsl.planning.plan import Cell, Plan
from hsl.results.dense import shared_key
from hsl.results.sequential import confidence_of_looks, is_decided
from hsl.results.stats import mean_interval
from hsl.search.dominance import ranked
from hsl.space.schema import SearchSpace
from hsl.space.sections import COST_COLUMNS, DIRECTIONS, Confirm
from hsl.store.documents import mapping
from hsl.store.outcomes import Status
from hsl.training.configuration import Configuration

Row = Mapping[str, Any]


def winners(rows: Iterable[Row], cell: str, top: int, against: Sequence[str] = ()) -> list[Row]:
    """The best trials of a cell that were trained to the end, by the objectives on validation data.

    Args:
        rows: Ended trials of the search.
        cell: Name of the cell.
        top: How many, at most.
        against: Further objectives: the first front comes first, in it the objective decides.
    """
    finished = [row for row in rows if row["cell"] == cell and row["status"] == Status.COMPLETED]
    whole = [row for row in finished if None not in _objectives(row, against)]
    whole.sort(key=lambda row: row["configuration_id"])
    order = ranked([tuple(_signed(row, against)) for row in whole])
    return [whole[index] for index in order[:top]]


def _objectives(row: Row, against: Sequence[str]) -> list[float | None]:
    return [row["objective"], *(row[COST_COLUMNS[name]] for name in against)]


def _signed(row: Row, against: Sequence[str]) -> list[float]:
    signs = [1, *(1 if DIRECTIONS[name] == "maximize" else -1 for name in against)]
    return [
        sign * value
        for sign, value in zip(signs, _objectives(row, against), strict=True)
        if value is not None
    ]


def confirm_seeds(space: SearchSpace) -> list[int]:
    """Seeds that no trial of the search has used, the same in every cell, so that cells can be paired."""
    return [space.seed + 1 + index for index in range(space.confirm.seeds)]


def confirm_jobs(plan: Plan, rows: Sequence[Row], jobs: Jobs, confirmed: Sequence[Row] = ()) -> list[Job]:
    """Jobs of the confirm stage, cell by cell: those that have ended and those that are known to be needed.

    Args:
        plan: The cells, how many configurations and seeds.
        rows: Ended trials of the search.
        jobs: Makes the jobs.
        confirmed: Ended trials of the confirm stage.
    """
    chosen = [
        Candidate(cell, row, place)
        for cell in plan.cells
        for place, row in enumerate(winners(rows, cell.name, plan.space.confirm.top, plan.space.against))
    ]
    counts = seeds_needed(plan.space, chosen, confirmed)
    return [
        jobs.make(
            candidate.cell, "confirm", configuration, seed, mapping(candidate.row, "trials", "parameters")
        )
        for candidate, count in zip(chosen, counts, strict=True)
        for configuration in [Configuration.from_stored(candidate.row["configuration"])]
        for seed in confirm_seeds(plan.space)[:count]
    ]


@dataclass(frozen=True)
class Candidate:
    """A configuration to be confirmed.

    Attributes:
        cell: Its cell.
        row: Its trial in the search.
        place: Its place among those of the cell, from 0.
    """

    cell: Cell
    row: Row
    place: int


def seeds_needed(space: SearchSpace, chosen: Sequence[Candidate], confirmed: Sequence[Row]) -> list[int]:
    """How many seeds each candidate needs by what is known so far: those it has, or one more.

    Every candidate is looked at after `min_seeds` seeds and then after each further one, on validation data. It is
    compared with the best dense configuration of its regime, seed by seed: the same split, the same subset, the
    same initialisation. Dense is trained with as many seeds as those that are compared with it.
    """
    confirm = space.confirm
    if confirm.stop is None or confirm.seeds == 0:
        return [confirm.seeds] * len(chosen)
    found = _by_candidate(confirmed)
    confidence = confidence_of_looks(confirm.looks)
    dense = {shared_key(c.cell.levels): c for c in chosen if c.cell.baseline and c.place == 0}
    counts = [
        _needed(
            space.confirm, c.cell.baseline, found.get(_key(c), {}), _reference(c, dense, found), confidence
        )
        for c in chosen
    ]
    partners: dict[str, int] = {}
    for candidate, count in zip(chosen, counts, strict=True):
        shared = shared_key(candidate.cell.levels)
        partners[shared] = max(count, partners.get(shared, 0))
    return [
        partners[shared_key(c.cell.levels)] if c.cell.baseline and c.place == 0 else count
        for c, count in zip(chosen, counts, strict=True)
    ]


Results = Mapping[int, float | None]
"""Seed to objective; None where the trial failed."""


def _needed(
    confirm: Confirm, baseline: bool, own: Results, reference: Results | None, confidence: float
) -> int:
    """Seeds of one candidate; a failed seed counts as trained but says nothing."""
    rule = confirm.stop
    if rule is None or len(own) < confirm.looks[0]:
        return confirm.looks[0]
    if reference is None:
        values = [value for value in own.values() if value is not None]
        decided = _holds(values, rule.width, False, confidence)
        content = baseline and rule.width is None  # it is trained for those that are compared with it
        return len(own) if decided or content else min(len(own) + 1, confirm.seeds)
    pairs = [(own[seed], reference[seed]) for seed in sorted(own.keys() & reference.keys())]
    differences = [a - b for a, b in pairs if a is not None and b is not None]
    decided = _holds(differences, rule.width, rule.clear, confidence)
    return len(own) if decided else min(len(own) + 1, confirm.seeds)


def _holds(values: Sequence[float], width: float | None, clear: bool, confidence: float) -> bool:
    return bool(values) and is_decided(mean_interval(list(values), confidence), width, clear)


def _reference(
    candidate: Candidate, dense: Mapping[str, Candidate], found: Mapping[tuple[str, str], Results]
) -> Results | None:
    """Results of what a candidate is compared with; None for dense itself, and where there is no baseline."""
    other = dense.get(shared_key(candidate.cell.levels))
    if candidate.cell.baseline or other is None:
        return None
    return found.get(_key(other), {})


def _by_candidate(confirmed: Iterable[Row]) -> dict[tuple[str, str], dict[int, float | None]]:
    found: dict[tuple[str, str], dict[int, float | None]] = {}
    for row in confirmed:
        value = row["objective"] if row["status"] == Status.COMPLETED else None
        found.setdefault((row["cell"], row["configuration_id"]), {})[row["seed"]] = value
    return found


def _key(candidate: Candidate) -> tuple[str, str]:
    return candidate.cell.name, candidate.row["configuration_id"]
