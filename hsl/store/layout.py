"""Where everything of a store lies, and how what can be derived is read: made again where it is missing or damaged."""

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
    """Paths of the files of a store, beside its tables.

    Attributes:
        root: Absolute path or URI of the store.
    """

    root: str

    def parent(self, trial_id: str) -> str:
        """URI of a trained dense network."""
        return join(self.root, PARENTS, trial_id + NETWORK_SUFFIX)

    def scores(self, scores_id: str) -> str:
        """URI of the difficulty scores of a whole data set."""
        return join(self.root, SCORES, scores_id + TABLE_SUFFIX)

    def model_scores(self, model_id: str, seed: int) -> str:
        """URI of what one scoring model has found."""
        return join(self.root, SCORES, MODELS, f"{model_id}-{seed}{TABLE_SUFFIX}")

    def checkpoint(self, trial_id: str) -> str:
        """URI of a trial's checkpoint."""
        return join(self.root, CHECKPOINTS, trial_id + NETWORK_SUFFIX)

    def log(self, trial_id: str) -> str:
        """URI of what a trial prints."""
        return join(self.root, LOGS, trial_id + LOG_SUFFIX)


def intact(uri: str, read: Callable[[str], T | None]) -> T | None:
    """The content of a file that can be made again; None where it is missing or damaged.

    Args:
        uri: Path or URI of the file or folder; damage is warned of under this name.
        read: Reads it; returns None or raises FileNotFoundError where it is missing.
    """
    try:
        return read(uri)
    except FileNotFoundError:
        return None
    except DamagedError as error:
        LOG.warning("%s: %s; it is made again", uri, error)
        return None


def derived(uri: str, read: Callable[[str], T | None], make: Callable[[], object]) -> T:
    """The content of a file that can be made again, which is done where it is missing or damaged.

    Args:
        uri: Path or URI of the file or folder.
        read: Reads it; returns None or raises FileNotFoundError where it is missing, DamagedError where it holds
            something else than what was written.
        make: Makes it, in place of what there is.

    Raises:
        StoreError: If it is not there although it was made.
    """
    found = intact(uri, read)
    if found is None:
        make()
        found = read(uri)
    if found is None:
        raise StoreError(f"{uri}: was made, and is not there; check the path, the rights and the free space")
    return found
