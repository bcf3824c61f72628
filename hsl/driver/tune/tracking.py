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
from hsl.driver.ledger import described
from hsl.driver.tune.trackers import Place, make
from hsl.filesystems import join, open_filesystem
from hsl.planning.job import Job
from hsl.store.outcomes import Status

LOG = logging.getLogger(__name__)


@dataclass(eq=False)
class TrackedTrial:
    """The part of a trial that Ray's callbacks read, with the names of this package in place of Tune's.

    Attributes:
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
        """The columns of tables of hyperparameters."""
        return self.config

    def init_local_path(self) -> None:
        """Make the folder."""
        Path(self.local_path).mkdir(parents=True, exist_ok=True)

    def __str__(self) -> str:
        return self.trial_id


class Tracking:
    """Reports every epoch to one tracker, once; one that fails receives nothing more, and the sweep goes on.

    By default `logger` is Ray's callback of that name.
    """

    def __init__(self, name: str, place: Place, logger: LoggerCallback | None = None) -> None:
        self._name = name
        self._place = place
        self._logger: LoggerCallback | None = None
        with self._unharmed():
            self._logger = logger or make(name, place)
        self._trials: dict[str, TrackedTrial] = {}

    def setup(self, **info: Any) -> None:
        """Note that the sweep begins."""
        with self._unharmed() as logger:
            logger.setup(**info)

    def start(self, job: Job) -> None:
        """Note that a trial begins, or continues."""
        folder = str(self._place.of_tracker(self._name) / job.trial_id)
        made = TrackedTrial(job.trial_id, parameters(job), folder, self._place.project)
        tracked = self._trials.setdefault(job.trial_id, made)
        with self._unharmed() as logger:
            tracked.init_local_path()  # W&B works in there
            logger.log_trial_start(tracked)

    def report(self, job: Job, rows: Iterable[Mapping[str, Any]]) -> None:
        """Pass on new epochs of a trial; one that continues reports all of them again."""
        tracked = self._trials[job.trial_id]
        for row in rows:
            if row["epoch"] > tracked.epoch:
                tracked.epoch = row["epoch"]
                with self._unharmed() as logger:
                    logger.log_trial_result(row["epoch"], tracked, metrics(row))

    def end(self, job: Job, ended: Ended | None) -> None:
        """Note that a trial has ended, or waits."""
        if tracked := self._trials.get(job.trial_id):
            with self._unharmed() as logger:
                logger.log_trial_end(tracked, failed=ended is not None and ended.status is Status.FAILED)

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Note that nothing runs any more."""
        with self._unharmed() as logger:
            logger.on_experiment_end(trials, **info)

    def close(self) -> None:
        """Copy the files to a store that is elsewhere."""
        folder = self._place.of_tracker(self._name)
        if self._place.store is None or not folder.exists():
            return
        with self._unharmed():
            filesystem, root = open_filesystem(join(self._place.store, self._name))
            fs.copy_files(str(folder), root, destination_filesystem=filesystem)

    @contextlib.contextmanager
    def _unharmed(self) -> Iterator[Any]:
        """The tracker, as long as it has not failed."""
        try:
            yield self._logger or LoggerCallback()  # which does nothing
        except Exception as error:  # noqa: BLE001  no error of a tracker may end the sweep
            LOG.warning("%s receives nothing more: %s: %s", self._name, type(error).__name__, error)
            self._logger = None


def parameters(job: Job) -> dict[str, Any]:
    """What distinguishes a trial, flat."""
    own = job.identity
    return {**described(own), "distribution": str(own.configuration.distribution), **own.parameters}


def metrics(row: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of an epoch, and what the trackers count steps by."""
    numeric = {name: value for name, value in row.items() if isinstance(value, int | float)}
    numbers = {name: float(value) for name, value in numeric.items() if math.isfinite(value)}
    return {**numbers, "training_iteration": row["epoch"], "timesteps_total": row["epoch"]}
