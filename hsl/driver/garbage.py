"""Checkpoints that nobody needs any more, where a driver was killed before it could delete them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pyarrow import fs

from hsl.errors import StoreError
from hsl.filesystems import open_filesystem
from hsl.store.files import reported
from hsl.store.layout import Library
from hsl.store.store import Store
from hsl.training.generations import PREVIOUS, SCRATCH, SUFFIX

LOG = logging.getLogger(__name__)


def collect_garbage(store: Store, library: Library) -> None:
    """Delete all checkpoints but those of trials under way and of confirmed networks, and what was never finished.

    Call when no trial runs and none waits at a rung. What cannot be deleted costs space, nothing else.
    """
    trials = store.read("trials", ["trial_id", "stage"]).to_pylist()
    filesystem, root = open_filesystem(library.root)
    folder = f"{root}/checkpoints"
    try:
        with reported(f"{store.uri}/checkpoints: cannot be tidied up"):
            infos = filesystem.get_file_info(fs.FileSelector(folder, allow_not_found=True))
            for name in garbage([info.base_name for info in infos], trials):
                filesystem.delete_file(f"{folder}/{name}")
    except StoreError as error:
        LOG.warning("%s", error)


def garbage(names: Iterable[str], ended: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Which files beside the checkpoints of a sweep are of no use.

    Args:
        names: Names of the files.
        ended: Rows of the trials that have ended: ``trial_id`` and ``stage``.
    """
    stages = {row["trial_id"]: row["stage"] for row in ended}
    for name in names:
        newest = name.removesuffix(PREVIOUS)
        stage = stages.get(newest.removesuffix(SUFFIX))
        if name.endswith(SCRATCH) or stage == "search" or (stage == "confirm" and name != newest):
            yield name
