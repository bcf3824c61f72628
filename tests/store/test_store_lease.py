"""One driver per store, decided by a lease that expires."""

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

from hsl.errors import LeaseError, StoreError
from hsl.store import lease as module
from hsl.store.layout import LEASE
from hsl.store.lease import Holder, Lease, LeaseFile, lease

ELSEWHERE = {"owner": "a", "host": "elsewhere", "pid": 7, "since": 0.0}


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Renewed often, so that nothing here waits for it."""
    monkeypatch.setattr(module, "RENEW_SECONDS", 0.1)


class Clock:
    """Time as the lease sees it, which a test moves on."""

    def __init__(self) -> None:
        self.shift = 0.0

    def time(self) -> float:
        return time.time() + self.shift

    def monotonic(self) -> float:
        return time.monotonic() + self.shift

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    moved = Clock()
    monkeypatch.setattr(module, "time", moved)
    return moved


def until(condition: Callable[[], object]) -> None:
    """Wait for it, however long the machine takes; pytest-timeout ends what never comes."""
    while not condition():
        time.sleep(0.02)


def put(folder: Path, **holder: Any) -> None:
    (folder / LEASE).write_text(json.dumps({**ELSEWHERE, **holder}))


def test_the_holder_stands_in_the_store_and_is_gone_afterwards(tmp_path: Path) -> None:
    store = tmp_path / "new" / "store"
    with lease(str(store)) as check:
        found = LeaseFile(str(store)).read()
        assert found is not None
        assert (found.host, found.pid) == (platform.node(), os.getpid())
        assert time.time() < found.expires <= time.time() + module.LEASE_SECONDS
        check()
    assert LeaseFile(str(store)).read() is None


def test_a_second_one_is_refused_with_who_and_until_when(tmp_path: Path) -> None:
    with lease(str(tmp_path)), pytest.raises(LeaseError) as caught:
        Lease(str(tmp_path)).acquire()
    assert f"process {os.getpid()} on {platform.node()}, until 20" in str(caught.value)
    assert "use another --store" in str(caught.value)


def expires(folder: Path) -> float:
    found = LeaseFile(str(folder)).read()
    assert found is not None
    return found.expires


def test_it_is_renewed_as_long_as_it_is_held(tmp_path: Path, clock: Clock) -> None:
    with lease(str(tmp_path)) as check:
        for _ in range(3):
            first, clock.shift = expires(tmp_path), clock.shift + module.LEASE_SECONDS / 2
            until(lambda first=first: expires(tmp_path) >= first + module.LEASE_SECONDS / 2)
        with pytest.raises(LeaseError):
            Lease(str(tmp_path)).acquire()
        check()


def test_one_that_runs_elsewhere_is_respected_and_one_that_expired_is_taken_over(tmp_path: Path) -> None:
    put(tmp_path, expires=time.time() + 60)
    with pytest.raises(LeaseError, match="process 7 on elsewhere"):
        Lease(str(tmp_path)).acquire()
    put(tmp_path, expires=time.time() - 1)
    with lease(str(tmp_path)):
        found = LeaseFile(str(tmp_path)).read()
        assert found is not None
        assert found.host == platform.node()


@pytest.mark.parametrize("shift", [-3600.0, 3600.0], ids=["behind", "ahead"])
def test_a_holder_whose_clock_is_wrong_is_not_taken_over_while_it_renews(
    tmp_path: Path, shift: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_SECONDS", 10.0)  # it is watched every second, for twenty of them
    code = (
        "import json,os,sys,time\n"
        "while True:\n"
        "    with open(sys.argv[1] + '.new', 'w') as file:\n"
        f"        file.write(json.dumps({ELSEWHERE!r} | {{'expires': time.time() + {shift}}}))\n"
        "    os.replace(file.name, sys.argv[1])\n"
        "    time.sleep(0.15)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / LEASE)])
    try:
        until((tmp_path / LEASE).exists)
        with pytest.raises(LeaseError, match="elsewhere"):
            Lease(str(tmp_path)).acquire()
    finally:
        holder.kill()
        holder.wait()


def test_a_dead_holder_on_this_machine_is_not_waited_for(tmp_path: Path) -> None:
    gone = subprocess.Popen(["true"])
    gone.wait()
    put(tmp_path, host=platform.node(), pid=gone.pid, expires=time.time() + 60)
    with lease(str(tmp_path)):
        pass
    put(tmp_path, host=platform.node(), pid=os.getpid(), expires=time.time() + 60)  # a number used again
    with lease(str(tmp_path)):
        pass
    put(tmp_path, host=platform.node(), pid=os.getppid(), expires=time.time() + 60)
    with pytest.raises(LeaseError):
        Lease(str(tmp_path)).acquire()


def test_whoever_was_taken_over_may_not_write_any_more(tmp_path: Path) -> None:
    with lease(str(tmp_path)) as check:
        with LeaseFile(str(tmp_path)).exclusive():  # not in the middle of a renewal
            put(tmp_path, expires=time.time() + 60)
        with pytest.raises(LeaseError, match="process 7 on elsewhere"):
            until(check)  # which returns nothing as long as it does not know
    assert json.loads((tmp_path / LEASE).read_text())["host"] == "elsewhere"


def test_one_that_stood_still_looks_before_it_writes(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RENEW_SECONDS", 1000.0)
    with lease(str(tmp_path)) as check:
        clock.shift += module.LEASE_SECONDS + 1
        assert expires(tmp_path) < clock.time()
        check()  # nobody came: renewed
        assert expires(tmp_path) > clock.time()
        clock.shift += module.LEASE_SECONDS + 1
        put(tmp_path, expires=clock.time() + 60)
        with pytest.raises(LeaseError):
            check()


def test_a_store_out_of_reach_is_no_lost_lease(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*_: object) -> None:
        raise StoreError("unreachable")

    with lease(str(tmp_path)) as check:
        with monkeypatch.context() as patch:
            patch.setattr(LeaseFile, "read", unreachable)
            clock.shift += module.LEASE_SECONDS + 1
            with pytest.raises(StoreError, match="unreachable"):
                check()
        check()


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"owner": 1}'])
def test_a_file_that_is_no_lease_holds_nobody_off(tmp_path: Path, content: str) -> None:
    (tmp_path / LEASE).write_text(content)
    with lease(str(tmp_path)):
        pass


def test_the_text_of_a_holder() -> None:
    assert str(Holder("a", "here", 3, 0.0, 1e9)) == (
        "process 3 on here, until 2001-09-09 01:46:40 UTC unless it renews"
    )


CONTENDER = """
import sys
from hsl.errors import LeaseError
from hsl.store import lease
print("ready", flush=True)
sys.stdin.readline()
try:
    with lease.lease(sys.argv[1]):
        print("held", flush=True)
        sys.stdin.readline()
except LeaseError as error:
    print("refused", error, flush=True)
"""


def contend(uri: str, drivers: int) -> list[str]:
    """What drivers say that all start at the same moment; whoever holds the store does so until all have spoken."""
    command = [sys.executable, "-c", CONTENDER, uri]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    running = [subprocess.Popen(command, **pipes) for _ in range(drivers)]
    try:
        assert [process.stdout.readline() for process in running] == ["ready\n"] * drivers
        for process in running:
            process.stdin.write("go\n")
            process.stdin.flush()
        return sorted(process.stdout.readline().split()[0] for process in running)
    finally:
        for process in running:
            process.communicate()


def test_of_drivers_that_start_at_once_exactly_one_runs(tmp_path: Path) -> None:
    assert contend(str(tmp_path), drivers=4) == ["held", "refused", "refused", "refused"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket of an S3 server on this machine."""
    server_module = pytest.importorskip("moto.server")
    for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")):
        monkeypatch.setenv(name, value)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"s3://sweeps/store?scheme=http&endpoint_override={host}:{port}&allow_bucket_creation=true"
    finally:
        server.stop()


@pytest.mark.slow
def test_of_drivers_on_an_object_store_exactly_one_runs(bucket: str) -> None:
    from pyarrow import fs  # noqa: PLC0415

    filesystem, _ = fs.FileSystem.from_uri(bucket)
    filesystem.create_dir("sweeps")
    assert contend(bucket, drivers=3) == ["held", "refused", "refused"]
    assert LeaseFile(bucket).read() is None
