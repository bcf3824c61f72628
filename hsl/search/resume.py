"""The state of a sweep, read back from its store: what has ended, what was under way, what the rungs have seen."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import fs
from pydantic import ValidationError

from hsl.errors import StoreError
from hsl.results.files import open_filesystem
from hsl.results.store import Store
from hsl.search.jobs import NOT_PROMOTED, Job
from hsl.search.parents import Library
from hsl.search.proposals import CellStudy, Outcome
from hsl.search.rungs import Judge

LOG = logging.getLogger(__name__)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Past:
    """What earlier runs of a sweep left.

    Attributes:
        trials: Rows of ended trials, in the order in which they ended.
        epochs: The epochs table, in the order of arrival.
        under_way: Jobs of trials that have a checkpoint but no end.
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
    return Past(trials, store.read("epochs"), list(_checkpointed(library, ended)))


def _checkpointed(library: Library, ended: Set[str]) -> Iterator[Job]:
    from hsl.training import checkpoint  # noqa: PLC0415  imports torch: only where checkpoints are

    filesystem, root = open_filesystem(library.root)
    selector = fs.FileSelector(f"{root}/checkpoints", allow_not_found=True)
    for info in sorted(filesystem.get_file_info(selector), key=lambda info: info.path):
        trial_id, _, suffix = info.base_name.rpartition(".")
        if suffix != "safetensors" or trial_id in ended:
            continue
        uri = library.checkpoint(trial_id)
        try:
            state = checkpoint.read(uri)
            yield Job.model_validate((state or {})["job"])
        except (StoreError, KeyError, ValidationError) as error:
            LOG.warning("%s is not used: %s", uri, error)


def teach(studies: Iterable[CellStudy], past: Past) -> None:
    """Feed the studies what has ended, in the order in which it did, and what is still under way."""
    by_cell = {study.cell.name: study for study in studies}
    for row in past.stage("search"):
        if study := by_cell.get(row["cell"]):
            study.remember(json.loads(row["parameters"]), row["configuration_id"])
            if row["reason"] != NOT_PROMOTED:
                study.tell(row["configuration_id"], Outcome(row["status"], row["epochs"], row["objective"]))
    for job in past.under_way:
        if job.stage == "search" and job.cell in by_cell:
            by_cell[job.cell].remember(job.parameters, job.configuration.id)


def refill(judge: Judge, past: Past, objective: str) -> None:
    """Enter all recorded epochs of the search stage, and how its trials ended, in their order of arrival."""
    ends = {row["trial_id"]: row for row in past.stage("search") if row["status"] != "stopped"}
    known = {row["trial_id"] for row in past.stage("search")}
    known |= {job.trial_id for job in past.under_way if job.stage == "search"}
    names = ["sequence", "trial_id", "cell", "epoch", "epochs_at_target", objective]
    epochs = [row for row in past.epochs.select(names).to_pylist() if row["trial_id"] in known]
    for row in sorted([*epochs, *ends.values()], key=lambda row: row["sequence"]):
        if "status" in row:
            judge.end(row["cell"], row["trial_id"], failed=row["status"] == "failed")
        else:
            judge.report(row["cell"], row["trial_id"], row, objective)
