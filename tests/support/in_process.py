"""Sweeps in the process of the test: what Ray Tune does is done here, one step after the other."""

from __future__ import annotations

import contextlib
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
from ray.tune import PlacementGroupFactory
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.tune.trainable.metadata import _TrainingRunMetadata

from hsl.driver import runner
from hsl.driver.trials import Trials
from hsl.driver.tune import trainable, tuner
from hsl.driver.tune.callback import DriverCallback
from hsl.driver.tune.scheduler import BudgetStopper, CellScheduler
from hsl.driver.tune.searcher import CellSearcher
from hsl.driver.tune.trainable import SweepTrial
from hsl.prepare import workers
from hsl.prepare.parents import make_here
from hsl.trial import run as trial_run
from hsl.trial.log import TrialLog

AT_A_TIME = 2


def tune(trials: Trials, callback: DriverCallback, _: object) -> None:
    """What Tune does, with two trials at a time; none is paused."""
    searcher, scheduler, stopper = CellSearcher(trials), CellScheduler(trials), BudgetStopper(trials)
    running: dict[str, Worker] = {}
    names, finished = map("trial {}".format, count()), False
    while running or not finished:
        while len(running) < AT_A_TIME and not finished:
            name = next(names)
            answer = searcher.suggest(name)
            finished = answer == Searcher.FINISHED
            if not isinstance(answer, dict):
                break
            running[name] = begun(answer, name, callback)
        assert running or finished, "the search waits although nothing runs"
        for name in list(running):
            metadata, request = _TrainingRunMetadata(), PlacementGroupFactory([{"CPU": 1.0}])
            own: Any = SimpleNamespace(trial_id=name, run_metadata=metadata, placement_group_factory=request)
            result = running[name].step()
            stops = (
                stopper(name, result) or scheduler.on_trial_result(None, own, result) == TrialScheduler.STOP
            )
            result["done"] = result["done"] or stops
            callback.on_trial_result(0, [], own, result)
            callback.on_step_end(0, [])
            if result["done"]:
                del running[name]
                searcher.on_trial_complete(name, result)
                callback.on_trial_complete(0, [], own)


class Worker(SweepTrial):
    """A worker that needs no Ray to know where it is."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._node, self._log, self._is_over = "here", TrialLog(), True
        self.reset_config(config)


def begun(config: dict[str, Any], name: str, callback: DriverCallback) -> Worker:
    """A trial that has started."""
    own: Any = SimpleNamespace(trial_id=name, temporary_state=SimpleNamespace(ray_actor=None))
    callback.on_trial_start(0, [], own)
    return Worker(config)


def without_ray(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """From here on sweeps train in this process."""
    patch.setenv("HSL_CACHE", str(cache))
    patch.setattr(trial_run, "REPORT_SECONDS", 0.01)
    patch.setattr(ray, "is_initialized", lambda: True)
    patch.setattr(ray, "cluster_resources", dict)
    patch.setattr(ray, "nodes", list)
    patch.setattr(trainable, "watchdog", lambda _: contextlib.nullcontext())  # it would end the tests
    patch.setattr(tuner, "home", lambda: "here")
    patch.setattr(runner, "ray_session", lambda *_: contextlib.nullcontext())
    patch.setattr(runner, "slots", lambda *_: AT_A_TIME)
    patch.setattr(runner, "MAX_DRIVER_FAILURES", 0)  # an error here is one of the driver's, not of Ray's
    patch.setattr(workers, "make_all", lambda tasks, *_: make_here(tasks, "cpu"))
    patch.setattr(tuner, "run", tune)
