"""The tiers of the tests, as a plug-in of pytest: what comes first, how long a test may take, which skips may be."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsl.sparsity.methods import METHODS

LONG = ("test_readme", "test_driver_sweep")
"""Modules that take longest: first, so that none of them runs alone at the end while other processes are idle."""

SLOW_SECONDS = 3600.0
"""What a slow test may take, on a machine that does ten other things; that of others stands in pyproject.toml."""

STRICT = "HSL_TESTS_STRICT"
"""Environment variable; where it is 1, a test that is skipped for another reason than `ALLOWED` has failed."""

ALLOWED = (r"^needs a GPU", r"^needs name spaces or mounts", r"^needs \.\./shared")
"""Reasons for which a test may be skipped everywhere: what no package brings."""

NAMES = re.compile(r"\bMETHODS\b|\bDISTRIBUTIONS\b|\bREADME\b")
"""Where a module makes tests of, whose names it does not hold itself."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest modules first, and give slow tests their time; pytest-randomly has shuffled them before."""
    items.sort(key=lambda item: not item.path.stem.startswith(LONG))
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_SECONDS))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """With ``-k METHOD``, import no module that can have no test of that name: importing all takes long."""
    name = config.getoption("keyword")
    if name not in METHODS or collection_path.suffix != ".py" or name in str(collection_path):
        return None
    text = collection_path.read_text().lower()
    return True if name not in text and not NAMES.search(collection_path.read_text()) else None


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Make what a test draws by the generator of torch independent of the tests before it."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


def is_allowed(reason: str) -> bool:
    """Whether a test may be skipped for this reason wherever the tests run."""
    return any(re.search(pattern, reason.removeprefix("Skipped: ")) for pattern in ALLOWED)


def refuse(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a failure of a skip that is not allowed."""
    if os.environ.get(STRICT) != "1" or not report.skipped or hasattr(report, "wasxfail"):
        return
    where: Any = report.longrepr
    reason = where[2] if isinstance(where, tuple) else str(where)
    if not is_allowed(reason):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid}: skipped, which {STRICT}=1 does not allow: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    report = yield
    refuse(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[Any]:
    report = yield
    refuse(report)
    return report
