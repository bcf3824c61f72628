"""The watcher, asked by a real server in place of the provider's metadata address."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hsl.cluster import preemption
from hsl.cluster.preemption import PROVIDERS, Provider, main, wait_for_notice
from hsl.errors import HslError

AWS = "/latest/meta-data/spot/instance-action"
GCP = "/computeMetadata/v1/instance/preempted"
AZURE = "/metadata/scheduledevents?api-version=2020-07-01"


class Metadata(BaseHTTPRequestHandler):
    """Serves `answers`; as EC2's version 2 it wants a token for its own path."""

    answers: dict[str, str] = {}
    asked: list[str] = []

    def do_PUT(self) -> None:
        ok = self.path == "/latest/api/token" and self.headers["X-aws-ec2-metadata-token-ttl-seconds"]
        self._answer(200 if ok else 400, "token-1")

    def do_GET(self) -> None:
        self.asked.append(self.path)
        allowed = {
            AWS: self.headers["X-aws-ec2-metadata-token"] == "token-1",
            GCP: self.headers["Metadata-Flavor"] == "Google",
            AZURE: self.headers["Metadata"] == "true",
        }
        if not allowed.get(self.path):
            self._answer(401, "")
        elif self.path in self.answers:
            self._answer(200, self.answers[self.path])
        else:
            self._answer(404, "")

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(answers: dict[str, str]) -> Iterator[str]:
    """Serves these answers in place of the provider; the address."""
    Metadata.answers, Metadata.asked = answers, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Metadata)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(timeout=5)


@pytest.fixture
def address() -> Iterator[str]:
    with serving({}) as found:
        yield found


NOTICES = [
    ("aws", AWS, json.dumps({"action": "terminate", "time": "2026-01-01T00:02:00Z"})),
    ("gcp", GCP, "TRUE"),
    ("azure", AZURE, json.dumps({"Events": [{"EventType": "Preempt", "NotBefore": ""}]})),
]
QUIET = [
    ("aws", AWS, None),
    ("aws", AWS, "<html>404</html>"),
    ("gcp", GCP, "FALSE"),
    ("gcp", GCP, None),
    ("azure", AZURE, json.dumps({"Events": []})),
    ("azure", AZURE, json.dumps({"Events": [{"EventType": "Reboot"}]})),
    ("azure", AZURE, "not json"),
]


@pytest.mark.parametrize(("provider", "path", "text"), NOTICES)
def test_an_announcement_is_understood(address: str, provider: str, path: str, text: str) -> None:
    Metadata.answers = {path: text}
    assert PROVIDERS[provider].is_announced(address)


@pytest.mark.parametrize(("provider", "path", "text"), QUIET)
def test_anything_else_is_none(address: str, provider: str, path: str, text: str | None) -> None:
    Metadata.answers = {} if text is None else {path: text}
    assert not PROVIDERS[provider].is_announced(address)


def test_a_machine_without_metadata_is_never_announced() -> None:
    assert not PROVIDERS["aws"].is_announced("http://127.0.0.1:9")


def test_it_waits_until_the_notice_comes(address: str) -> None:
    def announce() -> None:
        while len(Metadata.asked) < 3:
            pass
        Metadata.answers = {GCP: "TRUE"}

    threading.Thread(target=announce, daemon=True).start()
    wait_for_notice(Provider(address, preemption.gcp_announces, 30), poll_seconds=0.01)
    assert len(Metadata.asked) >= 4


def test_the_notice_drains_with_the_time_that_is_left(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    drained: list[int] = []
    monkeypatch.setattr(preemption, "drain", drained.append)
    Metadata.answers = {AWS: NOTICES[0][2]}
    main(["aws", address])
    assert drained == [120]


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(HslError, match=r"unknown provider 'awz' .*known: aws, azure, gcp"):
        main(["awz"])
