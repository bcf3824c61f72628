"""What ran where: versions, commit, machine and command line, as a record that is stored with every result.

Environment variables are not recorded, and passwords are taken out of the command line. Torch-free.
"""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import hsl

PACKAGES = ("torch", "ray", "optuna", "numpy")
"""The packages whose versions are recorded beside that of hsl."""

_USER_INFO = re.compile(r"://[^/@\s]+@")
_SECRET = re.compile(
    r"(?i)([\w.-]*(?:secret|token|password|passwd|api[_-]?key|access[_-]?key)[\w.-]*)(=|\s+)[^\s&'\"]+"
)


def redact(text: str) -> str:
    """`text` without the credentials of URIs (``s3://key:secret@bucket``) and options named after secrets."""
    return _SECRET.sub(r"\1\2***", _USER_INFO.sub("://***@", text))


def provenance() -> dict[str, object]:
    """What describes this process.

    Returns:
        A JSON-able dict: "versions" (package to version, None where it is not installed), "python",
        "platform", "hostname", "cpu_count", "command", and, where hsl runs from a git checkout, "git_sha" and
        "git_dirty" (whether tracked files were changed). Collected once per process; every call returns its
        own copy.
    """
    record = _collect()
    return {**record, "versions": dict(_versions())}


@cache
def _collect() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hostname": platform.node(),
        "cpu_count": os.cpu_count(),
        "command": redact(shlex.join(sys.argv)),
        **_git(Path(__file__).parent),
    }


@cache
def _versions() -> dict[str, str | None]:
    return {"hsl": hsl.__version__, **{name: _version(name) for name in PACKAGES}}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(folder: Path) -> dict[str, object]:
    """Commit of the checkout that tracks the files of `folder`; empty where there is none, or no git.

    A package installed inside somebody's own repository is not tracked there, and that commit says nothing.
    """
    tracked = _output(folder, "ls-files", "--", ".")
    sha = _output(folder, "rev-parse", "HEAD")
    if not tracked or not sha:
        return {}
    return {
        "git_sha": sha,
        "git_dirty": bool(_output(folder, "status", "--porcelain", "--untracked-files=no")),
    }


def _output(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
