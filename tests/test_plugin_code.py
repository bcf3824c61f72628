"""Digests of the code of plug-ins."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REWORDED = '''"""A network."""
from .parts import widths  # how wide
from helper import grow

def net():
    """Make it."""
    return grow(widths.WIDTH)
'''
SCRIPT = (
    "import sys; from hsl.plugin_code import code_digest; print([code_digest(name) for name in sys.argv[1:]])"
)


def digests(folder: Path, *names: str) -> list[str | None]:
    """Digests in a process of its own, which imports nothing twice."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *names],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return list(eval(done.stdout))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package whose module `net` leads to `parts.widths`, and a module that nothing leads to."""
    files = {
        "own/__init__.py": "",
        "own/net.py": "from .parts import widths\nfrom helper import grow\ndef net(): return grow(widths.WIDTH)\n",
        "own/parts/__init__.py": "",
        "own/parts/widths.py": "WIDTH = 8\n",
        "own/unrelated.py": "OTHER = 1\n",
        "helper.py": "def grow(width):\n    return 2 * width\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("file", "text", "is_same"),
    [
        (
            "own/net.py",
            REWORDED,
            True,
        ),
        ("own/unrelated.py", "OTHER = 2\n", True),
        (
            "own/net.py",
            "from .parts import widths\nfrom helper import grow\ndef net(): return grow(widths.WIDTH + 1)\n",
            False,
        ),
        ("own/parts/widths.py", "WIDTH = 9\n", False),
        ("helper.py", "def grow(width):\n    return 3 * width\n", False),
    ],
)
def test_what_is_computed_counts_and_not_how_it_is_written(
    package: Path, file: str, text: str, is_same: bool
) -> None:
    before = digests(package, "own.net:net")
    (package / file).write_text(text)
    assert (digests(package, "own.net:net") == before) is is_same
    assert before != [None]


def test_installed_code_has_a_version_and_no_digest(package: Path) -> None:
    names = (
        "optuna.samplers:QMCSampler",
        "json:dumps",
        "hsl.training.models.mlp:mlp",
        "gone:attr",
        "from:snip",
        "2:4",
    )
    assert digests(package, *names) == [None] * len(names)


def test_code_that_cannot_be_imported_has_no_digest(package: Path) -> None:
    (package / "own" / "net.py").write_text("raise SystemExit(3)")
    (package / "helper.py").write_text("1 / 0")
    assert digests(package, "own.net:net", "helper:grow") == [None, None]
