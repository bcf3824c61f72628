"""What is made on Ray workers, where there is not a place for every worker that was asked for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from hsl.driver.tune.ray import ray_session
from hsl.errors import HslError
from hsl.prepare.workers import make_all

LIMIT_SECONDS = 600


def note(file: Path) -> Any:
    """A task that takes a moment and leaves a file that says which process made it."""

    class Note:  # in here, so that workers need not import this file
        target = file
        scores = SimpleNamespace(score="el2n")

        def run(self, device: str) -> None:
            if file.exists():
                raise ValueError(f"{file.name} is there already")
            time.sleep(0.1)
            file.write_text(str(os.getpid()))

    return Note()


@pytest.fixture(scope="module")
def half() -> Iterator[dict[str, float]]:
    """Resources of which two workers have a place on this machine, and no third."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with ray_session():
            yield {"cpu": ray.cluster_resources()["CPU"] / 2, "gpu": 0.0}


def make(tasks: list[Any], resources: dict[str, float], workers: int) -> set[str]:
    """The processes that have made them, if they have in time."""
    with ThreadPool(1) as pool:
        pool.apply_async(make_all, (tasks, resources, workers)).get(LIMIT_SECONDS)
    return {task.target.read_text() for task in tasks}


@pytest.mark.slow
def test_workers_share_the_work(half: dict[str, float], tmp_path: Path) -> None:
    assert len(make([note(tmp_path / str(number)) for number in range(60)], half, 2)) == 2


@pytest.mark.slow
def test_a_worker_for_which_there_is_no_place_holds_nothing_up(
    half: dict[str, float], tmp_path: Path
) -> None:
    assert len(make([note(tmp_path / str(number)) for number in range(8)], half, 4)) <= 2


@pytest.mark.slow
def test_what_fails_is_told(half: dict[str, float], tmp_path: Path) -> None:
    tasks = [note(tmp_path / "one"), note(tmp_path / "one")]
    with pytest.raises(HslError, match="one is there already"):
        make(tasks, half, 1)
