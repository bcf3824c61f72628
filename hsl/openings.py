"""Which files Python opens: of a block, and while a module is imported.

Python reports every file that it opens (PEP 578); those that C libraries open by themselves are not seen.
"""

import os
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any

_LISTENING: list[set[str]] = []
_BY_MODULE: defaultdict[str, set[str]] = defaultdict(set)
_COMPILED = (".pyc", ".so")
_IMPORTERS = ("importlib", "zipimport", "_frozen_importlib", "linecache", "tokenize", "inspect", "_pytest")
"""Modules that open the files of code for Python itself."""


@contextmanager
def opened_files() -> Iterator[set[str]]:
    """Collect the paths of files that are opened for reading in the block, in any thread."""
    listen()
    found: set[str] = set()
    _LISTENING.append(found)
    try:
        yield found
    finally:
        _LISTENING.remove(found)


def opened_on_import(module: str) -> list[Path]:
    """Files that the code of a module has opened for reading while it was imported, and that are there."""
    return [file for file in sorted(map(Path, _BY_MODULE.get(module, ()))) if file.is_file()]


@cache
def listen() -> None:
    """Listen from now on; what listens to Python cannot be taken out again."""
    sys.addaudithook(_hear)


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not isinstance(path := arguments[0], str | bytes):
        return
    mode = arguments[1]
    if (mode is not None and "r" not in mode) or os.fsdecode(path).endswith(_COMPILED):
        return
    where = str(Path(os.fsdecode(path)).absolute())
    for listening in _LISTENING:
        listening.add(where)
    if module := _importing(sys._getframe(1)):
        _BY_MODULE[module].add(where)


def _importing(frame: FrameType | None) -> str | None:
    """The module whose code is being run for its import, and opens a file itself or by a function that it calls."""
    if frame is None or str(frame.f_globals.get("__name__", "")).startswith(_IMPORTERS):
        return None
    while frame is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
    name = frame.f_globals.get("__name__") if frame else None
    return None if name == "__main__" else name
