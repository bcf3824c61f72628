"""One stage, trained by Ray Tune. The only module that builds a Tuner."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any

import ray
from ray import tune
from rich.console import Console

from hsl.search import trial
from hsl.search.accountant import Accountant, BudgetStopper
from hsl.search.heap import Heap, put_aside
from hsl.search.jobs import Job
from hsl.search.ledger import Ledger
from hsl.search.losses import Losses
from hsl.search.memory import MemoryLosses
from hsl.search.pauses import Pauses
from hsl.search.progress import Progress
from hsl.search.recorder import Recorder
from hsl.search.runtime import scratch_folder, slots
from hsl.search.scheduler import StratifiedASHA
from hsl.search.schema import SearchSpace
from hsl.search.searcher import CellSearcher
from hsl.search.session import Session
from hsl.search.surveyor import Surveyor, home
from hsl.search.trackers import Place
from hsl.search.tracking import Tracking


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
            tune.with_resources(trial.SweepTrial, resources),
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
