"""What tells, without reading them, that the files of a data set may have changed. Torch-free."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hsl.plugin_code import code_digest
from hsl.training.available import DATASETS
from hsl.training.data.remote import is_remote, remote_states


def fingerprint(kind: str, path: str) -> str:
    """Names, sizes, times and inodes (entity tags of objects) of the files of a data set, and the code of a plug-in.

    A data set is read again where it differs; whether its samples then differ is another question.
    """
    if kind in DATASETS and not DATASETS.facts(kind).needs_path:
        return path
    code = None if kind in DATASETS else code_digest(kind)
    return _digest([code, _files(path) if path and _is_listed(kind, path) else path])


def _is_listed(kind: str, path: str) -> bool:
    """Whether files are to be listed; the text after the name of a plug-in may be something else than a path."""
    if is_remote(path):
        return kind in DATASETS and DATASETS.facts(kind).reads_objects
    return kind in DATASETS or Path(path).expanduser().exists()


def _files(path: str) -> Iterable[Any]:
    if is_remote(path):
        return remote_states(path)
    root = Path(path).expanduser().resolve()
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
    return [(str(file.relative_to(root.parent)), *_state(file)) for file in files]


def _state(file: Path) -> tuple[int, int, int]:
    state = file.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino


def _digest(value: Any) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=8).hexdigest()
