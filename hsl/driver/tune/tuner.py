"""One stage, trained by Ray Tune. The only module that builds a Tuner."""

import contextlib
from collections.abc import Iterable

import ray
from ray import tune
from rich.console import Console

from hsl.driver.interruptions import Interruptions
from hsl.driver.ledger import Ledger
from hsl.driver.running import Running
from hsl.driver.session import Session
from hsl.driver.supply import Supply
from hsl.driver.survey import Survey
from hsl.driver.trials import Trials
from hsl.driver.tune.callback import DriverCallback, frozen_heap
from hsl.driver.tune.ray import scratch_folder, slots
from hsl.driver.tune.scheduler import BudgetStopper, CellScheduler
from hsl.driver.tune.searcher import CellSearcher
from hsl.driver.tune.trackers import Place
from hsl.driver.tune.tracking import Tracking
from hsl.driver.tune.trainable import SweepTrial
from hsl.driver.watch.progress import Progress
from hsl.space.schema import Resources, SearchSpace


class Tuning:
    """Trains the jobs of one stage; trackers, by name, keep their files in the folder of the store (`root`).

    Attributes:
        running: The trials that have not ended, by Tune's trial id; after a failure those that had a worker then.
    """

    def __init__(self, space: SearchSpace, console: Console, trackers: Iterable[str], root: str) -> None:
        self._space = space
        self._console = console
        self._trackers = trackers
        self._root = root
        self.running: dict[str, Running] = {}

    def train(self, supply: Supply, book: Ledger, session: Session) -> None:
        """Train until nothing is left, or a budget is spent; the ledger is closed in the end."""
        place = Place.of(self._root, self._space.name)
        trackings = [Tracking(name, place) for name in self._trackers]
        survey = Survey(session, self._space, Interruptions(home()), ray.nodes)
        trials = Trials(supply, book, session, survey, trackings)
        self.running = trials.running
        progress = Progress(self._console, ray.cluster_resources)
        with contextlib.ExitStack() as closing:
            for tracking in trackings:
                closing.callback(tracking.close)
            closing.callback(trials.close)
            closing.enter_context(progress.showing(book.tally))
            closing.enter_context(frozen_heap())
            run(trials, DriverCallback(trials, progress, trackings), self._space.resources)


def home() -> str:
    """Id of the node that the driver runs on."""
    return str(ray.get_runtime_context().get_node_id())


def run(trials: Trials, callback: DriverCallback, resources: Resources) -> None:
    """Let Ray Tune train until the trials are over."""
    held = {"cpu": resources.cpu, "gpu": resources.gpu}
    with scratch_folder() as folder:
        tune.Tuner(
            tune.with_resources(SweepTrial, held),
            tune_config=tune.TuneConfig(
                search_alg=CellSearcher(trials),
                scheduler=CellScheduler(trials),
                num_samples=-1,
                max_concurrent_trials=slots(resources),
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="stage",
                storage_path=folder,
                verbose=0,
                callbacks=[callback],
                stop=BudgetStopper(trials),
                failure_config=tune.FailureConfig(max_failures=-1),  # the scheduler gives up
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        ).fit()
