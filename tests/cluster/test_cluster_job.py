"""The README's command for clusters: a sweep as a job of Ray's job server, stopped half-way and submitted again.

Needs ``pip install 'ray[default]'``, which the nodes of a cluster have and `hsl` does not ask for.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster_that_grows import end
from storage_server import CREDENTIALS, Server, free_port

from hsl.driver.tune.ray import LOOPBACK
from hsl.filesystems import open_filesystem
from hsl.store.store import Store

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("aiohttp_cors") is None, reason="needs pip install 'ray[default]'"
    ),
]

ROOT = Path(__file__).parents[2]
RAY = str(Path(sys.executable).with_name("ray"))
LIMIT_SECONDS = 1200
SMALL = (
    "factors.regime=[clean,hardest-half]",
    "factors.sparsity=[0.8]",
    "training.epochs=60",
    "budget.configurations_per_cell=3",
    "confirm.seeds=2",
    "early_stopping=none",
)
TRIALS = 4 * 3 + 4 * 2


@pytest.fixture(scope="module")
def node(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment of a machine of the cluster: its role's rights, and the secret that every node asks for."""
    folder = tempfile.mkdtemp(prefix="hsl-")  # a short name: Ray's sockets lie in it
    yield {
        **{name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"},
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_TMPDIR": folder,
        **dict([LOOPBACK]),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        **CREDENTIALS,
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.port}",
        "HSL_CACHE": str(tmp_path_factory.mktemp("cache")),
        "OMP_NUM_THREADS": "1",
    }
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def jobs(node: dict[str, str]) -> Iterator[str]:
    """Address of the job server of a head with two processors."""
    port = free_port()
    options = [f"--port={free_port()}", "--num-cpus=2"]
    board = ["--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={port}"]
    head = subprocess.Popen(
        [RAY, "start", "--head", "--block", *options, *board],
        env=node,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: ray(node, "job", "list", "--address", address).returncode == 0)
        yield address
    finally:
        end(head)


def wait_until(is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.5)


def ray(node: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [RAY, *arguments],
        cwd=ROOT,
        env=node,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


def command(address: str, storage: str, *options: str) -> list[str]:
    """The README's own command, but for the address, a smaller space and the name of the bucket."""
    (text,) = re.findall(r"^ray (job submit .*\\\n.*)$", (ROOT / "README.md").read_text(), re.M)
    words = shlex.split(text.replace("\\\n", " "))
    words[words.index("--address") + 1] = address
    words[words.index("search_spaces/paper-el2n-cifar100.yaml")] = "search_spaces/digits.yaml"
    words[words.index("s3://BUCKET/hsl")] = storage
    at = words.index("--")
    return [*words[:at], *options, *words[at:], *SMALL]


def test_a_job_that_is_stopped_and_submitted_again(
    node: dict[str, str], jobs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (*CREDENTIALS, "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, node[name])
    filesystem, path = open_filesystem("s3://jobs?allow_bucket_creation=true")
    filesystem.create_dir(path)
    store = Store("s3://jobs/hsl/digits")

    begun = ray(node, *command(jobs, "s3://jobs/hsl", "--no-wait", "--submission-id", "first"))
    assert begun.returncode == 0, begun.stdout + begun.stderr
    wait_until(lambda: store.exists() and store.read("trials").num_rows > 0)
    stopped = ray(node, "job", "stop", "--address", jobs, "first")
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    early = store.read("trials").num_rows
    assert 0 < early < TRIALS

    # The driver tells its workers of the same variable.
    given = json.dumps({"env_vars": {"AWS_ENDPOINT_URL": node["AWS_ENDPOINT_URL"]}})
    again = ray(node, *command(jobs, "s3://jobs/hsl", "--runtime-env-json", given))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "succeeded" in again.stdout
    trials = store.read("trials").to_pylist()
    assert len(trials) == len({row["trial_id"] for row in trials}) == TRIALS
    assert {row["status"] for row in trials} == {"completed"}
    assert f"{TRIALS - early} trials trained in this run" in again.stdout + again.stderr
