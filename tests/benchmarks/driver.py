"""Overhead of scheduling one trial, beside plain Ray Tune, in one run: ``python tests/benchmarks/driver.py``.

Trials do nothing, so all time is the driver's: Optuna studies, early stopping, store, progress and Ray Tune.
Start-up (the time until the first trial has reported) is printed apart.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from hsl.search.runtime import ray_session, scratch_folder
from hsl.search.schema import SearchSpace
from hsl.search.space import make_space


def space_of(trials: int, cells: int = 10) -> SearchSpace:
    """Cells with one tuned number each."""
    return make_space(
        {
            "name": "overhead",
            "dataset": "digits",
            "model": "mlp",
            "factors": {"sparsity": [round(0.5 + 0.04 * i, 2) for i in range(cells)]},
            "search": {"training.lr": {"loguniform": [0.001, 1.0]}},
            "method": "static",
            "baseline": None,
            "budget": {"configurations_per_cell": trials // cells},
            "confirm": {"seeds": 0},
        }
    )


def time_hsl(trials: int) -> tuple[float, float]:
    """Seconds until the first trial has ended, and from there to the last one, per trial."""
    from ray import tune  # noqa: PLC0415

    from hsl.search import sweep as module  # noqa: PLC0415
    from hsl.search.jobs import Job  # noqa: PLC0415
    from hsl.search.trial import report  # noqa: PLC0415

    class Trivial(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self.lr = Job.model_validate_json(new_config["job"]).configuration.training.lr
            return True

        def step(self) -> dict[str, Any]:
            row = {"epoch": 1, "epochs_at_target": 1, "val_matched_accuracy": self.lr}
            return report([row], {"epochs": 1, "objective": self.lr}, status="completed")

    ends: list[float] = []

    def run(*arguments: Any) -> None:
        recorder = arguments[3]
        recorder.on_trial_result = _noting(recorder.on_trial_result, ends)
        tune_jobs(Trivial, *arguments[1:])

    tune_jobs, module.tune_jobs = module.tune_jobs, run
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        done = module.Sweep(space_of(trials), str(Path(folder) / "store"), Console(file=io.StringIO())).run()
    module.tune_jobs = tune_jobs
    assert done.trained == trials, done
    return ends[0] - began, (ends[-1] - ends[0]) / (len(ends) - 1)


def _noting(function: Callable[..., None], times: list[float]) -> Callable[..., None]:
    def noted(*arguments: Any, **keywords: Any) -> None:
        function(*arguments, **keywords)
        times.append(time.monotonic())

    return noted


def time_plain(trials: int) -> tuple[float, float]:
    """The same with a plain Tuner and OptunaSearch."""
    from ray import tune  # noqa: PLC0415
    from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415

    ends: list[float] = []

    class Clock(tune.Callback):
        def on_trial_complete(self, *_: Any, **__: Any) -> None:
            ends.append(time.monotonic())

        def __getstate__(self) -> dict[str, Any]:
            return {}

    def trivial(config: dict[str, float]) -> None:
        tune.report({"score": config["lr"]})

    began = time.monotonic()
    with ray_session(), scratch_folder() as folder:
        tune.Tuner(
            trivial,
            param_space={"lr": tune.loguniform(0.001, 1.0)},
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=trials,
                search_alg=OptunaSearch(),
                max_concurrent_trials=2,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Clock()]),
        ).fit()
    return ends[0] - began, (ends[-1] - ends[0]) / (len(ends) - 1)


def main() -> None:
    """Print both, and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=300)
    parser.add_argument("--plain-trials", type=int, default=30)
    arguments = parser.parse_args()
    hsl_start, hsl = time_hsl(arguments.trials)
    plain_start, plain = time_plain(arguments.plain_trials)
    table = Table("driver", "trials", "start-up s", "s per trial")
    table.add_row("hsl", str(arguments.trials), f"{hsl_start:.1f}", f"{hsl:.4f}")
    table.add_row("plain Tuner", str(arguments.plain_trials), f"{plain_start:.1f}", f"{plain:.4f}")
    Console().print(table)
    Console().print(f"hsl / plain Tuner: {hsl / plain:.3f}")


if __name__ == "__main__":
    main()
