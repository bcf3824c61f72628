"""An append-only store of results in Parquet, on a local path or in an object store.

Every append places one new file atomically, so that a reader sees all of it or nothing, even after a crash. Nothing is
changed in place: the newest row of a key wins on reading, and `compact` replaces many files by one with the same rows.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from hsl.errors import StoreError
from hsl.filesystems import TEMPORARY, open_filesystem, place_on
from hsl.provenance import redact
from hsl.store.columns import TABLES
from hsl.store.files import open_source, reported
from hsl.store.layout import SPACE
from hsl.store.parts import Part, decode, newest, parse
from hsl.store.rows import arrow_schema, check_names, check_row, checked_table, columns_of, conform, to_arrow

_LOG = logging.getLogger("hsl.store.store")
_READ_ATTEMPTS = 5


class Store:
    """Results of one sweep; a `table` is one of `columns.TABLES`. Nothing is created before the first append.

    Args:
        uri: Local path or URI, see `filesystems.open_filesystem`, whose errors are raised.
    """

    def __init__(self, uri: str | Path) -> None:
        self.uri = redact(str(uri))
        self._filesystem, self._root = open_filesystem(str(uri))
        # Where another process finds it: a relative path would depend on the working directory.
        self._address = self._root if isinstance(self._filesystem, fs.LocalFileSystem) else str(uri)
        self._session = uuid4().hex
        self._lock = threading.Lock()
        self._last_number = 0

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        # A copy in another process gets its own session, so that two processes never write one file name.
        return (Store, (self._address,))

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    @property
    def place(self) -> str:
        """Location of the store in a canonical form."""
        return f"{self._filesystem.type_name}:{self._root}"

    def exists(self) -> bool:
        """Whether a table or a space is stored here."""
        paths = [self._path(SPACE), *(self._path(table) for table in TABLES)]
        with reported(f"{self.uri}: cannot be read"):
            found = self._filesystem.get_file_info(paths)
        return any(info.type != fs.FileType.NotFound for info in found)

    def append(self, table: str, rows: Iterable[Mapping[str, object]]) -> None:
        """Add `rows` (see `rows.check_row`) to `table` atomically: after a crash all of them are stored or none.

        Raises:
            StoreError: If a row does not fit the columns, or the store cannot be written.
        """
        self.append_table(table, to_arrow(table, rows))

    def append_table(self, table: str, rows: pa.Table) -> None:
        """Add `rows`, which have the columns of `table`, as `append` does."""
        if len(rows):
            self._write(table, Part(self._next_number(), self._session), conform(table, rows))

    def read(self, table: str, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows of `table`, one per key (the one that arrived last), in the order of arrival.

        Columns that a file lacks are null; unknown columns are left out, and so are, with a warning, files that are
        damaged or not of this table.

        Args:
            table: Name of the table.
            columns: Columns of `rows.arrow_schema(table)` to return, in this order; by default all, which takes
                several times as long and as much memory.

        Raises:
            StoreError: If there is no store, or a newer hsl wrote it.
            UnknownNameError: If there is no such table or column.
        """
        check_names(table, columns or ())
        return newest(table, self._read_parts(table, columns).values(), columns)

    def compact(self, table: str) -> None:
        """Replace the files of `table` by one with the same rows; rows appended meanwhile are kept.

        It is safe to interrupt: the new file is complete before an old one is deleted, and until then readers find
        rows twice and take each once. Files that cannot be read are left alone; nothing is replaced if a file of a
        newer hsl has columns that would be lost.

        Raises:
            StoreError: If there is no store, or it cannot be written.
        """
        parts = self._read_parts(table)
        known = arrow_schema(table).names
        newer = any(set(rows.column_names) - set(known) for rows in parts.values())
        if newer:
            _LOG.warning(
                "%s/%s is not compacted: it has columns of a newer hsl; compact it with that", self.uri, table
            )
        if newer or len(parts) < 2:
            return
        self._write_compacted(table, parts)
        self._delete(table, parts)

    def replace_table(self, table: str, rows: pa.Table) -> None:
        """Make `rows` the only ones of `table`; they are stored before the old files are deleted."""
        old = self._parts(table) if self.exists() else []
        self.append_table(table, rows)
        self._delete(table, old)

    def files(self, folder: str) -> dict[str, int]:
        """File name to size in bytes in a folder other than a table: checkpoints, logs."""
        selector = fs.FileSelector(self._path(folder), allow_not_found=True)
        with reported(f"{self.uri}/{folder}: cannot be listed"):
            return {info.base_name: info.size for info in self._filesystem.get_file_info(selector)}

    def read_file(self, name: str) -> pa.Buffer:
        """The content of ``folder/file``.

        Raises:
            FileNotFoundError: If there is none.
            StoreError: If it cannot be read.
        """
        with open_source(self._filesystem, self._path(name), f"{self.uri}/{name}") as source:
            return source.read_buffer()

    def write_file(self, name: str, content: pa.Buffer) -> None:
        """Write ``folder/file`` atomically."""
        with reported(f"{self.uri}/{name}: cannot be written"):
            self._place(name, content)

    def write_space(self, text: str) -> None:
        """Store the search space of the sweep, as YAML text."""
        with reported(f"{self.uri}: cannot be written"):
            self._place(SPACE, text.encode())

    def read_space(self) -> str | None:
        """The YAML text of the search space, or None if none was stored.

        Raises:
            StoreError: If it cannot be read.
        """
        try:
            return self.read_file(SPACE).to_pybytes().decode()
        except FileNotFoundError:
            return None
        except UnicodeDecodeError as error:
            raise StoreError(f"{self.uri}/{SPACE}: is not text: {error}; restore it or remove it") from error

    def _next_number(self) -> int:
        """A unique number for this session, from the clock, so that files of all sessions are in order."""
        with self._lock:
            self._last_number = max(self._last_number + 1, time.time_ns())
            return self._last_number

    def _path(self, *names: str) -> str:
        return "/".join((self._root, *names))

    def _parts(self, table: str) -> list[Part]:
        """The files of `table`, from old to new."""
        columns_of(table)
        if not self.exists():
            raise StoreError(
                f"{self.uri}: no result store here; give the --store of a sweep, or run `hsl sweep` first"
            )
        selector = fs.FileSelector(self._path(table), allow_not_found=True)
        with reported(f"{self.uri}/{table}: cannot be listed"):
            names = [info.base_name for info in self._filesystem.get_file_info(selector)]
        for name in names:
            if not parse(name) and not name.startswith(TEMPORARY):
                _LOG.warning("%s/%r is left out, it is not part of a store", table, name)
        return sorted(part for name in names if (part := parse(name)))

    def _read_parts(self, table: str, columns: Sequence[str] | None = None) -> dict[Part, pa.Table]:
        """The readable files of `table`, listed again if a compaction has removed one meanwhile."""
        for _ in range(_READ_ATTEMPTS):
            with contextlib.suppress(FileNotFoundError):
                found = {part: self._read_part(table, part, columns) for part in self._parts(table)}
                return {part: rows for part, rows in found.items() if rows is not None}
        raise StoreError(f"{self.uri}/{table}: files vanish while being read; retry when the sweep is idle")

    def _read_part(self, table: str, part: Part, columns: Sequence[str] | None) -> pa.Table | None:
        """Columns of one file as they are, or None with a warning if it is not a file of this table."""
        where = f"{self.uri}/{table}/{part.name}"
        try:
            with open_source(self._filesystem, self._path(table, part.name), where) as source:
                return decode(table, source, columns)
        except FileNotFoundError:
            raise
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            if isinstance(error, OSError) and error.errno:  # an error of the system, not of the content
                raise StoreError(f"{where}: cannot be read: {redact(str(error))}; try again") from error
            reason = str(error).partition("\n")[0]
            _LOG.warning("%s is left out, it is not a file of this table: %s", where, reason)
            return None

    def _write_compacted(self, table: str, parts: Mapping[Part, pa.Table]) -> None:
        # The number follows the newest replaced file, so that rows appended meanwhile stay newer; the session
        # is new, so that no append of this store can have the same name.
        self._write(table, Part(max(parts).number + 1, uuid4().hex), newest(table, parts.values()))

    def _delete(self, table: str, parts: Iterable[Part]) -> None:
        for part in parts:
            where = f"{self.uri}/{table}: cannot be tidied up"
            with reported(where), contextlib.suppress(FileNotFoundError):
                self._filesystem.delete_file(self._path(table, part.name))

    def _write(self, table: str, part: Part, rows: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd", write_page_checksum=True)
        with reported(f"{self.uri}/{table}: cannot be written"):
            self._place(f"{table}/{part.name}", sink.getvalue())

    def _place(self, name: str, content: bytes | pa.Buffer) -> None:
        place_on(self._filesystem, self._path(name), content)


class Writer:
    """Collects rows and appends them in few files.

    Rows are checked once, when they are added. They are written when there are enough of them, when they are old
    enough (checked by `add`), by `flush`, and on leaving the context.

    Args:
        store: Where rows go.
        rows: Number of waiting rows that causes a flush, at least 1.
        seconds: Age of the oldest waiting row that causes a flush.

    Raises:
        StoreError: If `rows` is below 1 or `seconds` is negative.
    """

    def __init__(self, store: Store, rows: int = 256, seconds: float = 10.0) -> None:
        if rows < 1 or seconds < 0:
            raise StoreError(f"rows={rows}, seconds={seconds}: give at least 1 row and no negative time")
        self._store = store
        self._limit, self._seconds = rows, seconds
        # Trials last: when the row of a trial is stored, its epochs and evaluations are as well.
        order = ("cells", "epochs", "evaluations", "trials")
        self._waiting: dict[str, list[dict[str, object]]] = {table: [] for table in order}
        self._oldest = 0.0

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def add(self, table: str, row: Mapping[str, object]) -> None:
        """Accept one row (see `rows.check_row`), and flush if due.

        Raises:
            StoreError: If the row does not fit the columns, or a flush fails (the rows then keep waiting).
        """
        checked = check_row(table, row)
        if not self._count():
            self._oldest = time.monotonic()
        self._waiting[table].append(checked)
        if self._count() >= self._limit or time.monotonic() - self._oldest >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Append all waiting rows.

        Raises:
            StoreError: If the store cannot be written; rows that were not written keep waiting.
        """
        for table, rows in self._waiting.items():
            self._store.append_table(table, checked_table(table, rows))
            rows.clear()

    @property
    def is_empty(self) -> bool:
        """Whether no row waits: all that were added are durable."""
        return not self._count()

    def _count(self) -> int:
        return sum(map(len, self._waiting.values()))
