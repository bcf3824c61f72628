"""Sweeps of trials that do nothing, or only sleep: hsl, a plain Tuner, Optuna with joblib, bare processes."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing import Pool
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console

from hsl.driver.tune.ray import ray_session, scratch_folder
from hsl.space.load import make_space
from hsl.space.schema import SearchSpace

WORKERS = 2
PER_CELL = 25
"""About as in the largest of search_spaces/. What TPE costs grows with what it knows of a cell, not with the sweep."""
EDGE = 500
"""The first and the last so many trials are compared."""

PROBE_EVERY = 5
PROBE = 20_000
"""A sum of so many numbers tells, every few trials, how fast the machine itself is at that time."""


@dataclass
class Run:
    """What was seen of one run.

    Attributes:
        began: When it was started.
        ends: When each trial had ended for the driver.
        memory: Resident memory of the driver at the same times, in KiB.
        worked: Processor time of the driver until then.
        probes: How long the machine took for always the same work, every `PROBE_EVERY` trials.
    """

    began: float = field(default_factory=time.monotonic)
    ends: list[float] = field(default_factory=list)
    memory: list[int] = field(default_factory=list)
    worked: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)

    def note(self) -> None:
        """A trial has ended."""
        self.ends.append(time.monotonic())
        self.memory.append(resident())
        self.worked.append(time.process_time())
        if len(self.ends) % PROBE_EVERY == 0:
            began = time.perf_counter()
            sum(range(PROBE))
            self.probes.append(time.perf_counter() - began)

    @property
    def start_up(self) -> float:
        """Seconds until the first trial had ended."""
        return self.ends[0] - self.began

    @property
    def per_trial(self) -> float:
        """Seconds per trial from then on."""
        return (self.ends[-1] - self.ends[0]) / (len(self.ends) - 1)

    def growth(self, times: list[float]) -> float | None:
        """Time of the last trials over that of the first ones."""
        if len(times) < 2 * EDGE:
            return None
        return (times[-1] - times[-EDGE]) / (times[EDGE - 1] - times[0])

    @property
    def drift(self) -> float | None:
        """How much slower the machine itself was during the last trials than during the first ones."""
        count = EDGE // PROBE_EVERY
        if len(self.probes) < 2 * count:
            return None
        return sum(self.probes[-count:]) / sum(self.probes[:count])

    @property
    def memory_per_trial(self) -> float | None:
        """KiB by which the driver grows with each trial, once it has warmed up."""
        if len(self.ends) < 2 * EDGE:
            return None
        return (self.memory[-1] - self.memory[EDGE]) / (len(self.memory) - 1 - EDGE)

    def wall(self, seconds: float) -> float:
        """Seconds for all trials, start-up apart, where the first took `seconds`."""
        return self.ends[-1] - self.ends[0] + seconds


def resident() -> int:
    """Resident memory of this process in KiB."""
    line = next(
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS")
    )
    return int(line.split()[1])


def space_of(
    trials: int, per_cell: int = PER_CELL, extra: int = 0, sampler: str = "tpe", workers: int = WORKERS
) -> SearchSpace:
    """Cells of up to `per_cell` configurations with one tuned number each.

    TPE draws up to ten in each cell at random, which costs less than what follows: with ``random`` all cost the
    same, and what grows is the driver's.
    """
    cells = max(1, trials // per_cell)
    return make_space(
        {
            "name": "overhead",
            "dataset": "digits",
            "model": {"name": "mlp", "widths": [16]},
            "factors": {"sparsity": [round(0.3 + 0.6 * i / cells, 4) for i in range(cells)]},
            "search": {"training.lr": {"loguniform": [0.001, 1.0]}},
            "method": "static",
            "sampler": sampler,
            "baseline": None,
            "budget": {"configurations_per_cell": trials // cells + extra},
            "resources": {"cpu": WORKERS / workers, "concurrent": workers},
            "confirm": {"seeds": 0},
        }
    )


@contextlib.contextmanager
def trivial_trials(run: Run, seconds: float) -> Iterator[None]:
    """Sweeps whose trials sleep in place of training, and tell `run` when they have ended."""
    from ray import tune  # noqa: PLC0415

    from hsl.driver.tune import callback, tuner  # noqa: PLC0415
    from hsl.planning.job import Job  # noqa: PLC0415
    from hsl.store.outcomes import Status  # noqa: PLC0415
    from hsl.trial.report import Report  # noqa: PLC0415

    class Trivial(tune.Trainable):
        def setup(self, config: dict[str, Any]) -> None:
            self.reset_config(config)

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            job = Job.model_validate_json(new_config["job"])
            self.lr = job.identity.configuration.training.lr
            return True

        def step(self) -> dict[str, Any]:
            time.sleep(seconds)
            row = {"epoch": 1, "epochs_at_target": 1, "val_matched_accuracy": self.lr}
            report = Report([row], {"epochs": 1, "objective": self.lr}, Status.COMPLETED)
            return {"report": report, "done": True}

    noted = _noting(callback.DriverCallback.on_trial_result, run)
    with (
        patch.object(tuner, "SweepTrial", Trivial),
        patch.object(callback.DriverCallback, "on_trial_result", noted),
    ):
        yield


def _noting(function: Callable[..., None], run: Run) -> Callable[..., None]:
    def noted(*arguments: Any, **keywords: Any) -> None:
        function(*arguments, **keywords)
        run.note()

    return noted


def time_hsl(space: SearchSpace, store: Path, seconds: float = 0.0) -> Run:
    """A sweep of trivial trials."""
    from hsl.driver.sweep import SweepRequest, sweep  # noqa: PLC0415

    run = Run()
    with trivial_trials(run, seconds):
        done = sweep(SweepRequest(space, str(store)), Console(file=io.StringIO()))
    assert done.trained == len(run.ends), done
    return run


def time_plain(trials: int, seconds: float = 0.0, workers: int = WORKERS) -> Run:
    """The same with a Tuner as it is by default and its OptunaSearch."""
    from ray import tune  # noqa: PLC0415
    from ray.tune.search.optuna import OptunaSearch  # noqa: PLC0415

    run = Run()

    class Clock(tune.Callback):
        def on_trial_complete(self, *_: Any, **__: Any) -> None:
            run.note()

        def __getstate__(self) -> dict[str, Any]:
            return {}

    def trivial(config: dict[str, float]) -> None:
        time.sleep(seconds)
        tune.report({"score": config["lr"]})

    with ray_session(), scratch_folder() as folder:
        tune.Tuner(
            tune.with_resources(trivial, {"cpu": WORKERS / workers}),
            param_space={"lr": tune.loguniform(0.001, 1.0)},
            tune_config=tune.TuneConfig(
                metric="score",
                mode="max",
                num_samples=trials,
                search_alg=OptunaSearch(),
                max_concurrent_trials=workers,
            ),
            run_config=tune.RunConfig(storage_path=folder, verbose=0, callbacks=[Clock()]),
        ).fit()
    return run


def time_optuna(trials: int, per_cell: int) -> Run:
    """The same with Optuna's own studies, `per_cell` trials each, and joblib's processes; nothing is stored."""
    import optuna  # noqa: PLC0415
    from joblib import Parallel, delayed  # noqa: PLC0415

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    run = Run()
    with Parallel(n_jobs=WORKERS) as parallel:
        for number in range(max(1, trials // per_cell)):
            study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=number))
            while len(study.trials) < min(trials, per_cell):
                asked = [study.ask() for _ in range(WORKERS)]
                rates = [trial.suggest_float("lr", 0.001, 1.0, log=True) for trial in asked]
                for trial, value in zip(asked, parallel(delayed(float)(rate) for rate in rates), strict=True):
                    study.tell(trial, value)
                    run.note()
    return run


def time_bare(trials: int, seconds: float, workers: int) -> Run:
    """Processes that do nothing but sleep, back to back: the limit."""
    with Pool(workers) as pool:
        pool.map(time.sleep, [0.0] * workers)
        run = Run()
        for _ in pool.imap_unordered(time.sleep, [seconds] * trials):
            run.note()
    return run
