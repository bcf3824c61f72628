"""Where everything of a store lies."""

from __future__ import annotations

from dataclasses import dataclass

from hsl.filesystems import join

LOGS = "logs"
LOG_SUFFIX = ".txt"


@dataclass(frozen=True)
class Library:
    """Where the parents, scores and checkpoints of a store lie.

    Attributes:
        root: Absolute path or URI of the store.
    """

    root: str

    def parent(self, trial_id: str) -> str:
        """URI of a trained dense network."""
        return join(self.root, "parents", f"{trial_id}.safetensors")

    def scores(self, scores_id: str) -> str:
        """URI of the difficulty scores of a whole data set."""
        return join(self.root, "scores", f"{scores_id}.parquet")

    def model_scores(self, model_id: str, seed: int) -> str:
        """URI of what one scoring model has found."""
        return join(self.root, "scores", "models", f"{model_id}-{seed}.parquet")

    def checkpoint(self, trial_id: str) -> str:
        """URI of a trial's checkpoint."""
        return join(self.root, "checkpoints", f"{trial_id}.safetensors")

    def log(self, trial_id: str) -> str:
        """URI of what a trial prints."""
        return join(self.root, LOGS, f"{trial_id}{LOG_SUFFIX}")


FOLDER = "logs"

SUFFIX = ".txt"
