"""One driver per store: a lease that its holder renews and that expires otherwise.

The lease is a small JSON file in the store, so it works on every file system. On a local path it is read, checked and
written under a file lock, so that exactly one of two drivers gets it. Object stores give pyarrow no conditional put: a
driver writes, waits until concurrent writes must be visible, and holds the lease only if the file still names it. Two
drivers can therefore both believe to hold a lease only if one of them paused for longer than that wait between reading
and writing. Every renewal reads first, so one of them finds out within `RENEW_SECONDS`; until then neither overwrites
the other's rows: parts of a store have unique names, and the same trial gives the same numbers.

Clocks are not trusted: a lease that seems to have expired (or to last longer than any does) is watched for a while
and taken over only if it is not renewed. A holder on this machine whose process has ended is not waited for.
"""

import contextlib
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from filelock import FileLock
from pyarrow import fs

from hsl.errors import LeaseError, StoreError
from hsl.filesystems import open_filesystem, place_on
from hsl.provenance import redact
from hsl.store.files import readable, reported
from hsl.store.layout import LEASE, LEASE_LOCK

FILE_BYTES = 512
"""A constant size, because an object store reports the size first and the content, perhaps newer, afterwards."""

LEASE_SECONDS = 60.0
"""Duration of a lease that is not renewed."""

RENEW_SECONDS = 15.0

SETTLE_SECONDS = 3.0
"""Wait on an object store before a written lease counts."""

LOCK_SECONDS = 30.0
"""Longest wait for the file lock of a local store."""

_HELD_HERE: set[str] = set()
"""Owners of the leases that this process holds."""


@dataclass(frozen=True)
class Holder:
    """Who holds a store, `since` when and until when it `expires` unless renewed, in seconds since 1970.

    The `owner` is an id that is new for every start; `pid` is its process on the machine `host`.
    """

    owner: str
    host: str
    pid: int
    since: float
    expires: float

    def __str__(self) -> str:
        until = datetime.fromtimestamp(self.expires, UTC)
        return f"process {self.pid} on {self.host}, until {until:%Y-%m-%d %H:%M:%S} UTC unless it renews"

    @property
    def is_gone(self) -> bool:
        """Whether its process was on this machine and has ended."""
        if self.host != platform.node():
            return False
        if self.pid == os.getpid():
            return self.owner not in _HELD_HERE  # an earlier process had the same number
        try:
            os.kill(self.pid, 0)
        except OSError as error:
            return isinstance(error, ProcessLookupError)
        return False

    def is_current(self, now: float) -> bool:
        """Whether the lease runs, by a clock that shows `now`."""
        return now < self.expires <= now + 2 * LEASE_SECONDS


class LeaseFile:
    """The lease file of the store at a path or URI."""

    def __init__(self, uri: str) -> None:
        self.where = redact(uri)
        self._filesystem, self._root = open_filesystem(uri)
        self._path = f"{self._root}/{LEASE}"

    @property
    def is_local(self) -> bool:
        """Whether a file lock protects it."""
        return isinstance(self._filesystem, fs.LocalFileSystem)

    def read(self) -> Holder | None:
        """The holder, expired or not; None if there is none, or the file is malformed.

        Raises:
            StoreError: If it cannot be reached.
        """
        try:
            with readable(f"{self.where}/{LEASE}"), self._filesystem.open_input_file(self._path) as file:
                content = file.read()
            return Holder(**json.loads(content))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def write(self, holder: Holder) -> None:
        """Put `holder` into the lease."""
        content = json.dumps(asdict(holder)).encode().ljust(FILE_BYTES)
        with reported(f"{self.where}: cannot be written"):
            place_on(self._filesystem, self._path, content)

    def remove(self) -> None:
        """Free the store."""
        with contextlib.suppress(FileNotFoundError), reported(f"{self.where}: cannot be tidied up"):
            self._filesystem.delete_file(self._path)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Keep other drivers from reading and writing meanwhile; impossible on an object store."""
        if not self.is_local:
            yield
            return
        with reported(f"{self.where}: cannot be written"):
            Path(self._root).mkdir(parents=True, exist_ok=True)
            with FileLock(f"{self._root}/{LEASE_LOCK}", timeout=LOCK_SECONDS):
                yield


class Lease:
    """The right to write to the store at a path or URI, renewed by a thread."""

    def __init__(self, uri: str) -> None:
        self._file = LeaseFile(uri)
        self._owner = uuid4().hex
        self._since = time.time()
        self._renewed = time.monotonic()
        self._lost: LeaseError | None = None
        self._stopped = threading.Event()

    def acquire(self) -> None:
        """Take the lease.

        Raises:
            LeaseError: If another driver holds it: who, and until when.
        """
        stale = self._unrenewed()
        with self._file.exclusive():
            found = self._file.read()
            if found and not found.is_gone and found != stale:
                raise self._refusal(found)
            self._write()
        if not self._file.is_local:
            time.sleep(SETTLE_SECONDS)
            if not self._is_mine(found := self._file.read()):
                raise self._refusal(found)
        _HELD_HERE.add(self._owner)
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def check(self) -> None:
        """Check, before writing, that the lease is still held.

        Raises:
            LeaseError: If another driver has taken the store over, for example because this one was suspended.
            StoreError: If the lease has to be renewed and the store cannot be reached.
        """
        if self._lost is None and time.monotonic() - self._renewed > LEASE_SECONDS:
            self._renew()
        if self._lost is not None:
            raise self._lost

    def release(self) -> None:
        """Free the store for others."""
        self._stopped.set()
        self._thread.join()
        _HELD_HERE.discard(self._owner)
        with contextlib.suppress(StoreError):  # it expires by itself
            if self._is_mine(self._file.read()):
                self._file.remove()

    def _unrenewed(self) -> Holder | None:
        """The holder of an expired lease that is not renewed while it is watched for two renewal periods."""
        found = self._file.read()
        if found is None or found.is_gone or found.is_current(time.time()):
            return None
        until = time.monotonic() + 2 * RENEW_SECONDS
        while time.monotonic() < until and self._file.read() == found:
            time.sleep(RENEW_SECONDS / 10)
        return found

    def _write(self) -> None:
        began, expires = time.monotonic(), time.time() + LEASE_SECONDS
        self._file.write(Holder(self._owner, platform.node(), os.getpid(), self._since, expires))
        self._renewed = began

    def _is_mine(self, found: Holder | None) -> bool:
        return found is not None and found.owner == self._owner

    def _renew(self) -> None:
        with self._file.exclusive():
            found = self._file.read()
            if self._is_mine(found):
                self._write()
            else:
                self._lost = self._refusal(found)

    def _keep(self) -> None:
        while not self._stopped.wait(RENEW_SECONDS) and self._lost is None:
            with contextlib.suppress(StoreError):  # unreachable for a while: there is time until it expires
                self._renew()

    def _refusal(self, found: Holder | None) -> LeaseError:
        who = f"{found}" if found else "a driver that removed the lease"
        return LeaseError(
            f"another sweep is writing to {self._file.where}: {who}; wait for it, or use another --store"
        )


@contextlib.contextmanager
def lease(uri: str) -> Iterator[Callable[[], None]]:
    """Hold the lease of a store.

    Yields:
        A function to call before every write; it raises a LeaseError once the lease is lost.

    Raises:
        LeaseError: If another driver holds it.
    """
    held = Lease(uri)
    held.acquire()
    try:
        yield held.check
    finally:
        held.release()
