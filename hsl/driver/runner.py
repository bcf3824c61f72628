"""Runs the stages of a sweep, each until it is done or a budget is spent; where Ray fails, again from the store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING

from hsl.driver.events import Ended
from hsl.driver.interruptions import OutOfMemory
from hsl.driver.ledger import cell_row
from hsl.driver.session import Session
from hsl.driver.site import Site
from hsl.driver.stages import Stage
from hsl.driver.supply import Supply
from hsl.driver.survey import set_price
from hsl.driver.tune.ray import check_interrupted, is_connected, ray_session, slots
from hsl.errors import HslError
from hsl.planning.job import Job
from hsl.planning.sampling import note_on_lag
from hsl.prepare.parents import Task
from hsl.prepare.workers import prepare
from hsl.reasons import causes, out_of_memory
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.store.outcomes import Status

if TYPE_CHECKING:
    from hsl.driver.tune.tuner import Tuning

MAX_DRIVER_FAILURES = 3
"""How often in a row, without a trial ended, the driver starts again from the store after Ray's controller failed."""


class Runner:
    """Runs stages, and keeps what they come to.

    Args:
        site: Where.
        session: Is charged.

    Attributes:
        trained: Trials that ended.
        failed: Failed trials in the store, those of earlier runs included.
        left: Which budget was spent and what it left, in words; None if everything was trained.
    """

    def __init__(self, site: Site, session: Session) -> None:
        self._site = site
        self._session = session
        self._ray = contextlib.ExitStack()
        self._out_of_memory = OutOfMemory()
        self._tuning: Tuning | None = None
        self.trained = 0
        self.failed = 0
        self.left: str | None = None

    def __enter__(self) -> Runner:
        """Ray is started where the first trial needs it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ray.__exit__(kind, error, trace)

    def run(self, make: Callable[[], Stage]) -> bool:
        """Run a stage; if Ray's controller fails as a whole, again from the store and with a new Ray.

        Args:
            make: Makes the stage, each time from the store as it then is.

        Returns:
            Whether there was anything to do.
        """
        failures = ended = 0
        while True:
            try:
                stage = make()
                self._run_once(stage)
                return not stage.is_done
            except Exception as error:
                check_interrupted()
                if own := own_error(error):
                    raise own from error
                if not self._is_out_of_memory(error, make):
                    failures = failures + 1 if self.trained == ended else 1
                    ended = self.trained
                    if failures > MAX_DRIVER_FAILURES:
                        raise
                    reason = str(error).strip().rpartition("\n")[2] or type(error).__name__
                    self._site.announcer.say(
                        f"the driver failed ({reason}); it starts again from the store "
                        f"({failures} of {MAX_DRIVER_FAILURES} times without progress)"
                    )
                self._ray.close()

    def _is_out_of_memory(self, error: BaseException, make: Callable[[], Stage]) -> bool:
        """Whether trials that took all memory ended the controller; one that does so again and again has failed."""
        running, self._tuning = self._tuning.running.values() if self._tuning else (), None
        found = self._out_of_memory.caused(error, running)
        for job in found:
            self._site.announcer.say(
                f"trial {job.trial_id} took all the memory of its machine; going on from the store"
            )
            if self._out_of_memory.gives_up(job):
                self._give_up(job, make())
        return bool(found)

    def _give_up(self, job: Job, stage: Stage) -> None:
        reason = out_of_memory("Ray ended its worker each time it was tried")
        book = self._site.ledger(stage)
        book.start(job)
        book.end(job, Ended(Status.FAILED, reason, attempts=self._out_of_memory.attempts(job)))
        book.close()

    def _run_once(self, stage: Stage) -> None:
        account = self._session.account
        self.failed = sum(row["status"] == Status.FAILED for row in stage.past.trials)
        if stage.is_done:
            self._note_enough(stage)
            return
        if not account.exceeded():
            self._connect()
            self._prepare(stage)
            self._train(stage)
            self._note_enough(stage)
        if account.exceeded() and (left := self._unfinished(stage)):
            later = (
                " and all of confirm" if stage.turns.studies and self._site.plan.space.confirm.seeds else ""
            )
            self.left = f"{account.in_words()}; {stage.name} has {left} trials left{later}"

    def _note_enough(self, stage: Stage) -> None:
        """Write, and say, which cells have ended before their budget, because nothing that is left is worth a trial."""
        site, studies = self._site, stage.turns.studies.values()
        if not (studies and stage.turns.is_over):
            return
        early = {s.cell.name: s.issued for s in studies if not s.is_open and not s.is_finished}
        stored = site.store.read("cells", ["cell", "enough"]).to_pylist()
        known = {row["cell"]: row["enough"] for row in stored if row["enough"] is not None}
        changed = [s.cell for s in studies if early.get(s.cell.name) != known.get(s.cell.name)]
        site.store.append(
            "cells", [cell_row(cell, site.plan.space, early.get(cell.name)) for cell in changed]
        )
        if changed and early:
            spared = sum(s.cell.configurations - s.issued for s in studies if s.cell.name in early)
            site.announcer.say(
                f"{len(early)} cells have enough (budget.enough): {spared} configurations are not tried"
            )

    def _connect(self) -> None:
        session = self._session
        if not is_connected():
            self._ray.enter_context(ray_session(self._site.address))
            session.machines.alive = {}
        import ray  # noqa: PLC0415  after its settings

        session.machines.look(ray.nodes())
        set_price(session, self._site.sized_space, strict=True)

    def _prepare(self, stage: Stage) -> None:
        """Make the parents and scores that the trials need."""
        site, session, resources = self._site, self._session, self._site.sized_space.resources
        needed = site.jobs.prerequisites.of_search() if stage.turns.studies else self._needs_of(stage.queue)
        say, count = site.announcer.say, session.account.count
        prepare(needed, resources, lambda: slots(resources), say, session.tick, count)
        site.try_selections()

    def _needs_of(self, queue: list[Job]) -> list[Task]:
        trials, needed = [job.identity for job in queue], self._site.jobs.prerequisites
        return [task for one in trials for task in needed.of(one.configuration, one.seed, one.stage)]

    def _train(self, stage: Stage) -> None:
        from hsl.driver.tune.tuner import Tuning  # noqa: PLC0415  imports ray

        site, session = self._site, self._session
        book = site.ledger(stage)
        ended, failed = book.tally.ended, book.tally.failed
        if stage.turns.studies and (note := note_on_lag(site.plan, slots(site.sized_space.resources))):
            site.announcer.say(note)
        self._tuning = Tuning(site.sized_space, site.announcer.console, site.trackers, site.library.root)
        try:
            self._tuning.train(self._supply(stage), book, session)
        finally:
            self.trained += book.tally.ended - ended
            self.failed += book.tally.failed - failed
        if not session.account.exceeded():
            for job in stage.pauses.left():
                site.forget(job)

    def _supply(self, stage: Stage) -> Supply:
        return Supply(
            stage.queue,
            stage.turns,
            self._proposed,
            stage.pauses,
            lambda: bool(self._session.account.exceeded()),
        )

    def _proposed(self, study: CellStudy, proposal: Proposal) -> Job:
        return self._site.jobs.make(
            study.cell,
            "search",
            proposal.configuration,
            self._site.plan.space.seed,
            proposal.values,
            proposal=proposal.number,
            proposed_by=proposal.source,
            turn=proposal.turn,
            seen=proposal.seen,
        )

    def _unfinished(self, stage: Stage) -> int:
        """Trials that are left of a stage."""
        trials = self._site.store.read("trials", ["stage", "cell"]).to_pylist()
        ended = sum(row["stage"] == stage.name and row["cell"] in stage.planned for row in trials)
        studies = [
            study.cell.configurations if study.is_open else study.issued
            for study in stage.turns.studies.values()
        ]
        return sum(studies or stage.planned.values()) - ended


def own_error(error: BaseException) -> HslError | None:
    """The error of this package that Ray has wrapped into `error`, if there is one."""
    return next((cause for cause in causes(error) if isinstance(cause, HslError)), None)
