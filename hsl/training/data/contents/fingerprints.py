"""What tells, without reading them, that the files of a data set may have changed. Torch-free."""

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from hsl.plugin_code import code_digest
from hsl.training.available import DATASETS
from hsl.training.data.contents.states import files_below, state_of
from hsl.training.data.remote import is_remote, remote_states


def fingerprint(kind: str, path: str) -> str:
    """Names, sizes, times and inodes (entity tags of objects) of the files of a data set, and the code of a plug-in.

    A data set is read again where it differs; whether its samples then differ is another question.
    """
    if kind in DATASETS and not path:
        return path
    code = None if kind in DATASETS else code_digest(kind)
    return _digest([code, _files(path) if path and _is_listed(kind, path) else path])


def _is_listed(kind: str, path: str) -> bool:
    """Whether files are to be listed; the text after the name of a plug-in may be something else than a path."""
    if is_remote(path):
        return kind in DATASETS and DATASETS.facts(kind).reads_objects
    return Path(path).expanduser().exists()


def _files(path: str) -> Iterable[Any]:
    if is_remote(path):
        return remote_states(path)
    root = Path(path).expanduser().resolve()
    return [(str(file.relative_to(root.parent)), *state_of(file)) for file in files_below(root)]


def _digest(value: Any) -> str:
    return hashlib.blake2b(repr(value).encode(), digest_size=8).hexdigest()
