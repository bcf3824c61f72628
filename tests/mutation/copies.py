"""Tests run in a copy of the checkout, each run in a process of its own that is forked off this one."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

TEST_SECONDS = 150
"""A test that takes longer has failed: a mutant may loop for ever."""

OPTIONS = ("-x", "-q", f"--timeout={TEST_SECONDS}", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=no")


class Outcome(Enum):
    """What became of a mutant."""

    DEAD = "dead"
    ALIVE = "alive"
    TOO_LONG = "too long"
    EQUIVALENT = "equivalent"


class Watch:
    """A plug-in of pytest that writes down what fails.

    Args:
        file: Where to.
    """

    def __init__(self, file: Path) -> None:
        self._file = file

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """A part of a test has ended."""
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """A file was read."""
        self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if report.failed:
            self._file.write_text(report.nodeid)


class Copy:
    """A copy of the checkout in which files are changed, one at a time.

    Args:
        root: Its root.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._failed = root / ".mutation.failed"
        self._passes: dict[str, bool] = {}

    def judge(self, file: str, code: str, tests: Sequence[Path], limit: float) -> tuple[Outcome, str]:
        """Run tests with one file changed.

        Args:
            file: The file, from the root.
            code: What stands in it meanwhile.
            tests: Test files.
            limit: Seconds that they may take together.

        Returns:
            What became of the change, and the test that killed it. A test that fails without the change as well, or
            a run that ends without a word, kills nothing.
        """
        if not tests:
            return Outcome.ALIVE, "no test reaches the module"
        with self._changed(self.root / file, code):
            status, output = self._pytest([str(test.relative_to(self.root)) for test in tests], limit)
        if status is None:
            return Outcome.TOO_LONG, f"longer than {limit:.0f} s"
        if status == 0:
            return Outcome.ALIVE, " ".join(test.name for test in tests)
        if status == pytest.ExitCode.USAGE_ERROR:
            return self._unusable(tests, limit, output)
        name = self._failed.read_text() if self._failed.exists() else ""
        if not name:
            return Outcome.ALIVE, f"pytest ended with {status} and no test had failed"
        if not self._passes_unchanged(name, limit):
            return Outcome.ALIVE, f"{name} fails without the change as well"
        return Outcome.DEAD, name

    def _unusable(self, tests: Sequence[Path], limit: float, output: str) -> tuple[Outcome, str]:
        """A change with which pytest cannot even begin, if it can without."""
        names = [str(test.relative_to(self.root)) for test in tests]
        if self._pytest(["--collect-only", *names], limit)[0] == pytest.ExitCode.USAGE_ERROR:
            raise SystemExit(f"pytest cannot be run:\n{output}")
        return Outcome.DEAD, "conftest.py"

    def _passes_unchanged(self, name: str, limit: float) -> bool:
        if name not in self._passes:
            self._passes[name] = self._pytest([name], limit)[0] == 0
        return self._passes[name]

    @contextmanager
    def _changed(self, file: Path, code: str) -> Any:
        before = file.read_text()
        try:
            self._write(file, code)
            yield
        finally:
            self._write(file, before)

    def _write(self, file: Path, code: str) -> None:
        """Write, and forget what Python has compiled: it would not notice a change within the same second."""
        file.write_text(code)
        Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)

    def _pytest(self, names: Sequence[str], limit: float) -> tuple[int | None, str]:
        log = self.root / ".mutation.log"
        self._failed.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            self._become_pytest(names, log)
        status = _wait(child, limit)
        return status, log.read_text(errors="replace")

    def _become_pytest(self, names: Sequence[str], log: Path) -> None:
        """Never returns."""
        status = 70
        try:
            os.setsid()
            stream = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(stream, 1)
            os.dup2(stream, 2)
            os.chdir(self.root)
            os.environ["PYTHONPATH"] = str(self.root)
            sys.path[:] = [str(self.root), *(path for path in sys.path if path != str(Path(__file__).parent))]
            status = int(pytest.main([*OPTIONS, *names], plugins=[Watch(self._failed)]))
            sys.stdout.flush()
        finally:
            os._exit(status)


def _wait(child: int, limit: float) -> int | None:
    """Exit status of a process; None if it took too long and was ended, with all that it had started."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            _end_group(child)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    _end_group(child)
    os.waitpid(child, 0)
    return None


def _end_group(child: int) -> None:
    try:
        os.killpg(child, signal.SIGKILL)
    except ProcessLookupError:
        return
