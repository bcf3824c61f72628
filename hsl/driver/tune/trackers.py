"""Trackers of others: every epoch of every trial to TensorBoard, W&B or MLflow, by the callbacks that Ray has for them.

Nobody is told anything over the network unless the environment asks for it. No torch, and no ray before `make`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsl.errors import HslError, UnknownNameError

if TYPE_CHECKING:
    from ray.tune.logger import LoggerCallback

PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb", "mlflow": "mlflow"}
"""The package that each tracker needs."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse what is not there, before anything starts.

    Raises:
        UnknownNameError: If there is no such tracker.
        HslError: If its package is not installed.
    """
    for name in names:
        if name not in PACKAGES:
            raise UnknownNameError("tracker", name, PACKAGES)
    missing = sorted({PACKAGES[name] for name in names if importlib.util.find_spec(PACKAGES[name]) is None})
    if missing:
        raise HslError(
            f"--log {', '.join(names)}: {', '.join(missing)} is not installed; pip install {' '.join(missing)}"
        )


@dataclass(frozen=True)
class Place:
    """Where trackers write.

    Attributes:
        project: Name of the search space.
        folder: Local folder; each tracker has one of its own in it.
        store: Where the folders are copied in the end; None if they lie in the store already.
    """

    project: str
    folder: Path
    store: str | None = None

    @classmethod
    def of(cls, uri: str, project: str) -> Place:
        """The place of a store: its own folder, or where it would be by default if it is not on this machine."""
        if "://" in uri:
            return cls(project, Path("runs", project).absolute(), uri)
        return cls(project, Path(uri).absolute())

    def of_tracker(self, name: str) -> Path:
        """The folder of a tracker."""
        return self.folder / name


def make(name: str, place: Place) -> LoggerCallback:
    """Ray's callback for a tracker, its files in the folder of the tracker."""
    folder = place.of_tracker(name)
    folder.mkdir(parents=True, exist_ok=True)
    if name == "wandb":
        from ray.air.integrations.wandb import WandbLoggerCallback  # noqa: PLC0415

        return WandbLoggerCallback(**wandb_options(place, os.environ))
    if name == "mlflow":
        stay_local(os.environ)
        from ray.air.integrations.mlflow import MLflowLoggerCallback  # noqa: PLC0415

        return MLflowLoggerCallback(mlflow_uri(place, os.environ), experiment_name=place.project)
    from ray.tune.logger import TBXLoggerCallback  # noqa: PLC0415

    return TBXLoggerCallback()


def wandb_options(place: Place, environment: MutableMapping[str, str]) -> dict[str, Any]:
    """Arguments for W&B: offline, unless the environment has a mode or a key; a trial that goes on is one run.

    Args:
        place: Where to write.
        environment: Environment variables; gets ``WANDB_MODE``, which Ray's callback reads.
    """
    mode = environment.setdefault("WANDB_MODE", "online" if "WANDB_API_KEY" in environment else "offline")
    if mode != "online":
        environment.setdefault("WANDB_ERROR_REPORTING", "false")
    return {
        "project": environment.get("WANDB_PROJECT", place.project),
        "mode": mode,
        "dir": str(place.of_tracker("wandb")),
        "resume": "allow",
    }


def mlflow_uri(place: Place, environment: Mapping[str, str]) -> str:
    """Where MLflow keeps its runs: as the environment says, else in a file."""
    file = place.of_tracker("mlflow") / "mlflow.db"
    return environment.get("MLFLOW_TRACKING_URI") or f"sqlite:///{file}"


def stay_local(environment: MutableMapping[str, str]) -> None:
    """MLflow reports its use unless it is told not to."""
    environment.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
