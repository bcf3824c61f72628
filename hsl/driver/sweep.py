"""Plan -> store, stage by stage.

A sweep is idempotent: the store is the truth. What it lacks is trained, and nothing else.
"""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console

from hsl.cluster.fleet import Fleet
from hsl.driver import ledger
from hsl.driver.events import Ended
from hsl.driver.garbage import collect_garbage
from hsl.driver.interruptions import OutOfMemory
from hsl.driver.jobs import Jobs
from hsl.driver.session import Session
from hsl.driver.stages import Stage, Stages
from hsl.driver.supply import Supply
from hsl.driver.survey import set_price
from hsl.driver.tune.ray import check_interrupted, is_connected, on_fleet, ray_session, slots
from hsl.driver.tune.trackers import check_trackers
from hsl.driver.watch.optuna import Mirror
from hsl.driver.watch.progress import tally_of
from hsl.errors import HslError
from hsl.filesystems import absolute
from hsl.planning.job import Job
from hsl.planning.plan import make_plan
from hsl.prepare.parents import Task
from hsl.prepare.preflight import preflight
from hsl.prepare.selections import of_plan, try_selections
from hsl.prepare.workers import prepare
from hsl.provenance import redact_known
from hsl.reasons import causes, in_one_line, out_of_memory
from hsl.search.study import CellStudy, Proposal
from hsl.search.turns import Turns
from hsl.space.checks import check_priced
from hsl.space.schema import SearchSpace
from hsl.space.stored import check_continues, space_text
from hsl.store import checkpoints
from hsl.store.files import reported
from hsl.store.layout import CHECKPOINTS, Library
from hsl.store.lease import lease
from hsl.store.outcomes import Status
from hsl.store.store import Store

if TYPE_CHECKING:
    from hsl.driver.tune.tuner import Tuning

MAX_DRIVER_FAILURES = 3
"""How often in a row, without a trial ended, the driver starts again from the store after Ray's controller failed."""


@dataclass(frozen=True)
class SweepReport:
    """How a sweep ended.

    Attributes:
        trained: Trials that ended in this run.
        failed: Failed trials in the store, those of earlier runs included.
        left: Which budget was spent and what it left, in words; None if everything was trained.
        ended: Trials in the store.
        completed: Those of them that were trained to the end.
        reasons: Why trials failed, in one line each -> how many for it, the most frequent first.
    """

    trained: int
    failed: int
    left: str | None = None
    ended: int = 0
    completed: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)


class Sweep:
    """One run of the driver over one store.

    Args:
        space: The search space.
        uri: Path or URI of the store.
        console: Where progress is shown.
        address: Address of a Ray cluster; by default this machine.
        optuna_storage: URL of an Optuna storage that shows the studies; by default none.
        retry_failed: Whether trials that failed in earlier runs are trained again.
        trackers: Names of trackers that receive every epoch.
        fleet: What the cluster can grow to, where that is known.
    """

    def __init__(
        self,
        space: SearchSpace,
        uri: str,
        console: Console,
        address: str | None = None,
        optuna_storage: str | None = None,
        *,
        retry_failed: bool = False,
        trackers: Sequence[str] = (),
        fleet: Fleet | None = None,
    ) -> None:
        check_trackers(trackers)
        check_priced(space, fleet)
        self.space = space
        self._there = on_fleet(space, fleet)
        self.plan = make_plan(space)
        self.store = Store(uri)
        self.library = Library(absolute(uri))
        self.jobs = Jobs(self.plan, self.library)
        self._console = console
        self._address = address
        self._trackers = dict.fromkeys(trackers)
        self._mirror = Mirror(optuna_storage, space, self.library.root) if optuna_storage else None
        self.stages = Stages(self.plan, self.store, self.library, self.jobs, self._mirror, retry_failed)
        self._trained = 0
        self._failed = 0
        self._left: str | None = None
        self._warned: set[str] = set()
        self._check_lease: Callable[[], None] = lambda: None
        self._out_of_memory = OutOfMemory()
        self._tuning: Tuning | None = None

    def run(self) -> SweepReport:
        """Train what the store lacks.

        Raises:
            HslError: If the data, the space or the store do not permit it; nothing was started then.
        """
        check_continues(self.store.read_space(), self.space, self.store.uri)
        preflight(self.plan)
        self._try_selections()
        with lease(self.library.root) as self._check_lease, contextlib.ExitStack() as stack:
            self._describe()
            session = Session(self.store, self.space.budget.limits)
            self._run_again_on_failure(self.stages.search, stack, session)
            # Where confirmation may stop early, what has ended decides whether another seed is needed.
            while self._left is None and self._run_again_on_failure(self.stages.confirm, stack, session):
                pass
            if self._left is None:
                collect_garbage(self.store, self.library)
            ledger.compact(self.store)
        return self._report()

    def _report(self) -> SweepReport:
        rows = self.store.read("trials", ["status", "reason"]).to_pylist()
        completed = sum(row["status"] == Status.COMPLETED for row in rows)
        reasons = Counter(in_one_line(row["reason"] or "") for row in rows if row["status"] == Status.FAILED)
        return SweepReport(
            self._trained, self._failed, self._left, len(rows), completed, dict(reasons.most_common())
        )

    def _describe(self) -> None:
        self.store.write_space(space_text(self.space))
        stored = self.store.read("cells", ["cell", "sampler", "confidence"]).to_pylist()
        known = {(row["cell"], row["sampler"], row["confidence"]) for row in stored}
        rows = [ledger.cell_row(cell, self.space) for cell in self.plan.cells]
        new = [
            row for row in rows if (row["cell"], json.dumps(row["sampler"]), row["confidence"]) not in known
        ]
        self.store.append("cells", new)

    def _run_again_on_failure(
        self, make: Callable[[], Stage], stack: contextlib.ExitStack, session: Session
    ) -> bool:
        """Ray's controller may fail as a whole: the stage is then made again from the store, with a new Ray.

        Returns:
            Whether there was anything to do.
        """
        failures = ended = 0
        while True:
            try:
                stage = make()
                self._run(stage, stack, session)
                return not stage.is_done
            except Exception as error:
                check_interrupted()
                if own := own_error(error):
                    raise own from error
                if self._is_out_of_memory(error, make):
                    stack.close()
                    continue
                failures = failures + 1 if self._trained == ended else 1
                ended = self._trained
                if failures > MAX_DRIVER_FAILURES:
                    raise
                reason = str(error).strip().rpartition("\n")[2] or type(error).__name__
                self._say(
                    f"the driver failed ({reason}); it starts again from the store "
                    f"({failures} of {MAX_DRIVER_FAILURES} times without progress)"
                )
                stack.close()

    def _is_out_of_memory(self, error: BaseException, make: Callable[[], Stage]) -> bool:
        """Whether trials that took all memory ended the controller; one that does so again and again has failed."""
        running, self._tuning = self._tuning.running.values() if self._tuning else (), None
        found = self._out_of_memory.caused(error, running)
        for job in found:
            self._say(f"trial {job.trial_id} took all the memory of its machine; going on from the store")
            if self._out_of_memory.gives_up(job):
                self._give_up(job, self._ledger(make()))
        return bool(found)

    def _give_up(self, job: Job, book: ledger.Ledger) -> None:
        reason = out_of_memory("Ray ended its worker each time it was tried")
        book.start(job)
        book.end(job, Ended(Status.FAILED, reason, attempts=self._out_of_memory.attempts(job)))
        book.close()

    def _ledger(self, stage: Stage) -> ledger.Ledger:
        tally = tally_of(stage.name, stage.planned, stage.past.stage(stage.name))
        is_exempt = stage.pauses.rule.is_exempt
        return ledger.Ledger(
            self.store, stage.past.next_sequence, is_exempt, self._forget, tally, self._check_lease
        )

    def _run(self, stage: Stage, stack: contextlib.ExitStack, session: Session) -> None:
        self._failed = sum(row["status"] == Status.FAILED for row in stage.past.trials)
        if stage.is_done:
            return
        if not session.account.exceeded():
            self._connect(stack, session)
            self._make(stage, session)
        if session.account.exceeded() and (left := self._unfinished(stage)):
            later = " and all of confirm" if stage.studies and self.space.confirm.seeds else ""
            self._left = f"{session.account.in_words()}; {stage.name} has {left} trials left{later}"

    def _make(self, stage: Stage, session: Session) -> None:
        needed = self.jobs.prerequisites.of_search() if stage.studies else self._needs_of(stage.queue)
        resources, account = self._there.resources, session.account
        prepare(needed, resources, lambda: slots(resources), self._say, session.tick, account.count)
        self._try_selections()
        self._train(stage, session)

    def _unfinished(self, stage: Stage) -> int:
        """Trials that are left of a stage."""
        trials = self.store.read("trials", ["stage", "cell"]).to_pylist()
        ended = sum(row["stage"] == stage.name and row["cell"] in stage.planned for row in trials)
        studies = [
            study.issued if study.is_finished else study.cell.configurations for study in stage.studies
        ]
        return sum(studies or stage.planned.values()) - ended

    def _try_selections(self) -> None:
        """Once before anything, and once when the scores are there: a trial is too late to find out."""
        found = try_selections(self.space, of_plan(self.plan), self.library, self.space.seed)
        for warning in found:
            if warning not in self._warned:
                self._say(f"warning: {warning}")
        self._warned |= set(found)

    def _needs_of(self, queue: list[Job]) -> list[Task]:
        trials, needed = [job.identity for job in queue], self.jobs.prerequisites
        return [task for one in trials for task in needed.of(one.configuration, one.seed, one.stage)]

    def _connect(self, stack: contextlib.ExitStack, session: Session) -> None:
        if not is_connected():
            stack.enter_context(ray_session(self._address))
            session.machines.alive = {}
        import ray  # noqa: PLC0415  after its settings

        session.machines.look(ray.nodes())
        set_price(session, self._there, strict=True)

    def _train(self, stage: Stage, session: Session) -> None:
        from hsl.driver.tune.tuner import Tuning  # noqa: PLC0415  imports ray

        book = self._ledger(stage)
        ended, failed = book.tally.ended, book.tally.failed
        self._tuning = Tuning(self._there, self._console, self._trackers, self.library.root)
        try:
            self._tuning.train(self._supply(stage, session), book, session)
        finally:
            self._trained += book.tally.ended - ended
            self._failed += book.tally.failed - failed
        if not session.account.exceeded():
            for job in stage.pauses.left():
                self._forget(job)

    def _supply(self, stage: Stage, session: Session) -> Supply:
        return Supply(
            stage.queue,
            Turns(self.plan, stage.studies),
            self._proposed,
            stage.pauses,
            lambda: bool(session.account.exceeded()),
            self._mirror,
        )

    def _proposed(self, study: CellStudy, proposal: Proposal) -> Job:
        configuration, seed = proposal.configuration, self.space.seed
        return self.jobs.make(
            study.cell, "search", configuration, seed, proposal.values, proposal.number, proposal.source
        )

    def _forget(self, job: Job) -> None:
        """A search trial needs no checkpoint once it is recorded; confirmed networks are kept."""
        with reported(f"{self.store.uri}/{CHECKPOINTS}: cannot be tidied up"):
            if job.identity.stage == "search":
                checkpoints.remove(job.inputs.checkpoint)
            else:
                checkpoints.remove_previous(job.inputs.checkpoint)

    def _say(self, line: str) -> None:
        self._console.print(redact_known(line), highlight=False, markup=False, soft_wrap=True)


def own_error(error: BaseException) -> HslError | None:
    """The error of this package that Ray has wrapped into `error`, if there is one."""
    return next((cause for cause in causes(error) if isinstance(cause, HslError)), None)
