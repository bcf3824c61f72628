"""Checkpoints that are not needed any more, where a driver was killed before it could delete them."""

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyarrow import fs

from hsl.errors import StoreError
from hsl.filesystems import TEMPORARY, open_filesystem
from hsl.store.checkpoints import PREVIOUS
from hsl.store.files import reported
from hsl.store.layout import CHECKPOINTS, NETWORK_SUFFIX, Library
from hsl.store.store import Store

LOG = logging.getLogger(__name__)

OLD_TEMPORARY = ".part"
"""How the name of a file ended, up to version 0.1.0, that was being written."""


def collect_garbage(store: Store, library: Library) -> None:
    """Delete all checkpoints but those of trials under way and of confirmed networks, and what was never finished.

    Call when no trial runs and none waits at a rung. What cannot be deleted costs space, nothing else.
    """
    trials = store.read("trials", ["trial_id", "stage"]).to_pylist()
    filesystem, root = open_filesystem(library.root)
    folder = f"{root}/{CHECKPOINTS}"
    try:
        with reported(f"{store.uri}/{CHECKPOINTS}: cannot be tidied up"):
            infos = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
            for name in garbage([info.base_name for info in infos], trials):
                filesystem.delete_file(f"{folder}/{name}")
    except StoreError as error:
        LOG.warning("%s", error)


def garbage(names: Iterable[str], ended: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Names of the files in the folder of checkpoints that are of no use; `ended` has ``trial_id`` and ``stage``."""
    stages = {row["trial_id"]: row["stage"] for row in ended}
    for name in names:
        newest = name.removesuffix(PREVIOUS)
        stage = stages.get(newest.removesuffix(NETWORK_SUFFIX))
        is_unfinished = name.startswith(TEMPORARY) or name.endswith(OLD_TEMPORARY)
        if is_unfinished or stage == "search" or (stage == "confirm" and name != newest):
            yield name
