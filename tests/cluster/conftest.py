"""What several tests of clusters need."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from storage_server import Server


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """A server of S3."""
    pytest.importorskip("moto.server")
    running = Server()
    yield running
    running.close()
