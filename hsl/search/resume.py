"""The state of a sweep, read back from its store: what has ended, what was under way, what the rungs have seen."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from hsl.results.store import Store
from hsl.search.jobs import NOT_PROMOTED, Job
from hsl.search.parents import Library
from hsl.search.proposals import CellStudy, Outcome
from hsl.search.rungs import Judge
from hsl.search.session import halted_jobs
from hsl.search.settings import COST_COLUMNS
from hsl.search.under_way import checkpointed

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Past:
    """What earlier runs of a sweep left.

    Attributes:
        trials: Rows of ended trials, in the order in which they ended.
        epochs: The epochs table, in the order of arrival.
        under_way: Jobs of trials that have begun but have no end.
    """

    trials: list[dict[str, Any]]
    epochs: pa.Table
    under_way: list[Job]

    def ended(self) -> set[str]:
        """Ids of ended trials."""
        return {row["trial_id"] for row in self.trials}

    @property
    def next_sequence(self) -> int:
        """The number that follows all recorded ones."""
        last = max((row["sequence"] for row in self.trials), default=-1)
        return max(last, pc.max(self.epochs["sequence"]).as_py() or -1) + 1

    def stage(self, stage: str) -> list[dict[str, Any]]:
        """Ended trials of one stage."""
        return [row for row in self.trials if row["stage"] == stage]


def read_past(store: Store, library: Library) -> Past:
    """Read the store and the checkpoints beside it."""
    trials = store.read("trials").to_pylist()
    ended = {row["trial_id"] for row in trials}
    found = [*_halted(store), *(job for job, _ in checkpointed(library, ended))]
    jobs = {job.trial_id: job for job in found if job.trial_id not in ended}
    return Past(trials, store.read("epochs"), list(jobs.values()))


def _halted(store: Store) -> Iterator[Job]:
    """What earlier runs had under way; not all of it has come as far as a checkpoint."""
    for content in halted_jobs(store):
        with contextlib.suppress(ValidationError):  # of a version that knows other jobs
            yield Job.model_validate(content)


def teach(studies: Iterable[CellStudy], past: Past) -> None:
    """Feed the studies what has ended and what is still under way, in the order in which it was proposed.

    What an older version recorded has no number; it comes last, in the order of arrival.
    """
    by_cell = {study.cell.name: study for study in studies}
    ended = [
        (row["proposal"], row["cell"], json.loads(row["parameters"]), row["configuration_id"], row)
        for row in past.stage("search")
    ]
    running = [
        (job.proposal, job.cell, job.parameters, job.configuration.id, None)
        for job in past.under_way
        if job.stage == "search"
    ]
    known = [*ended, *running]
    for number, cell, values, configuration_id, row in sorted(known, key=lambda item: _order(item[0])):
        if study := by_cell.get(cell):
            study.remember(values, configuration_id, number)
            if row:
                _tell(study, row)


def _tell(study: CellStudy, row: Row) -> None:
    """How the trial of a row ended; one that waits at a rung may still go on."""
    if row["reason"] == NOT_PROMOTED:
        study.pause(row["configuration_id"])
        return
    against = {name: row.get(column) for name, column in COST_COLUMNS.items()}
    study.tell(row["configuration_id"], Outcome(row["status"], row["epochs"], row["objective"], against))


def _order(number: int | None) -> float:
    return math.inf if number is None else number


def refill(judge: Judge, past: Past, objectives: Mapping[str, str]) -> None:
    """Enter all recorded epochs of the search stage, and how its trials ended, in their order of arrival.

    Args:
        judge: Where to.
        past: What is recorded.
        objectives: Name of the metric that is maximised, by cell; of other cells nothing is entered.
    """
    searched = [row for row in past.stage("search") if row["cell"] in objectives]
    ends = [row for row in searched if row["status"] != "stopped"]
    known = {row["trial_id"] for row in searched}
    known |= {job.trial_id for job in past.under_way if job.stage == "search" and job.cell in objectives}
    names = ["sequence", "trial_id", "cell", "epoch", "epochs_at_target", *sorted(set(objectives.values()))]
    epochs = [row for row in past.epochs.select(names).to_pylist() if row["trial_id"] in known]
    for row in sorted([*epochs, *ends], key=lambda row: row["sequence"]):
        if "status" in row:
            judge.end(row["cell"], row["trial_id"], failed=row["status"] == "failed")
        else:
            judge.report(row["cell"], row["trial_id"], row, objectives[row["cell"]])
