"""Sweeps on a real cluster of several nodes, some of which vanish."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import pytest
import yaml
from test_cluster_preemption import AWS, NOTICES, serving

from hsl.store.store import Store

pytestmark = pytest.mark.slow

HERE = Path(__file__).parents[1] / "support"
LIMIT_SECONDS = 1200
SPACE = {
    "name": "vanishing",
    "dataset": "digits",
    "model": {"name": "mlp", "widths": [64]},
    "training": {"epochs": 12, "batch_size": 32, "checkpoint_every": 1},
    "regimes": {"pgd": {"attack": {"name": "pgd", "eps": "16/255", "step": "4/255", "steps": 10}}},
    "factors": {"regime": ["pgd"], "sparsity": [0.5, 0.8]},
    "search": {"method": {"choice": ["static", "rigl", "set"]}, "training.lr": {"loguniform": [0.02, 0.2]}},
    "sampler": "random",
    "budget": {"configurations_per_cell": 4},
    "early_stopping": "none",
    "confirm": {"seeds": 0},
}
INTERVAL = 15
SLOW: dict[str, Any] = SPACE | {
    "training": {"epochs": 40, "batch_size": 32, "checkpoint_every": INTERVAL},
    "regimes": {"pgd": {"attack": {"name": "pgd", "eps": "16/255", "step": "4/255", "steps": 20}}},
    "baseline": None,
    "budget": {"configurations_per_cell": 3},
}
MEASURED = ("objective", "val_matched_loss", "test_matched_accuracy", "test_clean_loss", "nonzeros", "epochs")


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    cache = {"HSL_CACHE": str(tmp_path_factory.mktemp("cache")), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **token, **cache}


class Nodes:
    """A cluster in another process."""

    def __init__(self, script: str, argument: str, environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / script), argument],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.address = self.line()

    def tell(self, command: str) -> str:
        """What the cluster answers."""
        self._stream(self.process.stdin).write(command + "\n")
        self._stream(self.process.stdin).flush()
        return "\n".join(iter(self.line, "done"))

    def line(self) -> str:
        """The next line that the cluster prints."""
        line = self._stream(self.process.stdout).readline()
        if not line:
            raise RuntimeError("the cluster has ended")
        return line.strip()

    @staticmethod
    def _stream(stream: IO[str] | None) -> IO[str]:
        assert stream is not None
        return stream

    def close(self) -> None:
        self._stream(self.process.stdin).close()
        try:
            self.process.wait(timeout=600)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self._stream(self.process.stdout).close()


@pytest.fixture
def nodes(environment: dict[str, str]) -> Iterator[Nodes]:
    cluster = Nodes("cluster_of_nodes.py", "3", environment)
    yield cluster
    cluster.close()


@pytest.fixture
def on_head(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """The environment on the head of a cluster, whose home holds the cluster's file."""
    home = tmp_path / "home"
    home.mkdir()
    return {**environment, "HOME": str(home)}


@pytest.fixture
def growing(on_head: dict[str, str]) -> Iterator[Nodes]:
    cluster = Nodes("cluster_that_grows.py", str(HERE.parents[1] / "cluster.yaml"), on_head)
    yield cluster
    cluster.close()


def sweep(
    space: Path, store: Path, environment: dict[str, str], address: str | None
) -> subprocess.Popen[bytes]:
    options = ["--address", address] if address else []
    return subprocess.Popen(
        [sys.executable, "-m", "hsl.cli", "sweep", str(space), "--store", str(store), *options],
        env=environment,
        stdout=subprocess.DEVNULL,
    )


def wait_for_epochs(store: Path, trials: int, epoch: int) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while not store.exists() or sum(max(found) >= epoch for found in epochs(store).values()) < trials:
        assert time.monotonic() < until, "no trial came under way"
        time.sleep(0.3)


def wait_for_trials(store: Path, count: int) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while not (store / "trials").exists() or len(Store(str(store)).read("trials")) < count:
        assert time.monotonic() < until, f"no {count} trials ended"
        time.sleep(0.3)


def measured(store: Path) -> dict[str, list[object]]:
    rows = Store(str(store)).read("trials").to_pylist()
    assert all(row["status"] == "completed" for row in rows), [row["reason"] for row in rows]
    return {row["trial_id"]: [row[name] for name in MEASURED] for row in rows}


def rows(store: Path) -> list[dict[str, Any]]:
    return Store(str(store)).read("trials").to_pylist()


def check_losses(store: Path, drivers_killed: int) -> None:
    """Both machines were seen to go, with a trial on each; less than an interval was repeated each time."""
    sessions = Store(str(store)).read("sessions").to_pylist()
    assert sum(session["lost_nodes"] for session in sessions) == 2
    assert 1 <= sum(row["losses"] for row in rows(store)) <= 2
    for row in rows(store):
        assert row["repeated_epochs"] < INTERVAL * (row["losses"] + drivers_killed)
    assert sum(row["repeated_epochs"] for row in rows(store)) > 0, (
        "the first had gone on, after its checkpoint"
    )


def told(store: Path) -> str:
    command = [sys.executable, "-m", "hsl.cli", "status", str(store)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout


def epochs(store: Path) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for row in Store(str(store)).read("epochs").to_pylist():
        found.setdefault(row["trial_id"], []).append(row["epoch"])
    return {trial: sorted(numbers) for trial, numbers in found.items()}


def test_two_of_three_nodes_vanish_one_joins_the_driver_is_killed_and_the_numbers_are_the_same(
    nodes: Nodes, environment: dict[str, str], tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(yaml.safe_dump(SLOW))
    vanishing, undisturbed = tmp_path / "vanishing", tmp_path / "undisturbed"

    driver = sweep(space, vanishing, environment, nodes.address)
    wait_for_epochs(vanishing, 3, INTERVAL + 1)  # all have a checkpoint, and have gone on
    nodes.tell("kill 0")
    wait_for_trials(vanishing, 1)
    nodes.tell("kill 1")
    nodes.tell("add")
    wait_for_trials(vanishing, 3)
    driver.kill()
    driver.wait(timeout=600)
    assert sweep(space, vanishing, environment, nodes.address).wait(timeout=LIMIT_SECONDS) == 0

    assert sweep(space, undisturbed, environment, None).wait(timeout=LIMIT_SECONDS) == 0
    assert measured(vanishing) == measured(undisturbed)
    assert epochs(vanishing) == epochs(undisturbed)
    check_losses(vanishing, drivers_killed=1)
    assert all(row["losses"] == row["repeated_epochs"] == 0 for row in rows(undisturbed))
    assert "2 machines were lost" in told(vanishing)
    assert "lost" not in told(undisturbed)


@pytest.fixture
def metadata() -> Iterator[str]:
    """Serves, in place of the provider, that the machine will be taken away."""
    with serving({AWS: NOTICES[0][2]}) as found:
        yield found


PREEMPTED = "3"
"""NodeDeathInfo.AUTOSCALER_DRAIN_PREEMPTED: Tune does not count what is lost with such a node as a failure."""


def test_a_node_that_its_provider_takes_away_is_drained_and_its_trials_go_on_elsewhere(
    nodes: Nodes, environment: dict[str, str], metadata: str, tmp_path: Path
) -> None:
    space, store = tmp_path / "space.yaml", tmp_path / "store"
    space.write_text(yaml.safe_dump(SPACE))
    driver = sweep(space, store, environment, nodes.address)
    wait_for_epochs(store, 3, 2)
    said = nodes.tell(f"watch 0 {metadata}")
    assert said.startswith("0 ") and said.endswith("drained"), said
    nodes.tell("kill 0")
    assert driver.wait(timeout=LIMIT_SECONDS) == 0

    assert nodes.tell("why 0").startswith(f"False {PREEMPTED} "), "Ray knows why the node ended"
    rows = Store(str(store)).read("trials").to_pylist()
    assert [row["status"] for row in rows] == ["completed"] * 12
    assert len({row["trial_id"] for row in rows}) == 12
    assert epochs(store) == {row["trial_id"]: list(range(1, 13)) for row in rows}
    assert max(row["attempts"] for row in rows) == 2, "one trial was moved, and started again once"


def test_workers_come_with_the_work_run_two_trials_each_and_leave(
    growing: Nodes, on_head: dict[str, str], tmp_path: Path
) -> None:
    """Nothing but the space and the address is given: how far it grows stands in the cluster's file on the head."""
    space, store = tmp_path / "space.yaml", tmp_path / "store"
    space.write_text(yaml.safe_dump(SPACE | {"resources": {"cpu": 0.5, "gpu": 0.5}}))
    assert growing.line() == "0 0", "no worker before there is work"

    driver = sweep(space, store, on_head, growing.address)
    seen = [growing.line()]
    while seen[-1] != "2 2":
        seen.append(growing.line())
    assert driver.wait(timeout=LIMIT_SECONDS) == 0
    while seen[-1] != "0 0":
        seen.append(growing.line())

    rows = Store(str(store)).read("trials").to_pylist()
    assert len(measured(store)) == len(rows) == 12
    assert most_at_once(rows) == 4, "two trials on each of two GPUs"
    (session,) = Store(str(store)).read("sessions").to_pylist()
    hours = session["wall_time"] / 3600
    assert 0.2016 * hours < session["cost"] < (0.2016 + 2 * 0.40) * hours, "the head, and up to two workers"


def most_at_once(rows: list[dict[str, Any]]) -> int:
    changes = sorted([(row["started_at"], 1) for row in rows] + [(row["ended_at"], -1) for row in rows])
    running = most = 0
    for _, change in changes:
        running += change
        most = max(most, running)
    return most
