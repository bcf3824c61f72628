"""A tiny space, and sweeps of it in processes of their own, as a user starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from hsl.store.store import Store

LIMIT_SECONDS = 1800  # what takes one minute, on a machine that does much else

TINY = {
    "name": "tiny",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [16]},
    "training": {"epochs": 4, "batch_size": 64, "checkpoint_every": 1},
    "regimes": {"clean": {}, "hard": {"keep": {"fraction": 0.5, "by": "el2n", "models": 2}}},
    "factors": {"regime": ["clean", "hard"], "sparsity": [0.8]},
    "search": {
        "method": {"choice": ["static", "rigl", "omp"]},
        "training.lr": {"loguniform": [0.02, 0.2]},
    },
    "sampler": "random",
    "budget": {"configurations_per_cell": 3},
    "early_stopping": "none",
    "confirm": {"top": 1, "seeds": 2},
}


@pytest.fixture(scope="session")
def space_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes the tiny space, with top-level keys replaced, and returns its path."""
    folder = tmp_path_factory.mktemp("spaces")

    def write(**changes: Any) -> Path:
        file = folder / f"space-{len(list(folder.iterdir()))}.yaml"
        file.write_text(yaml.safe_dump(TINY | changes))
        return file

    return write


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = tmp_path_factory.mktemp("cache")
    return {**os.environ, "HSL_CACHE": str(cache), "OMP_NUM_THREADS": "1"}


def command(space: Path, store: Path, overrides: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "hsl.cli", "sweep", str(space), "--store", str(store), *overrides]


@pytest.fixture(scope="session")
def sweep(environment: dict[str, str]) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs ``hsl sweep`` to its end."""

    def run(space: Path, store: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(space, store, overrides),
            env=environment,
            capture_output=True,
            text=True,
            timeout=LIMIT_SECONDS,
            check=False,
        )

    return run


@pytest.fixture
def started(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts ``hsl sweep`` in a session of its own, and ends what is left of that session afterwards."""
    processes: list[subprocess.Popen[str]] = []

    def start(space: Path, store: Path, *overrides: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            command(space, store, overrides),
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=LIMIT_SECONDS)
        assert process.stderr is not None
        process.stderr.close()
        end_session(process.pid)


def end_session(leader: int) -> None:
    """Kill the processes that were started in the session of `leader`, and no others."""
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                os.kill(int(entry.parent.name), signal.SIGKILL)
        except (OSError, IndexError):
            continue


@pytest.fixture
def wait_for_epochs() -> Callable[[Path, int], None]:
    """Waits until a running sweep has stored as many rows of epochs."""

    def wait(store: Path, count: int) -> None:
        until = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < until:
            if list((store / "epochs").glob("*.parquet")) and len(Store(store).read("epochs")) >= count:
                return
            time.sleep(0.1)
        raise TimeoutError(f"no {count} epochs in {store}")

    return wait
