"""The log of one trial, written by its worker to the store, next to its checkpoints. No torch, no ray."""

import contextlib
import io
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import TextIO

from hsl.filesystems import UNREACHABLE, open_filesystem, place
from hsl.provenance import redact

MAX_CHARACTERS = 256 * 1024
"""A longer log loses its middle."""

LOGGER = "hsl"
"""The log has messages of this package from level INFO, of all others from WARNING."""


class TrialLog:
    """Collects the output and the logged messages of a trial, and adds them to its file when the trial asks for it.

    A worker that takes over an interrupted trial continues the same file. While a store cannot be written lines
    wait for the next time.

    Args:
        uri: Path or URI of the file; None keeps no log.
    """

    def __init__(self, uri: str | None = None) -> None:
        self._uri = uri
        self._stored: str | None = None
        self._waiting: list[str] = []

    def note(self, text: str) -> None:
        """Add lines, each with the time."""
        if self._uri is not None:
            now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
            self._waiting += [f"{now} {line}\n" for line in text.splitlines()]

    @contextlib.contextmanager
    def capture(self) -> Iterator[None]:
        """Collect what is printed and logged in the block, in addition to its normal destination."""
        if self._uri is None:
            yield
            return
        handler = _Handler(self.note)
        own, root = logging.getLogger(LOGGER), logging.getLogger()
        level = own.level
        out, err = _Tee(sys.stdout, self.note), _Tee(sys.stderr, self.note)
        own.setLevel(logging.INFO)
        root.addHandler(handler)
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
                yield
        finally:
            root.removeHandler(handler)
            own.setLevel(level)
            out.end_line()
            err.end_line()

    def write(self) -> None:
        """Add the lines collected since the last time to the file."""
        if self._uri is None or not self._waiting:
            return
        new = redact("".join(self._waiting))
        with contextlib.suppress(*UNREACHABLE):
            if self._stored is None:
                self._stored = _read(self._uri)
            text = shortened(self._stored + new)
            place(self._uri, text.encode(errors="replace"))
            self._stored, self._waiting = text, []


class _Handler(logging.Handler):
    """Passes on what is logged."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__()
        self._note = note
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        """Pass on one record."""
        self._note(self.format(record))


class _Tee(io.TextIOBase):
    """Writes to a stream, and passes on whole lines."""

    def __init__(self, stream: TextIO, note: Callable[[str], None]) -> None:
        self._stream = stream
        self._note = note
        self._line = ""

    def write(self, text: str) -> int:
        """Write, and pass on complete lines."""
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._note(line)
        return self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def fileno(self) -> int:
        """Descriptor of the stream, for native code."""
        return self._stream.fileno()

    def end_line(self) -> None:
        """Pass on an incomplete line."""
        if self._line:
            self._note(self._line)
        self._line = ""


def shortened(text: str, limit: int = MAX_CHARACTERS) -> str:
    """A log of at most about `limit` characters: its beginning and its end."""
    if len(text) <= limit:
        return text
    head, tail = text[: limit // 4], text[-(limit // 2) :]
    head, tail = head[: head.rfind("\n") + 1], tail[tail.find("\n") + 1 :]
    return f"{head}... {len(text) - len(head) - len(tail)} characters are left out ...\n{tail}"


def _read(uri: str) -> str:
    """Content of the file; empty if there is none."""
    filesystem, path = open_filesystem(uri)
    try:
        with filesystem.open_input_stream(path) as stream:
            return bytes(stream.read()).decode(errors="replace")
    except FileNotFoundError:
        return ""
