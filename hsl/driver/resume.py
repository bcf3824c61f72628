"""The state of a sweep, read back from its store: what has ended, what was under way, what the rungs have seen."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from hsl.driver.session import halted_jobs
from hsl.driver.under_way import checkpointed
from hsl.planning.job import ORIGIN, History, Identity, Inputs, Job
from hsl.search.outcome import Outcome
from hsl.search.turns import Known
from hsl.stopping.rule import StoppingRule
from hsl.store.documents import mapping
from hsl.store.layout import Library
from hsl.store.outcomes import Status, is_paused
from hsl.store.store import Store
from hsl.training.configuration import Configuration

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Past:
    """The state that earlier runs of a sweep have left.

    Attributes:
        trials: Rows of ended trials, in the order in which they ended.
        epochs: The epochs table, in the order of arrival.
        under_way: Jobs of trials that have begun but have no end.
        next_sequence: The number that follows all recorded ones.
    """

    trials: list[dict[str, Any]]
    epochs: pa.Table
    under_way: list[Job]
    next_sequence: int

    def ended(self) -> set[str]:
        """Ids of ended trials."""
        return {row["trial_id"] for row in self.trials}

    def identities(self, stage: str) -> list[Identity]:
        """Trials of one stage that are under way."""
        return [job.identity for job in self.under_way if job.identity.stage == stage]

    def numbers(self) -> dict[str, dict[int, int]]:
        """Sequence numbers of stored epochs, by trial and epoch, of trials that are under way or wait at a rung."""
        goes_on = {job.trial_id for job in self.under_way}
        goes_on |= {row["trial_id"] for row in self.trials if is_paused(row)}
        is_there = pc.is_in(self.epochs["trial_id"], pa.array(sorted(goes_on), pa.string()))
        found: dict[str, dict[int, int]] = {}
        for row in self.epochs.filter(is_there).select(["trial_id", "epoch", "sequence"]).to_pylist():
            found.setdefault(row["trial_id"], {})[row["epoch"]] = row["sequence"]
        return found

    def stage(self, stage: str) -> list[dict[str, Any]]:
        """Ended trials of one stage."""
        return [row for row in self.trials if row["stage"] == stage]


def read_past(store: Store, library: Library) -> Past:
    """Read the store and its checkpoints; of a job that was found twice the last record, with the larger losses."""
    table, epochs = store.read("trials"), store.read("epochs")
    trials = table.to_pylist()
    ended = {row["trial_id"] for row in trials}
    jobs: dict[str, Job] = {}
    for job in (*halted_jobs(store), *(job for job, _ in checkpointed(library, ended))):
        if job.trial_id not in ended:
            jobs[job.trial_id] = with_history_of(job, jobs.get(job.trial_id))
    last = (pc.max(rows["sequence"]).as_py() for rows in (table, epochs))
    following = max((number + 1 for number in last if number is not None), default=0)
    return Past(trials, epochs, list(jobs.values()), following)


def with_history_of(job: Job, other: Job | None) -> Job:
    """A job, with the losses of another record of it where these are more."""
    if other is None:
        return job
    return job.model_copy(update={"history": job.history.with_most_of(other.history)})


def with_failed_again(past: Past, stage: str, library: Library) -> Past:
    """The past as if the failed trials of a stage had not ended yet."""
    failed = [row for row in past.stage(stage) if row["status"] == Status.FAILED]
    ids = {row["trial_id"] for row in failed}
    trials = [row for row in past.trials if row["trial_id"] not in ids]
    under_way = [*past.under_way, *(job_of(row, library) for row in failed)]
    return replace(past, trials=trials, under_way=under_way)


def job_of(row: Row, library: Library) -> Job:
    """The job of a trial by its row; what the plan adds to it follows when it is made again."""
    names = ("trial_id", "seed", "cell", "regime", "stage")
    origin: dict[str, Any] = {name: row.get(name) for name in ORIGIN}
    identity = Identity(
        configuration=Configuration.from_stored(row["configuration"]),
        parameters=mapping(row, "trials", "parameters"),
        **{name: row[name] for name in names},
        **origin,
    )
    history = History(losses=row.get("losses") or 0, repeated_epochs=row.get("repeated_epochs") or 0)
    inputs = Inputs(checkpoint=library.checkpoint(row["trial_id"]))
    return Job(identity=identity, inputs=inputs, history=history)


def known(past: Past) -> list[Known]:
    """The proposals of a search that have ended or are under way."""
    ended = [
        Known(
            **_proposal(row),
            values=mapping(row, "trials", "parameters"),
            configuration_id=row["configuration_id"],
            has_ended=True,
            outcome=None if is_paused(row) else Outcome.of(Status(row["status"]), row, row["reason"]),
        )
        for row in past.stage("search")
    ]
    running = [
        Known(**_proposal(own.model_dump()), values=own.parameters, configuration_id=own.configuration.id)
        for own in past.identities("search")
    ]
    return [*ended, *running]


def _proposal(row: Row) -> dict[str, Any]:
    return {"cell": row["cell"], "number": row["proposal"], "turn": row.get("turn"), "seen": row.get("seen")}


def refill(rule: StoppingRule, past: Past, objectives: Mapping[str, str]) -> None:
    """Enter all recorded epochs of the search stage, and how its trials ended, in their order of arrival.

    Only cells with an objective, the metric that is maximised, are entered.
    """
    searched = [row for row in past.stage("search") if row["cell"] in objectives]
    ends = [row for row in searched if row["status"] != Status.STOPPED]
    known = {row["trial_id"] for row in searched}
    known |= {own.trial_id for own in past.identities("search") if own.cell in objectives}
    for row in searched:
        rule.admit(row["trial_id"], row.get("turn"), row.get("seen"))
    for own in past.identities("search"):
        rule.admit(own.trial_id, own.turn, own.seen)
    names = ["sequence", "trial_id", "cell", "epoch", "epochs_at_target", *sorted(set(objectives.values()))]
    epochs = [row for row in past.epochs.select(names).to_pylist() if row["trial_id"] in known]
    for row in sorted([*epochs, *ends], key=lambda row: row["sequence"]):
        if "status" in row:
            rule.end(row["cell"], row["trial_id"], failed=row["status"] == Status.FAILED)
        else:
            rule.report(row["cell"], row["trial_id"], row, objectives[row["cell"]])
