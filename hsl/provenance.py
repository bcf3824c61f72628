"""Provenance of results: versions, commit, machine and command line, stored with every result.

Environment variables are not recorded, and credentials are removed from everything that is. Torch-free.
"""

import copy
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import hsl

PACKAGES = ("torch", "ray", "optuna", "numpy")
"""Packages whose versions are recorded, as that of hsl is."""

_LOGIN = re.compile(r"(://|=)[^/@\s]*:[^@\s]*@|(?<!abfs)(?<!abfss)(://)[^/@:\s]+@")
"""A secret may itself contain slashes; only with Azure is the part before the @ the name of a container."""
_SIGNATURE = re.compile(r"(?i)([?&](?:sig|[\w-]*signature)=)[^\s&'\"]+")
_NAME = r"secret|token|password|passwd|api[_-]?key|access[_-]?key"
_SECRET = re.compile(rf"(?i)([\w.-]*(?:{_NAME})[\w.-]*)(=|\s+)[^\s&'\"]+")
_SECRET_VARIABLE = re.compile(rf"(?i){_NAME}|private_?key|credential|_key$")
_SHORTEST_SECRET = 8
"""Shorter values are words that occur in ordinary text."""


def redact(text: str) -> str:
    """`text` without what `redact_known` finds, and without the values of options named after secrets."""
    return _SECRET.sub(r"\1\2***", redact_known(text))


def redact_known(text: str) -> str:
    """`text` without the credentials of this process's environment and of URIs (``s3://key:secret@bucket``)."""
    for value in sorted(_secrets(), key=len, reverse=True):
        text = text.replace(value, "***")
    return _SIGNATURE.sub(r"\1***", _LOGIN.sub(r"\1\2***@", text))


def _secrets() -> set[str]:
    """Values of environment variables named after secrets, as they are, line by line, and as inside quotes."""
    named = [value for name, value in os.environ.items() if _SECRET_VARIABLE.search(name)]
    values = [value for value in named if not os.path.exists(value)]  # noqa: PTH110  of any text
    values += [member for value in values for member in _members(value)]
    return {
        form
        for value in values
        for form in (value, *value.splitlines(), repr(value)[1:-1], json.dumps(value)[1:-1])
        if len(form) >= _SHORTEST_SECRET
    }


def _members(value: str) -> Iterator[str]:
    """The secrets in a JSON document of credentials, such as Google's."""
    try:
        document = json.loads(value) if value.startswith("{") else {}
    except ValueError:
        return
    for name, member in document.items():
        if isinstance(member, str) and _SECRET_VARIABLE.search(name):
            yield member


def provenance() -> dict[str, object]:
    """Describe this process.

    Returns:
        A JSON-able dict: "versions" (package to version, None if not installed), "python", "platform", "hostname",
        "cpu_count", "command", and, if hsl runs from a git checkout, "git_sha" and "git_dirty" (whether tracked
        files were changed). Collected once per process; every call returns its own copy.
    """
    return copy.deepcopy(_collect())


@cache
def _collect() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "hostname": platform.node(),
        "cpu_count": os.cpu_count(),
        "command": redact(shlex.join(sys.argv)),
        **_git(Path(__file__).parent),
        "versions": {"hsl": hsl.__version__, **{name: _version(name) for name in PACKAGES}},
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _git(folder: Path) -> dict[str, object]:
    """Commit of the checkout that tracks the files of `folder`; empty without one, without git, or if untracked."""
    tracked = _output(folder, "ls-files", "--", ".")
    sha = _output(folder, "rev-parse", "HEAD")
    if not tracked or not sha:
        return {}
    changes = _output(folder, "status", "--porcelain", "--untracked-files=no")
    return {"git_sha": sha, "git_dirty": bool(changes)}


def _output(folder: Path, *arguments: str) -> str:
    command = ["git", "--no-optional-locks", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
