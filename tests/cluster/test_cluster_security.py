"""Credentials stay in the environment, and a local run listens to its own machine alone."""

from __future__ import annotations

import base64
import ipaddress
import json
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from hsl.store.store import Store

HERE = Path(__file__).parents[1] / "support"
LIMIT_SECONDS = 1200
FAILED, BUG, USAGE = 3, 1, 2

SPACE: dict[str, Any] = {
    "name": "leaky",
    "dataset": "digits",
    "model": "cluster_leaky:Leaky",
    "training": {"epochs": 4, "batch_size": 64, "checkpoint_every": 1},
    "factors": {"sparsity": [0.8]},
    "search": {"method": {"choice": ["static", "omp"]}, "training.batch_size": {"choice": [48, 64]}},
    "sampler": "grid",
    "budget": {"configurations_per_cell": 4},
    "early_stopping": "none",
    "confirm": {"top": 1, "seeds": 1},
}


def plant() -> dict[str, str]:
    """Credentials as they stand in an environment."""
    names = (
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "WANDB_API_KEY",
        "AZURE_STORAGE_KEY",
        "DB_PASSWORD",
    )
    values = {name: f"{secrets.token_hex(8)}/+{secrets.token_hex(8)}" for name in names}
    key = f"-----BEGIN KEY-----\n{secrets.token_hex(24)}\n{secrets.token_hex(24)}\n-----END KEY-----\n"
    google = {"type": "service_account", "client_email": "a@b.c", "private_key": key}
    return {
        **values,
        "AWS_ACCESS_KEY_ID": "AKIA" + secrets.token_hex(8),
        "GOOGLE_CREDENTIALS": json.dumps(google),
    }


def needles(planted: Mapping[str, str]) -> list[bytes]:
    """What must not be found: the values, in plain text and as base64 at every offset."""
    key = json.loads(planted["GOOGLE_CREDENTIALS"])["private_key"].split("\n")[1:3]
    plain = [value.encode() for name, value in planted.items() if name != "GOOGLE_CREDENTIALS"]
    plain += [line.encode() for line in key] + [b"se/cr+et"]
    coded = [base64.b64encode(b" " * offset + value)[4:-4] for value in plain for offset in range(3)]
    return plain + [value for value in coded if len(value) >= 12]


def texts_of(file: Path) -> Iterator[bytes]:
    """The bytes of a file, and those of the values that it holds compressed."""
    try:
        yield file.read_bytes()
        if file.suffix == ".parquet":
            yield repr(pq.read_table(file).to_pylist()).encode()
    except (OSError, pa.ArrowException):
        return  # it is gone, or being written


def leaks(folders: list[Path], wanted: list[bytes]) -> set[str]:
    """Files that hold any of `wanted`."""
    files = [
        file for folder in folders for file in folder.rglob("*") if file.is_file() and not file.is_symlink()
    ]
    return {str(file) for file in files for text in texts_of(file) if any(value in text for value in wanted)}


class Watch(threading.Thread):
    """Looks, as long as a process runs, at it and what it starts: command lines, ports, and files that come and go."""

    def __init__(self, pid: int, folders: list[Path], wanted: list[bytes]) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(pid)
        self._folders, self._wanted = folders, wanted
        self.names: set[str] = set()
        self.telling: set[str] = set()
        self.open_ports: set[str] = set()
        self.leaks: set[str] = set()
        self.start()

    def run(self) -> None:
        while self._root.is_running() and self._root.status() != psutil.STATUS_ZOMBIE:
            try:
                family = [self._root, *self._root.children(recursive=True)]
            except psutil.Error:
                return
            for process in family:
                self._look(process)
            self.leaks |= leaks(self._folders, self._wanted)
            time.sleep(0.2)

    def _look(self, process: psutil.Process) -> None:
        try:
            name, line = process.name(), " ".join(process.cmdline())
            ports = [one.laddr for one in process.net_connections("inet") if one.status == psutil.CONN_LISTEN]
        except psutil.Error:
            return
        self.names.add(name)
        if any(value.decode() in line for value in self._wanted):
            self.telling.add(line)
        self.open_ports |= {f"{name} {at.ip}:{at.port}" for at in ports if not is_loopback(at.ip)}


def is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A folder with a short name: Ray's sockets lie in it."""
    folder = Path(tempfile.mkdtemp(prefix="hsl-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def planted() -> dict[str, str]:
    return plant()


@pytest.fixture
def environment(planted: dict[str, str], scratch: Path, tmp_path: Path) -> dict[str, str]:
    path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    own = {name: str(folder_in(scratch, name)) for name in ("TMPDIR", "RAY_TMPDIR")}
    more = {"HSL_CACHE": str(tmp_path / "cache"), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    without = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    return {**without, **own, **more, **planted}


def folder_in(folder: Path, name: str) -> Path:
    made = folder / name[:3].lower()
    made.mkdir()
    return made


def test_the_scan_finds_what_is_there(tmp_path: Path, planted: dict[str, str]) -> None:
    wanted = needles(planted)
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.txt").write_text("nothing " * 1000)
    assert leaks([tmp_path / "clean"], wanted) == set()
    value = planted["WANDB_API_KEY"]
    (tmp_path / "plain.log").write_text(f"key={value};")
    (tmp_path / "coded.log").write_bytes(base64.b64encode(f"env:{value}!".encode()))
    pq.write_table(pa.table({"reason": [value] * 9}), tmp_path / "t.parquet", compression="zstd")
    assert len(leaks([tmp_path], wanted)) == 3
    assert not is_loopback("0.0.0.0")
    assert not is_loopback("::")
    assert not is_loopback("192.0.2.1")
    assert is_loopback("127.0.0.1")
    assert is_loopback("::1")
    assert is_loopback("::ffff:127.0.0.1")


def test_credentials_in_a_uri_are_refused_and_not_repeated(environment: dict[str, str]) -> None:
    uri = "s3://AKIA:hun/ter2@bucket/hsl"
    for arguments in (["best", uri], ["train", "no-such-space.yaml", "--out", uri]):
        made = run(environment, *arguments)
        assert made.returncode == USAGE
        assert "AWS_SECRET_ACCESS_KEY" in made.stderr
        assert "ter2" not in made.stderr + made.stdout


def run(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hsl.cli", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )


@pytest.mark.slow
def test_no_credential_is_told_and_nothing_is_open_to_others(
    environment: dict[str, str], planted: dict[str, str], scratch: Path, tmp_path: Path
) -> None:
    space, store, wanted = tmp_path / "space.yaml", tmp_path / "store", needles(planted)
    space.write_text(yaml.safe_dump(SPACE))
    command = ["--allow-plugins", "sweep", str(space), "--store", str(store)]
    driver = subprocess.Popen(
        [sys.executable, "-m", "hsl.cli", *command],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch = Watch(driver.pid, [scratch, tmp_path], wanted)
    told = [*driver.communicate(timeout=LIMIT_SECONDS)]
    watch.join(timeout=600)
    assert driver.returncode == FAILED, told
    assert {"gcs_server", "raylet"} <= watch.names
    assert (watch.telling, watch.open_ports, watch.leaks) == (set(), set(), set())

    trials = Store(store).read("trials").to_pylist()
    reasons = [row["reason"] for row in trials if row["status"] == "failed"]
    assert len(reasons) >= 2
    assert all("cannot log in with ['***', '***', 's3://***@bucket/x'], ***" in reason for reason in reasons)
    parent = run(environment, *command, "training.batch_size=48", "--store", str(tmp_path / "parents"))
    assert parent.returncode == USAGE
    assert "cannot log in with ['***'" in parent.stderr
    alone = run(
        environment, "--allow-plugins", "train", str(space), "method=static", "training.batch_size=48"
    )
    assert alone.returncode == BUG
    assert "RuntimeError: cannot log in with ['***'" in alone.stderr
    asked = [
        run(environment, "report", str(store), "--out", str(tmp_path / "report.html")),
        run(environment, "--allow-plugins", "export", str(store), "0.8", "--out", str(tmp_path / "winner")),
        run(environment, "show", str(store), str(trials[0]["trial_id"]), "--debug"),
        run(environment, "--allow-plugins", "status", str(store), "--debug"),
        run(environment, "query", str(store), "SELECT * FROM trials", "--format", "json"),
    ]
    assert [made.returncode for made in asked] == [0] * len(asked), [made.stderr for made in asked]
    for made in (parent, alone, *asked):
        told += [made.stdout, made.stderr]
    assert not any(value.decode() in text for value in wanted for text in told)
    logs = list(scratch.rglob("worker-*.err"))
    assert logs, "Ray's logs are looked at"
    assert leaks([scratch, tmp_path], wanted) == set()
