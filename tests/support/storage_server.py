"""Servers of object stores in processes of their own on this machine, and a way to one that can be cut."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable

import pytest

S3 = (sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}")
GCS = (
    *(sys.executable, "-m", "gcp_storage_emulator", "start", "--in-memory", "--quiet"),
    *("--host=127.0.0.1", "--port={port}"),
)
AZURE = (
    *("azurite-blob", "--inMemoryPersistence", "--disableTelemetry", "--skipApiVersionCheck", "--silent"),
    *("--blobHost", "127.0.0.1", "--blobPort", "{port}"),
)
AZURE_ACCOUNT = "devstoreaccount1"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    # The one that the server's documentation gives to everybody.
    "AZURE_STORAGE_KEY": "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
}
START_SECONDS = 600
CHUNK_BYTES = 1 << 16


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Server:
    """A real server, with real HTTP; its memory lasts as long as its process."""

    def __init__(self, command: Iterable[str] = S3) -> None:
        self.port = free_port()
        words = [word.format(port=self.port) for word in command]
        self._process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + START_SECONDS
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > until or self._process.poll() is not None:
                    self.close()
                    raise
                time.sleep(0.1)

    def freeze(self) -> None:
        """Accept connections, say nothing."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def google() -> tuple[Server, str]:
    pytest.importorskip("gcp_storage_emulator")
    running = Server(GCS)
    where = f"anonymous=true&scheme=http&project_id=p&endpoint_override=127.0.0.1:{running.port}"
    return running, f"gs://bucket?{where}"


def microsoft() -> tuple[Server, str]:
    """Without hierarchical namespaces, where files have no other name than their whole path."""
    if shutil.which(AZURE[0]) is None:
        pytest.skip(f"needs {AZURE[0]}: npm install -g azurite")
    running = Server(AZURE)
    at = f"127.0.0.1:{running.port}"
    where = f"scheme=http&blob_storage_authority={at}&dfs_storage_authority={at}"
    return running, f"abfs://container@{AZURE_ACCOUNT}?{where}"


class Relay:
    """A port that leads to another one, until it is cut: then connections break, and new ones are refused."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._sockets: set[socket.socket] = set()
        self.mend()

    def mend(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        for end in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._sockets.clear()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._sockets |= {near, far}
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(CHUNK_BYTES):
                sink.sendall(content)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            self._sockets.discard(end)
            end.close()
