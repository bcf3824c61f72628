"""Which waiting trial gets a worker: without Ray, and in Ray with workers that take their time to start."""

from __future__ import annotations

import io
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.tune.experiment import Trial
from rich.console import Console

from hsl.driver.sweep import SweepRequest, sweep
from hsl.driver.tune import tuner
from hsl.driver.tune.scheduler import START_SECONDS, CellScheduler
from hsl.space.load import make_space
from hsl.store.outcomes import Status
from hsl.store.store import Store
from hsl.trial.report import Report


class Queue:
    """Trials that wait for a worker, at a time that passes when it is told to."""

    def __init__(self, *names: str) -> None:
        self.now = 0.0
        self.crashed: set[str] = set()
        self.stopped: list[str] = []
        self.trials: dict[str, Any] = {
            name: SimpleNamespace(trial_id=name, status=Trial.PENDING) for name in names
        }
        trials: Any = SimpleNamespace(gives_up=self.crashed.__contains__)
        self.scheduler = CellScheduler(trials, lambda: self.now)

    def add(self, *names: str) -> None:
        for name in names:
            self.trials[name].status = Trial.PENDING
            self.scheduler.on_trial_add(self, self.trials[name])

    def choose(self) -> str | None:
        chosen = self.scheduler.choose_trial_to_run(self)
        return chosen.trial_id if chosen else None

    def stop_trial(self, trial: Any) -> None:
        """Tune's."""
        trial.status = Trial.TERMINATED
        self.stopped.append(trial.trial_id)


def test_a_free_worker_goes_to_the_trial_for_which_none_is_started() -> None:
    queue = Queue("a", "b", "c")
    queue.add("a", "b")
    assert [queue.choose(), queue.choose(), queue.choose()] == ["a", "b", None]
    queue.add("c")
    assert queue.choose() == "c"


def test_a_trial_whose_worker_does_not_come_gets_the_next_that_is_free_before_any_other() -> None:
    queue = Queue("a", "b", "c")
    queue.add("a", "b")
    queue.choose()
    queue.now = 1.0
    queue.choose()
    queue.now = START_SECONDS + 0.5
    queue.add("c")
    assert [queue.choose(), queue.choose()] == ["a", "a"]
    queue.trials["a"].status = Trial.RUNNING
    assert queue.choose() == "c"
    queue.now += 1.0
    assert queue.choose() == "b"


def test_a_trial_that_lost_its_worker_is_chosen_again_at_once() -> None:
    queue = Queue("a")
    queue.add("a")
    assert queue.choose() == "a"
    queue.trials["a"].status = Trial.RUNNING
    queue.add("a")
    assert queue.choose() == "a"


def test_a_trial_that_crashed_too_often_is_stopped_whichever_queue_it_is_in() -> None:
    queue = Queue("a", "b")
    queue.add("a")
    queue.choose()
    queue.add("b")
    queue.crashed.update("ab")
    assert queue.choose() is None
    assert queue.stopped == ["a", "b"]


@pytest.mark.slow
def test_workers_that_start_slowly_are_not_given_up_for_trials_that_end_quickly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = tmp_path / "started"
    started.mkdir()

    class Slow(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            (started / str(time.monotonic_ns())).touch()
            time.sleep(0.5 * len(list(started.iterdir())))

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

        def step(self) -> dict[str, Any]:
            time.sleep(0.05)
            row = {"epoch": 1, "epochs_at_target": 1, "val_matched_accuracy": 0.5}
            report = Report([row], {"epochs": 1, "objective": 0.5}, Status.COMPLETED)
            return {"report": report, "done": True}

    monkeypatch.setattr(tuner, "SweepTrial", Slow)
    space = make_space(
        {
            "name": "quick",
            "dataset": "digits",
            "model": {"name": "mlp", "widths": [16]},
            "factors": {"sparsity": [0.9]},
            "search": {"training.lr": {"loguniform": [0.001, 1.0]}},
            "method": "static",
            "sampler": "random",
            "baseline": None,
            "budget": {"configurations_per_cell": 60},
            "resources": {"cpu": 0.5, "concurrent": 2},
            "confirm": {"seeds": 0},
        }
    )
    sweep(SweepRequest(space, str(tmp_path / "store")), Console(file=io.StringIO()))
    assert len(Store(tmp_path / "store").read("trials")) == 60
    assert len(list(started.iterdir())) == 2
