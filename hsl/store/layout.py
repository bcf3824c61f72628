"""Paths of everything in a store, and reading of derived files, which are made again if missing or damaged."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from hsl.errors import DamagedError, StoreError
from hsl.filesystems import join

SPACE = "space.yaml"
LEASE = "lease.json"
LEASE_LOCK = ".lease.lock"
PARENTS = "parents"
SCORES = "scores"
DATA = "data"
MODELS = "models"
CHECKPOINTS = "checkpoints"
LOGS = "logs"

NETWORK_SUFFIX = ".safetensors"
TABLE_SUFFIX = ".parquet"
LOG_SUFFIX = ".txt"

LOG = logging.getLogger(__name__)

T = TypeVar("T")


@dataclass(frozen=True)
class Library:
    """URIs of the files of a store other than its tables; `root` is the absolute path or URI of the store."""

    root: str

    def parent(self, trial_id: str) -> str:
        """URI of a trained dense network."""
        return join(self.root, PARENTS, trial_id + NETWORK_SUFFIX)

    def scores(self, scores_id: str) -> str:
        """URI of the difficulty scores of a whole data set."""
        return join(self.root, SCORES, scores_id + TABLE_SUFFIX)

    def model_scores(self, model_id: str, seed: int) -> str:
        """URI of the scores from one scoring model."""
        return join(self.root, SCORES, MODELS, f"{model_id}-{seed}{TABLE_SUFFIX}")

    def samples(self, version: int) -> str:
        """URI of the list of all samples, by number of the version of the data."""
        return join(self.root, DATA, f"samples-{version}{TABLE_SUFFIX}")

    def checkpoint(self, trial_id: str) -> str:
        """URI of a trial's checkpoint."""
        return join(self.root, CHECKPOINTS, trial_id + NETWORK_SUFFIX)

    def log(self, trial_id: str) -> str:
        """URI of the output of a trial."""
        return join(self.root, LOGS, trial_id + LOG_SUFFIX)


def intact(uri: str, read: Callable[[str], T | None]) -> T | None:
    """Read a file that can be made again, as `derived` does; None if it is missing or, with a warning, damaged."""
    try:
        return read(uri)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        LOG.warning("%s: %s; it is made again", uri, error)
        return None


def derived(uri: str, read: Callable[[str], T | None], make: Callable[[], object]) -> T:
    """Read a file that can be made again; make it if it is missing or damaged.

    Args:
        uri: Path or URI of the file or folder.
        read: Reads it; returns None or raises FileNotFoundError if it is missing, DamagedError if it is damaged.
        make: Writes it, replacing what is there.

    Raises:
        StoreError: If it is missing although it was just made.
    """
    found = intact(uri, read)
    if found is None:
        make()
        found = read(uri)
    if found is None:
        raise StoreError(f"{uri}: was made, and is not there; check the path, the rights and the free space")
    return found
