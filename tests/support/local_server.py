"""A web server of one folder on this machine, which can break off, forget ranges, or refuse."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Publisher:
    """What is served and how.

    Attributes:
        folder: Files by name.
        breaks_after: Bytes after which an answer breaks off, or None.
        knows_ranges: Whether a part of a file may be asked for.
        asked: Path and range of every request.
        url: Address of the folder, with a slash at the end.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.breaks_after: int | None = None
        self.knows_ranges = True
        self.asked: list[tuple[str, str | None]] = []
        self.url = ""


@contextmanager
def serving(folder: Path) -> Iterator[Publisher]:
    publisher = Publisher(folder)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            publisher.asked.append((self.path, asked))
            file = folder / self.path.lstrip("/")
            if not file.is_file():
                self.send_error(404)
                return
            content = file.read_bytes()
            first = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            if not publisher.knows_ranges:
                first = 0
            elif asked and first >= len(content):
                self.send_error(416)
                return
            rest = content[first:]
            self.send_response(206 if first else 200)
            self.send_header("Content-Length", str(len(rest)))
            self.end_headers()
            self.wfile.write(rest[: publisher.breaks_after])
            if publisher.breaks_after is not None:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    publisher.url = f"http://127.0.0.1:{server.server_address[1]}/"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield publisher
    finally:
        server.shutdown()
        server.server_close()
