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
"""Columns of a report that stay in Tune, which keeps the last one of every trial."""

FROZEN_TRIALS = 250
"""Number of trials that end between two calls of `gc.freeze`."""


class DriverCallback(Unsaved, tune.Callback):
    """Passes on Tune's events: to the trials all, to the trackers the beginning and the end of the experiment."""

    def __init__(self, trials: Trials, progress: Progress, trackers: Sequence[Tracking] = ()) -> None:
        self._trials = trials
        self._progress = progress
        self._trackers = trackers
        self._ended = 0
        self._requests: dict[Any, Any] = {}

    def setup(self, **info: Any) -> None:
        """Note that the experiment begins."""
        for tracker in self._trackers:
            tracker.setup(**info)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial was handed to a worker."""
        actor = trial.temporary_state.ray_actor
        worker = None if actor is None else actor._actor_id.hex()  # by which Ray calls it in messages
        self._trials.start(trial.trial_id, worker)

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """Pass on a report; `result` is emptied of everything that Tune would keep for ever."""
        self._trials.report(trial.trial_id, result["report"], leaves=result["done"])
        for name in result.keys() - set(KEPT):
            del result[name]

    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial has lost its worker, and is retried."""
        is_preempted = getattr(trial.get_pickled_error(), "preempted", False)
        self._trials.interrupt(trial.trial_id, is_preempted, trial.get_error())

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial has left Tune."""
        self._trials.leave(trial.trial_id)
        self._forget(trial)
        self._ended += 1
        if self._ended % FROZEN_TRIALS == 0:
            _freeze()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Note that a trial cannot even be started."""
        self._trials.fail(trial.trial_id, trial.get_error())

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Act after Tune has handled one event, or waited for one."""
        check_interrupted()
        self._trials.step()
        self._progress.refresh()

    def on_experiment_end(self, trials: list[Trial], **info: Any) -> None:
        """Note that nothing runs any more."""
        for tracker in self._trackers:
            tracker.on_experiment_end(trials, **info)

    def _forget(self, trial: Trial) -> None:
        """Give up what Tune keeps of an ended trial and never reads.

        These are statistics of every reported number, some 4 KiB, and copies of its parameters and of its request for
        resources, some 3 KiB.
        """
        trial.run_metadata.metric_analysis.clear()
        trial.run_metadata.metric_n_steps.clear()
        request = self._requests.setdefault(trial.placement_group_factory, trial.placement_group_factory)
        trial.placement_group_factory = trial._default_placement_group_factory = request
        trial.config = trial.evaluated_params = trial._Trial__unresolved_config = {}
        trial.stopping_criterion = {}
        trial.experiment_tag = ""


@contextlib.contextmanager
def frozen_heap() -> Iterator[None]:
    """Freeze imported modules and ended trials (gc.freeze), so that full collections stay cheap.

    A full collection visits every living object. With ten thousand trials it takes a second, and it comes again
    each time that a quarter has been added; none of it is garbage before the sweep ends.
    """
    _freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _freeze() -> None:
    gc.collect()
    gc.freeze()
