"""What the stages of one sweep share: where they read and write, where trials run, and where progress is shown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hsl.driver.jobs import Jobs
from hsl.driver.ledger import Ledger
from hsl.driver.stages import Stage
from hsl.driver.watch.announcer import Announcer
from hsl.driver.watch.optuna import Mirror
from hsl.driver.watch.progress import tally_of
from hsl.planning.job import Job
from hsl.planning.plan import Plan
from hsl.prepare.selections import of_plan, try_selections
from hsl.space.schema import SearchSpace
from hsl.store import checkpoints
from hsl.store.files import reported
from hsl.store.layout import CHECKPOINTS, Library
from hsl.store.store import Store


@dataclass(frozen=True)
class Site:
    """Where a sweep takes place.

    Attributes:
        plan: What it trains.
        sized_space: The space of the plan with the resources and prices of the cluster, which no result depends on.
        store: Where results are written.
        library: Where parents, scores and checkpoints are stored.
        jobs: Makes jobs.
        announcer: Prints.
        address: Address of a Ray cluster; None for this machine.
        trackers: Names of trackers that receive every epoch.
        mirror: Shows the studies elsewhere; None shows them nowhere.
        check_lease: Raises if another driver has taken the store over.
    """

    plan: Plan
    sized_space: SearchSpace
    store: Store
    library: Library
    jobs: Jobs
    announcer: Announcer
    address: str | None = None
    trackers: Sequence[str] = ()
    mirror: Mirror | None = None
    check_lease: Callable[[], None] = lambda: None

    def ledger(self, stage: Stage) -> Ledger:
        """Where the results of a stage are recorded."""
        tally = tally_of(stage.name, stage.planned, stage.past.stage(stage.name))
        is_exempt = stage.pauses.rule.is_exempt
        past = stage.past
        return Ledger(
            self.store, past.next_sequence, is_exempt, self.forget, tally, self.check_lease, past.numbers()
        )

    def forget(self, job: Job) -> None:
        """A search trial needs no checkpoint once it is recorded; confirmed networks are kept."""
        with reported(f"{self.store.uri}/{CHECKPOINTS}: cannot be tidied up"):
            if job.identity.stage == "search":
                checkpoints.remove(job.inputs.checkpoint)
            else:
                checkpoints.remove_previous(job.inputs.checkpoint)

    def try_selections(self) -> None:
        """Once before anything, and once when the scores are there: a trial is too late to find out."""
        space = self.plan.space
        self.announcer.warn(try_selections(space, of_plan(self.plan), self.library, space.seed))
