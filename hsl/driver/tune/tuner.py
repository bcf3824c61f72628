"""One stage, trained by Ray Tune. The only module that builds a Tuner."""

import contextlib
from collections.abc import Iterable
from typing import Any

import ray
from ray import tune
from rich.console import Console

from hsl.driver.interruptions import Losses, MemoryLosses
from hsl.driver.ledger import Ledger
from hsl.driver.session import Session
from hsl.driver.tune.accountant import Accountant, BudgetStopper
from hsl.driver.tune.heap import Heap, put_aside
from hsl.driver.tune.ray import scratch_folder, slots
from hsl.driver.tune.recorder import Recorder
from hsl.driver.tune.scheduler import StratifiedASHA
from hsl.driver.tune.searcher import CellSearcher
from hsl.driver.tune.surveyor import Surveyor, home
from hsl.driver.tune.trackers import Place
from hsl.driver.tune.tracking import Tracking
from hsl.driver.tune.trainable import SweepTrial
from hsl.driver.watch.progress import Progress
from hsl.planning.job import Job
from hsl.space.schema import SearchSpace
from hsl.stopping.pauses import Pauses


class Tuning:
    """Trains the jobs that a searcher hands out, and tells everybody who has to know.

    Args:
        space: What is searched, with the resources and prices of the cluster.
        console: Where progress is shown.
        memory: Told which worker has which trial.
        trackers: Names of trackers that are told of every epoch.
        root: Path or URI of the store, beside which trackers keep their files.
    """

    def __init__(
        self, space: SearchSpace, console: Console, memory: MemoryLosses, trackers: Iterable[str], root: str
    ) -> None:
        self._space = space
        self._console = console
        self._memory = memory
        self._trackers = trackers
        self._root = root

    def train(self, searcher: CellSearcher, pauses: Pauses[Job], book: Ledger, session: Session) -> None:
        """Train until nothing is left, or a budget is spent.

        Args:
            searcher: Hands out the jobs.
            pauses: Decides who stops and who waits.
            book: Where results are written; closed in the end.
            session: Is charged.
        """
        jobs, losses = searcher.jobs, Losses(home())
        trackings = self._trackings(searcher)
        surveyor = Surveyor(session, self._space, jobs, losses)
        accountant = Accountant(session, self._space, jobs, losses)
        progress = Progress(self._console, ray.cluster_resources)
        reached = session.account.reached
        recorder = Recorder(book, progress, jobs, pauses, losses, self._memory, reached)
        callbacks = [*trackings, surveyor, recorder, accountant, Heap()]
        scheduler = StratifiedASHA(pauses.judge, jobs, losses.gives_up)
        with contextlib.ExitStack() as closing:
            for tracking in trackings:
                closing.callback(tracking.close)
            for close in (accountant.close, surveyor.close, book.close):  # the last is called first
                closing.callback(close)
            closing.enter_context(progress.showing(book.tally))
            closing.enter_context(put_aside())
            run(searcher, scheduler, callbacks, BudgetStopper(session), self._space)

    def _trackings(self, searcher: CellSearcher) -> list[Tracking]:
        place = Place.of(self._root, self._space.name)
        return [Tracking(name, place, searcher.jobs) for name in self._trackers]


def run(
    searcher: CellSearcher,
    scheduler: StratifiedASHA,
    callbacks: list[Any],
    stopper: tune.Stopper,
    space: SearchSpace,
) -> None:
    """Let Ray Tune train whatever the searcher hands out."""
    resources = {"cpu": space.resources.cpu, "gpu": space.resources.gpu}
    with scratch_folder() as folder:
        tune.Tuner(
            tune.with_resources(SweepTrial, resources),
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
                callbacks=callbacks,
                stop=stopper,
                failure_config=tune.FailureConfig(max_failures=-1),  # the scheduler gives up, see Losses
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        ).fit()
