"""The tests as a tool: a run ends whatever a test does, no skip is silent, a method is found quickly."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tiers import is_allowed, pytest_ignore_collect

ROOT = Path(__file__).parents[1]

DIES = """
import os
def test_dies():
    os._exit(3)
"""

HANGS = """
import time
import pytest
@pytest.mark.timeout(0.5)
def test_hangs():
    time.sleep(10_000)
"""

SKIPS = """
import pytest
@pytest.mark.skipif(True, reason="needs a GPU with sparse tensor cores")
def test_allowed(): ...
@pytest.mark.skipif(True, reason="no browser, which needs a GPU")
def test_marked(): ...
def test_called():
    pytest.importorskip("no_such_package")
@pytest.fixture
def server():
    pytest.skip("no server")
def test_of_a_fixture(server): ...
@pytest.mark.xfail
def test_expected():
    assert False
"""

MODULE = "import pytest\npytest.importorskip('no_such_package')\ndef test_never_seen(): ...\n"


def run(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and output of the tests of a folder, by the settings of this project."""
    settings = [
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(folder),
        "-p",
        "tiers",
        "-p",
        "no:cacheprovider",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *settings, *arguments, str(folder)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "tests/support"), *sys.path]),
            **environment,
        },
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_process_that_dies_ends_the_run_and_is_named(tmp_path: Path) -> None:
    (tmp_path / "test_dies.py").write_text(DIES)
    (tmp_path / "test_other.py").write_text("def test_other(): ...\n")
    code, told = run(tmp_path, "-n", "2")
    assert code not in (0, 5), told
    assert re.search(r"crashed while running .*test_dies", told)


def test_a_test_that_hangs_fails_and_only_three_reasons_for_a_skip_pass(tmp_path: Path) -> None:
    for name, content in (("hangs", HANGS), ("skips", SKIPS), ("module", MODULE)):
        (tmp_path / f"test_{name}.py").write_text(content)
    code, told = run(tmp_path, "-n", "0", "--continue-on-collection-errors", HSL_TESTS_STRICT="1")
    assert code == 1, told
    assert "Timeout" in told and "test_hangs" in told
    assert "2 failed, 1 skipped, 1 xfailed, 3 errors" in told, told
    for reason in ("no browser, which needs a GPU", "could not import 'no_such_package'", "no server"):
        assert f"does not allow: Skipped: {reason}" in told
    (tmp_path / "test_hangs.py").unlink()
    code, told = run(tmp_path, "-n", "0", HSL_TESTS_STRICT="")
    assert code == 0 and "5 skipped, 1 xfailed" in told, told


@pytest.mark.parametrize(
    ("reason", "allowed"),
    [
        ("Skipped: needs ../shared: no CIFAR-10 files there", True),
        ("needs name spaces or mounts: unshare: Operation not permitted", True),
        ("Skipped: needs a GPU", True),
        ("Skipped: could not import 'cv2': No module named 'cv2'", False),
        ("Skipped: needs azurite-blob", False),
        ("", False),
    ],
)
def test_reasons(reason: str, allowed: bool) -> None:
    assert is_allowed(reason) is allowed


@pytest.mark.parametrize("name", ["rigl", "mest_soft"])
def test_a_method_is_looked_for_only_where_it_may_be(name: str) -> None:
    config: Any = SimpleNamespace(getoption=lambda _: name)
    everything: Any = SimpleNamespace(getoption=lambda _: "")
    left_out = {file.name for file in ROOT.glob("tests/*/test_*.py") if pytest_ignore_collect(file, config)}
    assert {"test_hardness_corruptions.py", "test_store_store.py"} <= left_out
    assert not any(file.startswith("test_sparsity_conf") for file in left_out)
    assert not any(pytest_ignore_collect(file, everything) for file in ROOT.glob("tests/*/test_*.py"))
