"""Trackers of others: every epoch of every trial to TensorBoard, W&B or MLflow, by the callbacks that Ray has for them.

Nothing is sent over the network unless the environment asks for it. No torch, and no ray before `make`.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsl.errors import HslError
from hsl.registry import Entry, Registry, Wanted

if TYPE_CHECKING:
    from ray.tune.logger import LoggerCallback


@dataclass(frozen=True)
class Place:
    """Where trackers write.

    Attributes:
        project: Name of the search space.
        folder: Local folder; each tracker has one of its own in it.
        store: Where the folders are copied in the end; None if they are in the store already.
    """

    project: str
    folder: Path
    store: str | None = None

    @classmethod
    def of(cls, uri: str, project: str) -> Place:
        """The place of a store: its own folder, or its default one if it is not on this machine."""
        if "://" in uri:
            return cls(project, Path("runs", project).absolute(), uri)
        return cls(project, Path(uri).absolute())

    def of_tracker(self, name: str) -> Path:
        """The folder of a tracker."""
        return self.folder / name


@dataclass(frozen=True)
class TrackerFacts:
    """The package that a tracker needs; empty for none."""

    package: str = ""


TRACKERS: Registry[Callable[..., LoggerCallback], TrackerFacts] = Registry(
    "tracker",
    {
        name: Entry(f"hsl.driver.tune.trackers:{name}", TrackerFacts(package))
        for name, package in (("tensorboard", "tensorboardX"), ("wandb", "wandb"), ("mlflow", "mlflow"))
    },
    TrackerFacts(),
    Wanted(words="the class of a LoggerCallback of Ray's, or a function that makes one"),
)
"""(place: `Place`) -> Ray's callback. A plug-in may be the class of such a callback as well."""


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that cannot be used, before anything starts.

    Raises:
        UnknownNameError: If there is no such tracker.
        HslError: If its package is not installed, or a plug-in cannot be imported.
    """
    for name in names:
        if name not in TRACKERS:
            _ = TRACKERS[name]
    packages = {TRACKERS.facts(name).package for name in names} - {""}
    missing = sorted(package for package in packages if importlib.util.find_spec(package) is None)
    if missing:
        raise HslError(
            f"--log {', '.join(names)}: {', '.join(missing)} is not installed; pip install {' '.join(missing)}"
        )


def make(name: str, place: Place) -> LoggerCallback:
    """Ray's callback for a tracker, its files in the folder of the tracker."""
    from ray.tune.logger import LoggerCallback  # noqa: PLC0415

    place.of_tracker(name).mkdir(parents=True, exist_ok=True)
    found = TRACKERS[name]
    if isinstance(found, type) and issubclass(found, LoggerCallback):
        return found()
    return found(place)


def tensorboard(_: Place) -> LoggerCallback:
    """TensorBoard: event files, a folder for each trial."""
    from ray.tune.logger import TBXLoggerCallback  # noqa: PLC0415

    return TBXLoggerCallback()


def wandb(place: Place) -> LoggerCallback:
    """Weights & Biases: a run for each trial, offline unless the environment has a key or a mode."""
    from ray.air.integrations.wandb import WandbLoggerCallback  # noqa: PLC0415

    return WandbLoggerCallback(**wandb_options(place, os.environ))


def mlflow(place: Place) -> LoggerCallback:
    """MLflow: a run for each trial, in a file unless the environment has MLFLOW_TRACKING_URI."""
    stay_local(os.environ)
    from ray.air.integrations.mlflow import MLflowLoggerCallback  # noqa: PLC0415

    return MLflowLoggerCallback(mlflow_uri(place, os.environ), experiment_name=place.project)


def wandb_options(place: Place, environment: MutableMapping[str, str]) -> dict[str, Any]:
    """Arguments for W&B: offline, unless the environment has a mode or a key; a trial that goes on is one run.

    The environment gets ``WANDB_MODE``, which Ray's callback reads.
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
    """Keep MLflow from reporting its use."""
    environment.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
