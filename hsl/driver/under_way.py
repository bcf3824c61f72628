"""Trials that have begun but not ended, by their checkpoints. No torch, no ray."""

import logging
from collections.abc import Container, Iterator

from pyarrow import fs
from pydantic import ValidationError

from hsl.filesystems import open_filesystem
from hsl.planning.job import Job
from hsl.store.checkpoints import PREVIOUS, read_json
from hsl.store.layout import CHECKPOINTS, NETWORK_SUFFIX, Library

LOG = logging.getLogger(__name__)


def checkpointed(library: Library, ended: Container[str]) -> Iterator[tuple[Job, int]]:
    """Jobs that have a checkpoint and are not among the `ended` trials, with the epochs trained so far."""
    filesystem, root = open_filesystem(library.root)
    selector = fs.FileSelector(f"{root}/{CHECKPOINTS}", allow_not_found=True)
    names = {info.base_name.removesuffix(PREVIOUS) for info in filesystem.get_file_info(selector)}
    trials = {name.removesuffix(NETWORK_SUFFIX) for name in names if name.endswith(NETWORK_SUFFIX)}
    for trial_id in sorted(trial for trial in trials if trial not in ended):
        uri = library.checkpoint(trial_id)
        state = read_json(uri)
        try:
            if state is not None:
                yield Job.model_validate(state["job"]), len(state["trainer"]["history"])
        except (KeyError, TypeError, ValidationError) as error:
            LOG.warning("%s is not used: %s", uri, error)
