"""Ray Tune's events, passed on to a tracker: one run per trial under its own id, one step per epoch."""

import contextlib
import logging
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyarrow import fs
from ray.tune.experiment import Trial
from ray.tune.logger import LoggerCallback

from hsl.driver.events import Ended
from hsl.driver.tune.trackers import Place, make
from hsl.filesystems import join, open_filesystem
from hsl.planning.job import Job
from hsl.store.outcomes import Status

LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class TrackedTrial:
    """What Ray's callbacks read of a trial, with the names of this package in place of Tune's.

    Attributes:
        trial_id: Id of the trial in the store.
        config: What distinguishes it, flat.
        local_path: Folder for its files.
        experiment_dir_name: Name of the search space.
        epoch: Last epoch that was passed on.
    """

    trial_id: str
    config: dict[str, Any]
    local_path: str
    experiment_dir_name: str
    epoch: int = 0

    @property
    def evaluated_params(self) -> dict[str, Any]:
        """What tables of hyperparameters show."""
        return self.config

    def init_local_path(self) -> None:
        """Make the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self.trial_id


class Tracking:
    """Reports every epoch to one tracker, once.

    A tracker that fails receives nothing more, and no sweep ends by it.

    Args:
        name: Name of the tracker.
        place: Where it writes.
        logger: Ray's callback; by default the one of that name.
    """

    def __init__(self, name: str, place: Place, logger: LoggerCallback | None = None) -> None:
        self._name = name
        self._place = place
        self._logger: LoggerCallback | None = None
        with self._unharmed():
            self._logger = logger or make(name, place)
        self._trials: dict[str, TrackedTrial] = {}

    def setup(self, **info: Any) -> None:
        """The sweep begins."""
        with self._unharmed() as told:
            told.setup(**info)

    def start(self, job: Job) -> None:
        """A trial begins, or continues."""
        tracked = self._trials.setdefault(job.trial_id, self._tracked(job))
        with self._unharmed() as told:
            tracked.init_local_path()  # W&B works in there
            told.log_trial_start(tracked)

    def report(self, job: Job, rows: Iterable[Mapping[str, Any]]) -> None:
        """A trial has reported some epochs; one that continues reports all of them again."""
        tracked = self._trials[job.trial_id]
        for row in rows:
            if row["epoch"] > tracked.epoch:
                tracked.epoch = row["epoch"]
                with self._unharmed() as told:
                    told.log_trial_result(row["epoch"], tracked, metrics(row))

    def end(self, job: Job, ended: Ended | None) -> None:
        """A trial has ended, or waits."""
        if tracked := self._trials.get(job.trial_id):
            with self._unharmed() as told:
                told.log_trial_end(tracked, failed=ended is not None and ended.status is Status.FAILED)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Nothing runs any more."""
        with self._unharmed() as told:
            told.on_experiment_end(trials, **info)

    def close(self) -> None:
        """Bring the files to a store that is elsewhere."""
        folder = self._place.of_tracker(self._name)
        if self._place.store is None or not folder.exists():
            return
        with self._unharmed():
            filesystem, root = open_filesystem(join(self._place.store, self._name))
            fs.copy_files(str(folder), root, destination_filesystem=filesystem)

    def _tracked(self, job: Job) -> TrackedTrial:
        folder = self._place.of_tracker(self._name) / job.trial_id
        return TrackedTrial(job.trial_id, parameters(job), str(folder), self._place.project)

    @contextlib.contextmanager
    def _unharmed(self) -> Iterator[Any]:
        """The tracker, as long as it has not failed."""
        try:
            yield self._logger or _Nobody()
        except Exception as error:  # noqa: BLE001  whatever a tracker does, the sweep goes on
            LOG.warning("%s is told nothing more: %s: %s", self._name, type(error).__name__, error)
            self._logger = None


class _Nobody(LoggerCallback):
    """Hears nothing."""


def parameters(job: Job) -> dict[str, Any]:
    """What distinguishes a trial, flat."""
    made = job.identity.configuration
    return {
        "cell": job.identity.cell,
        "regime": job.identity.regime,
        "stage": job.identity.stage,
        "seed": job.identity.seed,
        "dataset": made.dataset,
        "model": made.model.name,
        "method": made.method,
        "sparsity": made.sparsity,
        "distribution": str(made.distribution),
        **job.identity.parameters,
    }


def metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of an epoch, and what the trackers count steps by."""
    numbers = {
        name: float(value)
        for name, value in row.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
    return {**numbers, "training_iteration": row["epoch"], "timesteps_total": row["epoch"]}
