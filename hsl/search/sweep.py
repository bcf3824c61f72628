"""Plan -> Ray Tune. The only module that builds a Tuner.

A sweep is idempotent: the store is the truth. What it lacks is trained, and nothing else.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from rich.console import Console

from hsl.errors import StoreError
from hsl.results.columns import TABLES
from hsl.results.store import Store
from hsl.search.compatible import check_continues, space_text
from hsl.search.jobs import Job
from hsl.search.ledger import Ledger
from hsl.search.needs import Needs, objective_of, regime_of
from hsl.search.parents import (
    Library,
    ScoresTask,
    Task,
    describe,
    make_all,
    make_here,
    missing,
    waves,
    with_parts,
)
from hsl.search.plan import make_plan
from hsl.search.preflight import preflight
from hsl.search.progress import CellTally, Progress, Tally
from hsl.search.proposals import CellStudy, Proposal
from hsl.search.resume import Past, read_past, refill, teach
from hsl.search.rungs import Rungs
from hsl.search.runtime import ray_session, scratch_folder, slots
from hsl.search.schema import SearchSpace
from hsl.search.winners import confirm_jobs
from hsl.training import checkpoint
from hsl.training.configuration import digest

MAX_WORKER_LOSSES = 3


@dataclass(frozen=True)
class SweepReport:
    """How a sweep ended.

    Attributes:
        trained: Trials that ended in this run.
        failed: Failed trials in the store, those of earlier runs included.
    """

    trained: int
    failed: int


class Sweep:
    """One run of the driver over one store.

    Args:
        space: What is searched.
        uri: Path or URI of the store.
        console: Where progress is shown.
        address: Address of a Ray cluster; by default this machine.
    """

    def __init__(self, space: SearchSpace, uri: str, console: Console, address: str | None = None) -> None:
        self.space = space
        self.plan = make_plan(space)
        self.store = Store(uri)
        self.library = Library(uri if "://" in uri else str(Path(uri).absolute()))
        self.needs = Needs(self.plan, self.library)
        self._console = console
        self._address = address
        self._trained = 0

    def run(self) -> SweepReport:
        """Train what the store lacks.

        Raises:
            HslError: If the data, the space or the store do not permit it; nothing was started then.
        """
        check_continues(self.store.read_space(), self.space, self.store.uri)
        preflight(self.plan)
        with lease(self.library.root), contextlib.ExitStack() as stack:
            self._describe()
            self._run_search(stack)
            self._run_confirm(stack)
            self._compact()
        failed = sum(row["status"] == "failed" for row in self.store.read("trials").to_pylist())
        return SweepReport(self._trained, failed)

    def _describe(self) -> None:
        self.store.write_space(space_text(self.space))
        known = set(self.store.read("cells")["cell"].to_pylist()) if self.store.exists() else set()
        self.store.append(
            "cells",
            [
                {
                    "cell": cell.name,
                    "regime": regime_of(cell, self.space),
                    "levels": cell.levels,
                    "baseline": cell.baseline,
                    "configurations": cell.configurations,
                    "space_hash": digest(self.space.model_dump(mode="json")),
                }
                for cell in self.plan.cells
                if cell.name not in known
            ],
        )

    def _run_search(self, stack: contextlib.ExitStack) -> None:
        past = read_past(self.store, self.library)
        studies = [CellStudy(self.space, cell) for cell in self.plan.cells]
        teach(studies, past)
        rungs = Rungs(self.space.early_stopping, self.space.training.epochs, self.space.seed)
        refill(rungs, self.store, past, objective_of(self.space))
        queue = self._continued(past)
        if not queue and all(study.is_finished for study in studies):
            return
        planned = {cell.name: cell.configurations for cell in self.plan.cells}
        self._connect(stack)
        self._prepare(self.needs.of_search())
        self._run_stage("search", planned, past, queue, studies, rungs)

    def _run_confirm(self, stack: contextlib.ExitStack) -> None:
        past = read_past(self.store, self.library)
        jobs = confirm_jobs(self.plan, past.stage("search"), self.needs)
        queue = [job for job in jobs if job.trial_id not in past.ended()]
        if not queue:
            return
        self._connect(stack)
        self._prepare(task for job in queue for task in self.needs.of(job.configuration, job.seed))
        self._run_stage("confirm", Counter(job.cell for job in jobs), past, queue, [], Rungs(None, 1, 0))

    def _continued(self, past: Past) -> list[Job]:
        """Jobs of the search that were under way, made anew: the store may have moved, the rungs may differ."""
        cells = {cell.name: cell for cell in self.plan.cells}
        return [
            self.needs.job(cells[job.cell], "search", job.configuration, job.seed, job.parameters)
            for job in past.under_way
            if job.stage == "search" and job.cell in cells
        ]

    def _connect(self, stack: contextlib.ExitStack) -> None:
        import ray  # noqa: PLC0415  most commands do without

        if not ray.is_initialized():
            stack.enter_context(ray_session(self._address))

    def _prepare(self, tasks: Iterable[Task]) -> None:
        """Make the parents and scores that are missing, each after what it is made of."""
        for wave in waves(with_parts(missing(tasks))):
            make_here([task for task in wave if isinstance(task, ScoresTask)], "cpu")  # the means alone
            self._make([task for task in wave if not isinstance(task, ScoresTask)])

    def _make(self, tasks: Sequence[Task]) -> None:
        """Make what does not depend on each other, on as many workers as there is room for."""
        if tasks:
            self._say(f"parents: {len(tasks)} to make, first {describe(tasks[0])}")
            make_all(tasks, self.space.resources.model_dump(), slots(self.space.resources))

    def _proposed(self, study: CellStudy, proposal: Proposal) -> Job:
        configuration, seed = proposal.configuration, self.space.seed
        return self.needs.job(study.cell, "search", configuration, seed, proposal.values)

    def _run_stage(
        self,
        stage: str,
        planned: Mapping[str, int],
        past: Past,
        queue: list[Job],
        studies: list[CellStudy],
        rungs: Rungs,
    ) -> None:
        import ray  # noqa: PLC0415

        from hsl.search.recorder import Recorder  # noqa: PLC0415  imports ray
        from hsl.search.scheduler import StratifiedASHA  # noqa: PLC0415
        from hsl.search.searcher import JobSearcher  # noqa: PLC0415
        from hsl.search.trial import SweepTrial  # noqa: PLC0415

        tally = tally_of(stage, planned, past)
        before = tally.ended
        searcher = JobSearcher(queue, studies, self._proposed)
        progress = Progress(self._console, ray.cluster_resources)
        ledger = Ledger(self.store, rungs.is_exempt, self._forget, tally)
        recorder = Recorder(ledger, progress, searcher.jobs)
        try:
            with progress.showing(tally):
                tune_jobs(SweepTrial, searcher, StratifiedASHA(rungs, searcher.jobs), recorder, self.space)
        finally:
            ledger.close()
            self._trained += tally.ended - before

    def _forget(self, job: Job) -> None:
        """A search trial needs no checkpoint once it is recorded; confirmed networks are kept."""
        if job.stage == "search":
            checkpoint.remove(job.checkpoint)

    def _compact(self) -> None:
        for table in TABLES:
            self.store.compact(table)

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def tally_of(stage: str, planned: Mapping[str, int], past: Past) -> Tally:
    """Counts of a stage, with what earlier runs have ended."""
    tally = Tally(stage, {name: CellTally(planned=count) for name, count in planned.items()})
    for row in past.stage(stage):
        if row["cell"] in tally.cells:
            tally.count(row["cell"], row["status"], row["objective"])
    return tally


def tune_jobs(trainable: Any, searcher: Any, scheduler: Any, recorder: Any, space: SearchSpace) -> None:
    """Let Ray Tune train whatever the searcher hands out."""
    from ray import tune  # noqa: PLC0415

    resources = {"cpu": space.resources.cpu, "gpu": space.resources.gpu}
    with scratch_folder() as folder:
        tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1,
                max_concurrent_trials=slots(space.resources),
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name=space.name,
                storage_path=folder,
                verbose=0,
                callbacks=[recorder],
                failure_config=tune.FailureConfig(max_failures=MAX_WORKER_LOSSES),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        ).fit()


@contextlib.contextmanager
def lease(root: str) -> Iterator[None]:
    """Keep a second driver off a local store.

    Raises:
        StoreError: If another driver has it.
    """
    if "://" in root:
        yield
        return
    Path(root).mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{root}/.lock", blocking=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise StoreError(
            f"another sweep is writing to {root}; wait for it, or use another --store"
        ) from error
    try:
        yield
    finally:
        lock.release()
