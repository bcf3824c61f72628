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
from hsl.search.dominance import ranked, signed
from hsl.space.schema import SearchSpace
from hsl.space.sections import COST_COLUMNS, Confirm
from hsl.store.documents import mapping
from hsl.store.outcomes import Status
from hsl.training.configuration import Configuration

Row = Mapping[str, Any]


def winners(rows: Iterable[Row], cell: str, top: int, against: Sequence[str] = ()) -> list[Row]:
    """At most `top` best trials of a cell that were trained to the end, by the objectives on validation data.

    With further objectives (`against`) the first front comes first, in it the objective decides.
    """
    columns = ["objective", *(COST_COLUMNS[name] for name in against)]
    finished = [row for row in rows if row["cell"] == cell and row["status"] == Status.COMPLETED]
    whole = [row for row in finished if all(row[name] is not None for name in columns)]
    whole.sort(key=lambda row: row["configuration_id"])
    order = ranked([signed([row[name] for name in columns], against) for row in whole])
    return [whole[index] for index in order[:top]]


def confirm_jobs(plan: Plan, rows: Sequence[Row], jobs: Jobs, confirmed: Sequence[Row] = ()) -> list[Job]:
    """Jobs of the confirm stage, cell by cell: those that have ended and those that are known to be needed.

    Args:
        plan: The cells, and the numbers of configurations and seeds.
        rows: Ended trials of the search.
        jobs: Makes the jobs.
        confirmed: Ended trials of the confirm stage.
    """
    chosen = [
        Candidate(cell, row, place)
        for cell in plan.cells
        for place, row in enumerate(winners(rows, cell.name, plan.space.confirm.top, plan.space.against))
    ]
    made: list[Job] = []
    for candidate, count in zip(chosen, seeds_needed(plan.space, chosen, confirmed), strict=True):
        configuration = Configuration.from_stored(candidate.row["configuration"])
        parameters = mapping(candidate.row, "trials", "parameters")
        # No trial of the search has used these seeds; they are the same in every cell, so that cells can be paired.
        first = plan.space.seed + 1
        seeds = range(first, first + min(count, plan.space.confirm.seeds))
        made += [jobs.make(candidate.cell, "confirm", configuration, seed, parameters) for seed in seeds]
    return made


@dataclass(frozen=True)
class Candidate:
    """A configuration of a cell to be confirmed: its trial in the search, its place among those of the cell, from 0."""

    cell: Cell
    row: Row
    place: int

    @property
    def key(self) -> tuple[str, str]:
        """What identifies it among the confirmed trials."""
        return self.cell.name, self.row["configuration_id"]

    @property
    def shared(self) -> str:
        """What it has in common with the dense configuration that it is compared with."""
        return shared_key(self.cell.levels)

    @property
    def is_reference(self) -> bool:
        """Whether it is the dense configuration that others are compared with."""
        return self.cell.baseline and self.place == 0


def seeds_needed(space: SearchSpace, chosen: Sequence[Candidate], confirmed: Sequence[Row]) -> list[int]:
    """The number of seeds that each candidate needs by what is known so far: those it has, or one more.

    Every candidate is tested after `min_seeds` seeds and then after each further one, on validation data. It is
    compared with the best dense configuration of its regime, seed by seed: the same split, the same subset, the
    same initialisation. Dense is trained with as many seeds as those that are compared with it.
    """
    confirm = space.confirm
    if confirm.stop is None or confirm.seeds == 0:
        return [confirm.seeds] * len(chosen)
    found = _by_candidate(confirmed)
    confidence = confidence_of_looks(confirm.looks)
    dense = {one.shared: found.get(one.key, {}) for one in chosen if one.is_reference}
    counts: list[int] = []
    partners: dict[str, int] = {}
    for one in chosen:
        reference = None if one.cell.baseline else dense.get(one.shared)
        counts.append(_needed(confirm, one.cell.baseline, found.get(one.key, {}), reference, confidence))
        partners[one.shared] = max(counts[-1], partners.get(one.shared, 0))
    pairs = zip(chosen, counts, strict=True)
    return [partners[one.shared] if one.is_reference else count for one, count in pairs]


Results = Mapping[int, float | None]
"""Seed to objective; None where the trial failed."""


def _needed(
    confirm: Confirm, baseline: bool, own: Results, reference: Results | None, confidence: float
) -> int:
    """Seeds of one candidate; a failed seed counts as trained but says nothing.

    The results of the dense reference are None for dense itself, and where there is no baseline.
    """
    rule = confirm.stop
    if rule is None or len(own) < confirm.looks[0]:
        return confirm.looks[0]
    if reference is None:
        values, clear = [value for value in own.values() if value is not None], False
        if baseline and rule.width is None:  # it is trained for those that are compared with it
            return len(own)
    else:
        pairs = [(own[seed], reference[seed]) for seed in sorted(own.keys() & reference.keys())]
        values, clear = [a - b for a, b in pairs if a is not None and b is not None], rule.clear
    decided = bool(values) and is_decided(mean_interval(values, confidence), rule.width, clear)
    return len(own) if decided else min(len(own) + 1, confirm.seeds)


def _by_candidate(confirmed: Iterable[Row]) -> dict[tuple[str, str], dict[int, float | None]]:
    found: dict[tuple[str, str], dict[int, float | None]] = {}
    for row in confirmed:
        value = row["objective"] if row["status"] == Status.COMPLETED else None
        found.setdefault((row["cell"], row["configuration_id"]), {})[row["seed"]] = value
    return found
