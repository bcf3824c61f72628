"""The one callback of Ray Tune: its events become calls of `Trials`. An error in here must not end a sweep unseen."""

import contextlib
import gc
from collections.abc import Iterator, Sequence
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from hsl.driver.trials import Trials
from hsl.driver.tune.ray import Unsaved, check_interrupted
from hsl.driver.tune.tracking import Tracking
from hsl.driver.watch.progress import Progress

KEPT = ("done",)
"""What is left of a report in Tune, which keeps the last one of every trial."""

FROZEN_TRIALS = 250
"""How many trials end between two times that what Tune keeps of them is frozen."""


class DriverCallback(Unsaved, tune.Callback):
    """Passes on what Tune tells.

    Args:
        trials: Receives everything.
        progress: Is refreshed at every step.
        trackers: Have hooks for the beginning and the end of an experiment.
    """

    def __init__(self, trials: Trials, progress: Progress, trackers: Sequence[Tracking] = ()) -> None:
        self._trials = trials
        self._progress = progress
        self._trackers = trackers
        self._ended = 0

    def setup(self, **info: Any) -> None:
        """The experiment begins."""
        for tracker in self._trackers:
            tracker.setup(**info)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial was handed to a worker."""
        actor = trial.temporary_state.ray_actor
        worker = None if actor is None else actor._actor_id.hex()  # by which Ray calls it in messages
        self._trials.start(trial.trial_id, worker)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported; `result` is emptied of what Tune would keep for ever."""
        self._trials.report(trial.trial_id, result["report"], leaves=result["done"])
        for name in result.keys() - set(KEPT):
            del result[name]

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has lost its worker, and is retried."""
        is_preempted = getattr(trial.get_pickled_error(), "preempted", False)
        self._trials.interrupt(trial.trial_id, is_preempted, trial.get_error())

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has left Tune."""
        self._trials.leave(trial.trial_id)
        forget_statistics(trial)
        self._ended += 1
        if self._ended % FROZEN_TRIALS == 0:
            _freeze()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial cannot even be started."""
        self._trials.fail(trial.trial_id, trial.get_error())

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Tune has handled one event, or waited for one."""
        check_interrupted()
        self._trials.step()
        self._progress.refresh()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Nothing runs any more."""
        for tracker in self._trackers:
            tracker.on_experiment_end(trials, **info)


def forget_statistics(trial: Trial) -> None:
    """Delete what Tune keeps of every number that a trial has reported: some 4 KiB of each, read by none."""
    metadata = trial.run_metadata
    metadata.metric_analysis.clear()
    metadata.metric_n_steps.clear()


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """Freeze what is imported now (gc.freeze), and what ends meanwhile, so that full collections stay cheap.

    A full collection visits every living object. With ten thousand trials it takes a second, and it comes again
    whenever a quarter has been added; none of it is garbage before the sweep ends.
    """
    _freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()
