"""The trials that run now, one record each, and the order in which what happens to them is passed on. No ray."""

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Sequence

from hsl.driver.events import Ended, Observer
from hsl.driver.ledger import Ledger
from hsl.driver.running import Running, Working
from hsl.driver.session import Session
from hsl.driver.supply import Supply
from hsl.driver.survey import Survey
from hsl.planning.job import Job
from hsl.reasons import reason_of_loss
from hsl.stopping.rule import Decision, apply_rule
from hsl.store.outcomes import Reason, Status
from hsl.trial.report import Report

LOG = logging.getLogger(__name__)


class Trials:
    """All trials of a stage that were handed out and have not ended.

    What happens is passed on in this order: interruptions, stopping rule, ledger, studies, account, observers.

    Args:
        supply: Hands out jobs.
        ledger: Records.
        session: Is charged, and keeps what is under way.
        survey: Watches the nodes, and distinguishes lost ones from crashes.
        observers: See everything last.
        clock: Seconds that only grow.
    """

    def __init__(
        self,
        supply: Supply,
        ledger: Ledger,
        session: Session,
        survey: Survey,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._supply = supply
        self._pauses = supply.pauses
        self._ledger = ledger
        self._session = session
        self._survey = survey
        self._interruptions = survey.interruptions
        self._observers = observers
        self._clock = clock
        self._halted: list[Job] = []
        self._notes: set[str] = set()
        self.running: dict[str, Running] = {}
        survey.charge(())

    @property
    def is_over(self) -> bool:
        """Whether no further trial will come."""
        return self._supply.is_spent() or self._supply.is_over or not self.running

    def begin(self, name: str) -> Job | None:
        """Hand out the next job under a name by which it is called from now on.

        Returns:
            The job; None if there is none, or as long as a running trial may lead to one, see `is_over`.
        """
        found = None if self._supply.is_spent() else self._supply.next()
        if found is None:
            return None
        own = found.job.identity
        self._pauses.rule.admit(own.trial_id, own.turn, own.seen)
        self.running[name] = Running(found.job, found.was_paused)
        return found.job

    def start(self, name: str, worker: str | None) -> None:
        """Note that a worker takes a trial.

        Args:
            name: Name of the trial.
            worker: Id of the worker.
        """
        self._charge()
        trial = self.running[name]
        is_new = trial.attempts == 0
        trial.working, trial.worker, trial.node = Working.YES, worker, None
        trial.attempts += 1
        trial.heard = self._clock()
        if is_new:
            self._ledger.start(trial.job, trial.was_paused)
            for observer in self._observers:
                observer.start(trial.job)

    def decide(self, name: str, report: Report) -> Decision:
        """The decision of the stopping rule on a report, whose rows get the rungs that they reached."""
        own = self.running[name].job
        return apply_rule(
            self._pauses.rule, own.identity.cell, own.trial_id, report.rows, own.reporting.objective
        )

    def halts(self, name: str, report: Report) -> bool:
        """Whether a trial leaves its worker with this report because a budget is spent."""
        halts = not report.is_last and bool(self._session.account.exceeded())
        self.running[name].is_halting = halts
        return halts

    def report(self, name: str, report: Report, leaves: bool) -> None:
        """Pass on the report of a worker.

        Args:
            name: Name of the trial.
            report: Its report.
            leaves: Whether the trial leaves its worker with it.
        """
        trial, account = self.running[name], self._session.account
        trial.heard = self._clock()
        self._note(report.note)
        self._survey.report(report.node)
        self._interruptions.report(trial, report.node, report.began, account.reached(trial.job.trial_id))
        # Tune does not show the last report of a trial to its scheduler.
        decision = self.decide(name, report) if leaves else Decision.CONTINUE
        self._ledger.report(trial.job, report.rows, report.evaluations)
        if report.is_last:
            self._end(trial, report.status, report.reason, report)
        elif leaves and trial.is_halting and decision is Decision.CONTINUE:
            self._halt(trial)
        elif leaves:
            self._end(trial, Status.STOPPED, None, report)
        account.count(trial.job.trial_id, report.epoch)
        for observer in self._observers:
            observer.report(trial.job, report.rows)

    def _halt(self, trial: Running) -> None:
        """Halt a trial that would have gone on; a later run continues it."""
        own = trial.job
        self._leave(trial)
        self._pauses.end(own.identity.cell, own.trial_id, own)
        self._ledger.halt(own)

    def _end(self, trial: Running, status: Status, reason: str | None, report: Report | None = None) -> None:
        own, history = trial.job, trial.history
        if trial.attempts == 0:  # its worker could not even be started
            trial.attempts = 1
            self._ledger.start(own, trial.was_paused)
        self._leave(trial)
        paused = self._pauses.end(own.identity.cell, own.trial_id, trial.counted)
        if status is Status.STOPPED:
            reason = Reason.PAUSED if paused else Reason.STOPPED_EARLY
        else:
            self._pauses.rule.end(own.identity.cell, own.trial_id, failed=status is Status.FAILED)
        trial.ended = Ended(status, reason, report.summary if report else {}, history, trial.attempts)
        self._ledger.end(own, trial.ended)
        self._supply.end(own, trial.ended)

    def _leave(self, trial: Running) -> None:
        self._charge()
        trial.working = Working.NOT_YET

    def interrupt(self, name: str, is_preempted: bool, message: object) -> None:
        """Note that a trial has lost its worker; it is retried unless it is given up.

        Args:
            name: Name of the trial.
            is_preempted: Whether its node was being taken away.
            message: Ray's error message.
        """
        trial = self.running[name]
        self._charge()
        trial.working = Working.INTERRUPTED
        timeout = trial.job.reporting.timeout
        trial.message = reason_of_loss(timeout, self._clock() - trial.heard, message)
        self._interruptions.interrupt(trial, is_preempted)

    def gives_up(self, name: str) -> bool:
        """Whether a trial has crashed so often that it is not retried."""
        return self._interruptions.gives_up(self.running[name])

    def leave(self, name: str) -> None:
        """Forget a trial that is over for Tune; if it has just lost its worker, it was given up and has failed."""
        trial = self.running[name]
        if trial.working is Working.INTERRUPTED:
            self._end(trial, Status.FAILED, trial.message)
        if trial.ended is None and trial.attempts:
            self._halted.append(trial.counted)
        del self.running[name]
        for observer in self._observers:
            observer.end(trial.job, trial.ended)

    def fail(self, name: str, message: object) -> None:
        """Record the failure of a trial that cannot even be started."""
        trial = self.running[name]
        self._end(trial, Status.FAILED, reason_of_loss(trial.job.reporting.timeout, 0.0, message))
        self.leave(name)

    def _note(self, note: str | None) -> None:
        if note is not None and note not in self._notes:
            self._notes.add(note)
            LOG.warning("%s", note)

    def step(self) -> None:
        """Do what is due: look at the nodes, flush the ledger, charge and save the session."""
        self._survey.look_if_due(self.running.values())
        self._ledger.flush_if_due()
        self._charge()
        self._session.save_if_due(self._under_way())

    def close(self) -> None:
        """Make everything durable, one after the other, even if one of them fails."""
        with contextlib.ExitStack() as closing:
            for close in (self._save, self._survey.close, self._ledger.close):  # the last is called first
                closing.callback(close)

    def _save(self) -> None:
        self._charge()
        self._session.save(self._under_way())

    def _under_way(self) -> Iterator[Job]:
        """Trials that a later run continues, with what has happened to them."""
        yield from self._halted
        yield from (
            trial.counted for trial in self.running.values() if trial.attempts and trial.ended is None
        )

    def _charge(self) -> None:
        self._survey.charge(self.running.values())
