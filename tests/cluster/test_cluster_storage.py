"""Sweeps whose store is on a real S3 server: killed, continued, asked, and with the server out of reach for a while.

Google's and Microsoft's stores have servers that stand in for them: ``pip install gcp-storage-emulator`` and
``npm install -g azurite``. Their tests are skipped where these are missing.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from storage_server import CREDENTIALS, Relay, Server, google, microsoft
from sweeps import TINY

from hsl.driver.under_way import checkpointed
from hsl.errors import LeaseError, StoreError
from hsl.filesystems import join, open_filesystem
from hsl.store import checkpoints
from hsl.store import lease as lease_module
from hsl.store.layout import Library
from hsl.store.lease import Lease, LeaseFile
from hsl.store.store import Store
from hsl.training.checkpoint import from_bytes, to_bytes
from hsl.training.data.remote import remote_states

LIMIT_SECONDS = 1200
OUTAGE_SECONDS = 20.0

SPACE = TINY | {
    "name": "remote",
    "training": {"epochs": 6, "batch_size": 32, "checkpoint_every": 1},
    "budget": {"configurations_per_cell": 5},
}
TRIALS = 4 * 5 + 4 * 2
MEASURED = {"seconds"}
TIMES = MEASURED | {"sequence", "attempts", "started_at", "ended_at", "provenance", "node", "device"}


@pytest.fixture
def relay(server: Server) -> Iterator[Relay]:
    between = Relay(server.port)
    yield between
    between.cut()


@pytest.fixture
def bucket(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket that is reached by the relay; what it is called tells what others left in the server."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    uri = f"s3://bucket-{relay.port}?endpoint_override=127.0.0.1:{relay.port}&scheme=http"
    filesystem, path = open_filesystem(f"{uri}&allow_bucket_creation=true")
    filesystem.create_dir(path)
    return uri


@pytest.fixture(params=[google, microsoft])
def elsewhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A bucket or container of other providers than AWS."""
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    running, uri = request.param()
    filesystem, path = open_filesystem(uri)
    filesystem.create_dir(path)
    yield uri
    running.close()


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    cache = {"HSL_CACHE": str(tmp_path_factory.mktemp("cache")), "OMP_NUM_THREADS": "1"}
    return {**os.environ, **cache, **CREDENTIALS}


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("space") / "space.yaml"
    file.write_text(yaml.safe_dump(SPACE))
    return file


def hsl(environment: dict[str, str], *arguments: str) -> str:
    """Output of a command that succeeds."""
    made = subprocess.run(
        [sys.executable, "-m", "hsl.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    return made.stdout


@pytest.fixture
def start(environment: dict[str, str], space: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Starts a sweep into a store."""
    running: list[subprocess.Popen[str]] = []

    def begin(uri: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "hsl.cli", "sweep", str(space), "--store", uri],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def local(environment: dict[str, str], space: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same sweep, undisturbed on a disk."""
    store = str(tmp_path_factory.mktemp("local") / "store")
    hsl(environment, "sweep", str(space), "--store", store)
    return store


def rows(uri: str, table: str, without: set[str]) -> dict[Any, dict[str, Any]]:
    found = Store(uri).read(table).to_pylist()
    keyed = {(row["trial_id"], row.get("epoch")): row for row in found}
    assert len(keyed) == len(found)
    return {key: {name: row[name] for name in row.keys() - without} for key, row in keyed.items()}


def assert_same(uri: str, local: str) -> None:
    """Every trial once, with the numbers of an undisturbed sweep."""
    trials = rows(uri, "trials", TIMES)
    assert len(trials) == TRIALS
    assert trials == rows(local, "trials", TIMES)
    without = {"sequence", *MEASURED}
    assert rows(uri, "epochs", without) == rows(local, "epochs", without)


def wait_for_trials(uri: str, count: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while True:
        try:
            if len(Store(uri).read("trials", ["trial_id"])) >= count:
                return
        except StoreError:
            pass
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until, "no trials arrive"
        time.sleep(0.2)


def files_of(uri: str) -> set[str]:
    return {name for name in Store(uri).files("checkpoints") if name}


def assert_only_confirmed_networks(uri: str) -> None:
    trials = Store(uri).read("trials", ["trial_id", "stage"]).to_pylist()
    confirmed = {f"{row['trial_id']}.safetensors" for row in trials if row["stage"] == "confirm"}
    assert len(confirmed) == 8
    assert files_of(uri) == confirmed


def test_a_store_with_checkpoints_and_a_lease(bucket: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "SETTLE_SECONDS", 0.0)
    assert_it_serves_a_sweep(join(bucket, "a", "store"))


def test_the_same_elsewhere(elsewhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "SETTLE_SECONDS", 0.0)
    assert_it_serves_a_sweep(join(elsewhere, "a", "store"))


def test_files_of_a_data_set_elsewhere_are_told_apart(elsewhere: str) -> None:
    """The time of a file may be that of another one, as far as a second goes."""
    filesystem, path = open_filesystem(join(elsewhere, "images", "train.parquet"))
    tags = set()
    for content in (b"before", b"behind"):
        with filesystem.open_output_stream(path) as file:
            file.write(content)
        (state,) = remote_states(join(elsewhere, "images"))
        tags.add(state[-1])
    assert len(tags) == 2
    assert all(tags)


def assert_it_serves_a_sweep(uri: str) -> None:
    """Does once whatever a sweep does to its store."""
    store = Store(uri)
    with lease_module.lease(uri) as check:
        check()
        holder = LeaseFile(uri).read()
        assert holder is not None
        assert holder.pid == os.getpid()
        with pytest.raises(LeaseError, match=platform.node()):
            Lease(uri).acquire()
        store.write_space("name: b\n")
        for epoch in (1, 2):
            row = {"trial_id": "t", "cell": "c", "epoch": epoch, "epochs_at_target": 0, "train_loss": 1.0}
            store.append("epochs", [{**row, "sequence": epoch, "sparsity": 0.5, "lr": 0.1, "seconds": 1.0}])
        store.compact("epochs")
        checkpoint = Library(uri).checkpoint("t")
        for step in (1, 2):
            checkpoints.write(checkpoint, to_bytes({"step": step}))
    assert LeaseFile(uri).read() is None
    assert Store(uri).read_space() == "name: b\n"
    assert Store(uri).read("epochs", ["epoch"])["epoch"].to_pylist() == [1, 2]
    assert files_of(uri) == {"t.safetensors", "t.safetensors.previous"}
    assert checkpoints.read(checkpoint, from_bytes) == {"step": 2} == checkpoints.read_json(checkpoint)
    checkpoints.remove(checkpoint)
    assert files_of(uri) == set()
    assert checkpoints.read(checkpoint, from_bytes) is None


@pytest.mark.slow
def test_a_sweep_is_killed_continued_and_asked(
    bucket: str,
    relay: Relay,
    environment: dict[str, str],
    space: Path,
    local: str,
    start: Callable[[str], subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    """The server is named by the environment, as the tools of AWS do it."""
    uri = bucket.partition("?")[0] + "/hsl"
    environment = {**environment, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{relay.port}"}
    within = join(bucket, "hsl")
    first = start(within)
    wait_for_trials(within, 6, first)
    first.kill()
    first.wait()
    ended = set(Store(within).read("trials", ["trial_id"])["trial_id"].to_pylist())
    under_way = {f"{job.trial_id}.safetensors" for job, _ in checkpointed(Library(within), ended)}
    lost = files_of(within) - under_way - {f"{name}.previous" for name in under_way}
    assert {name.partition(".")[0] for name in lost} <= ended, "at most what was to be deleted next"
    best = hsl(environment, "sweep", str(space), "--store", uri, "--retry-failed")
    assert_same(within, local)
    assert_only_confirmed_networks(within)
    assert_only_confirmed_networks(local)
    assert hsl(environment, "best", uri) == best == hsl(environment, "best", local)
    status = json.loads(hsl(environment, "status", uri, "--format", "json"))
    assert sum(row["completed"] for row in status["cells"]) == TRIALS
    report = tmp_path / "report.html"
    hsl(environment, "report", uri, "--out", str(report))
    assert "hsl export" in report.read_text()
    hsl(environment, "export", uri, "clean/0.8", "--out", str(tmp_path / "winner"))
    assert (tmp_path / "winner" / "network.safetensors").stat().st_size > 1000


@pytest.mark.slow
def test_a_sweep_elsewhere_is_killed_and_continued(
    elsewhere: str,
    environment: dict[str, str],
    space: Path,
    local: str,
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    uri = join(elsewhere, "hsl")
    first = start(uri)
    wait_for_trials(uri, 6, first)
    first.kill()
    first.wait()
    best = hsl(environment, "sweep", str(space), "--store", uri)
    assert_same(uri, local)
    assert_only_confirmed_networks(uri)
    assert best == hsl(environment, "best", local)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["refuses", "is silent"])
def test_the_server_is_out_of_reach_in_the_middle(
    kind: str,
    bucket: str,
    relay: Relay,
    server: Server,
    local: str,
    start: Callable[[str], subprocess.Popen[str]],
) -> None:
    uri = join(bucket, "out", "of", "reach")
    driver = start(uri)
    wait_for_trials(uri, 4, driver)
    (relay.cut if kind == "refuses" else server.freeze)()
    time.sleep(OUTAGE_SECONDS)
    assert driver.poll() is None
    (relay.mend if kind == "refuses" else server.thaw)()
    _, told = driver.communicate(timeout=LIMIT_SECONDS)
    assert driver.returncode == 0, told
    assert_same(uri, local)
    assert_only_confirmed_networks(uri)
    assert max(row["attempts"] for row in Store(uri).read("trials", ["attempts"]).to_pylist()) == 1
    assert LeaseFile(uri).read() is None


@pytest.mark.slow
def test_the_lease_in_an_outage(bucket: str, relay: Relay) -> None:
    """As long as it takes, and as a second driver from another machine sees it."""
    uri = join(bucket, "held")
    with lease_module.lease(uri) as check:
        mine = LeaseFile(uri).read()
        assert mine is not None
        relay.cut()
        time.sleep(OUTAGE_SECONDS)
        check()
        relay.mend()
        until = time.monotonic() + lease_module.LEASE_SECONDS
        while time.monotonic() < until:
            check()
            with pytest.raises(LeaseError, match="another sweep is writing"):
                Lease(uri).acquire()
            time.sleep(2.0)
        found = LeaseFile(uri).read()
        assert found is not None
        assert found.owner == mine.owner
        assert found.expires > mine.expires + lease_module.LEASE_SECONDS / 2, "renewed after the outage"
    with lease_module.lease(uri):
        pass  # free for the next one
