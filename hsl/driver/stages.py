"""What the stages of a sweep have to train, made from its plan and from what its store holds already."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from hsl.driver.confirm import confirm_jobs
from hsl.driver.jobs import Jobs
from hsl.driver.resume import Past, job_of, known, read_past, refill, with_failed_again, with_history_of
from hsl.driver.watch.optuna import Mirror
from hsl.planning.job import ORIGIN, Job
from hsl.planning.plan import Plan, kin_of, objective_of
from hsl.search.study import CellStudy
from hsl.search.turns import Turns, shared_model
from hsl.stopping.pauses import Pauses
from hsl.stopping.rule import StoppingRule
from hsl.stopping.settings import make_rule
from hsl.store.layout import Library
from hsl.store.outcomes import is_paused
from hsl.store.store import Store


@dataclass(frozen=True)
class Stage:
    """The work of one stage.

    Attributes:
        name: ``search`` or ``confirm``.
        planned: Trials of each cell.
        past: The state of the store when the stage began.
        queue: Jobs that run independently of the studies.
        turns: The studies, one per cell; none in a stage that only works off its queue.
        pauses: Early stopping, and the trials that wait at its rungs.
    """

    name: str
    planned: Mapping[str, int]
    past: Past
    queue: list[Job]
    turns: Turns
    pauses: Pauses[Job]

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to train."""
        return self.turns.is_over and not self.queue and not self.pauses.has_promoted


class Stages:
    """Makes the stages of one sweep; each time from the store as it then is.

    A mirror shows the studies elsewhere. With `retry_failed`, trials that had failed before are retried, each once.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        library: Library,
        jobs: Jobs,
        mirror: Mirror | None = None,
        retry_failed: bool = False,
    ) -> None:
        self._plan = plan
        self._space = plan.space
        self._store = store
        self._library = library
        self._jobs = jobs
        self._mirror = mirror
        self._to_retry = {"search", "confirm"} if retry_failed else set()
        self._cells = {cell.name: cell for cell in plan.cells}

    def search(self) -> Stage:
        """Configurations of every cell; those that were under way come first."""
        past = self._past("search")
        model = shared_model(self._plan)
        studies = [CellStudy(self._space, cell, model) for cell in self._plan.cells]
        turns = Turns(self._plan, studies, known(past))
        if self._mirror:
            self._mirror.rebuild(studies)
            turns.watch(self._mirror)
        space = self._space
        rule = make_rule(space.early_stopping, space.training.epochs, space.seed, kin_of(self._plan))
        refill(rule, past, {cell.name: objective_of(cell, self._space) for cell in self._plan.cells})
        paused = [row for row in past.stage("search") if is_paused(row) and row["cell"] in self._cells]
        waiting = [self._again(job_of(row, self._library)) for row in paused]
        pauses = Pauses(rule, {job.trial_id: job for job in waiting})
        begun = [job for job in past.under_way if job.identity.stage == "search"]
        queue = [self._again(job) for job in begun if job.identity.cell in self._cells]
        if not queue and turns.is_over:
            # What a killed driver had still to promote.
            pauses.promote({study.cell.name: False for study in studies})
        planned = {cell.name: cell.configurations for cell in self._plan.cells}
        return Stage("search", planned, past, queue, turns, pauses)

    def _past(self, stage: str) -> Past:
        past = read_past(self._store, self._library)
        if stage not in self._to_retry:
            return past
        self._to_retry.remove(stage)  # what fails again has failed
        return with_failed_again(past, stage, self._library)

    def _again(self, job: Job) -> Job:
        """A job of the search that goes on, made again: the store may have moved, the rungs may differ."""
        own, cell = job.identity, self._cells[job.identity.cell]
        origin = {name: getattr(own, name) for name in ORIGIN}
        made = self._jobs.make(cell, "search", own.configuration, own.seed, own.parameters, **origin)
        return made.model_copy(update={"history": job.history})

    def confirm(self) -> Stage:
        """The best configurations of every cell with fresh seeds."""
        past = self._past("confirm")
        jobs = confirm_jobs(self._plan, past.stage("search"), self._jobs, past.stage("confirm"))
        ended, begun = past.ended(), {job.trial_id: job for job in past.under_way}
        queue = [with_history_of(job, begun.get(job.trial_id)) for job in jobs if job.trial_id not in ended]
        # Winners of earlier runs that have been confirmed count as planned, for their trials count as ended.
        names = {job.trial_id for job in jobs}
        former = [row["cell"] for row in past.stage("confirm") if row["trial_id"] not in names]
        planned = Counter([*(job.identity.cell for job in jobs), *filter(self._cells.__contains__, former)])
        turns = Turns(self._plan, [])
        return Stage("confirm", planned, past, queue, turns, Pauses(StoppingRule()))
