"""Trackers are told every epoch of every trial once, keep to this machine, and never end a sweep."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_jobs import made_job
from ray.tune.logger import LoggerCallback
from typer.testing import CliRunner

from hsl.cli import app
from hsl.driver.events import Ended
from hsl.driver.tune.trackers import (
    TRACKERS,
    Place,
    TrackerFacts,
    check_trackers,
    mlflow_uri,
    stay_local,
    wandb_options,
)
from hsl.driver.tune.tracking import TrackedTrial, Tracking
from hsl.errors import HslError, UnknownNameError
from hsl.registry import Entry
from hsl.store.outcomes import Reason, Status
from hsl.store.store import Store

RIGL = {"dataset": "digits", "model": {"name": "mlp"}, "method": "rigl", "sparsity": 0.9}
JOB = made_job("abc-0", RIGL, cell="clean/0.9", parameters={"training.lr": 0.1})
DONE, PAUSED = Ended(Status.COMPLETED), Ended(Status.STOPPED, Reason.PAUSED)


class Fake(LoggerCallback):
    """Notes what it is told, in place of a service."""

    def __init__(self, fails_at: int | None = None) -> None:
        self.told: list[Any] = []
        self._fails_at = fails_at

    def log_trial_start(self, trial: Any) -> None:
        self.told.append(("start", trial.trial_id, dict(trial.config)))

    def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
        if result["training_iteration"] == self._fails_at:
            raise ConnectionError("the service is away")
        self.told.append(("epoch", trial.trial_id, result))

    def log_trial_end(self, trial: Any, failed: bool = False) -> None:
        self.told.append(("end", trial.trial_id, failed))


def rows(*epochs: int) -> list[dict[str, Any]]:
    return [{"epoch": n, "val_clean_accuracy": n / 10, "train_loss": math.nan} for n in epochs]


def test_every_epoch_of_a_trial_once_whatever_happens_to_its_workers(tmp_path: Path) -> None:
    fake = Fake()
    tracking = Tracking("tensorboard", Place("p", tmp_path), fake)
    tracking.setup()
    tracking.start(JOB)
    tracking.report(JOB, rows(1, 2))
    tracking.report(JOB, rows(1, 2))  # its worker was lost; the next one reports all of it again
    tracking.report(JOB, rows(3))
    tracking.end(JOB, PAUSED)
    tracking.start(JOB)  # promoted
    tracking.report(JOB, rows(1, 2, 3, 4))
    tracking.end(JOB, Ended(Status.FAILED, "a bug"))
    events = [event[0] for event in fake.told]
    assert events == ["start", *["epoch"] * 3, "end", "start", "epoch", "end"]
    assert [event[2]["training_iteration"] for event in fake.told if event[0] == "epoch"] == [1, 2, 3, 4]
    assert fake.told[1][2] == {
        "epoch": 1.0,
        "val_clean_accuracy": 0.1,
        "training_iteration": 1,
        "timesteps_total": 1,
    }
    assert {event[1] for event in fake.told} == {"abc-0"}
    assert [event[2] for event in fake.told if event[0] == "end"] == [False, True]
    assert fake.told[0][2]["training.lr"] == 0.1
    assert fake.told[0][2]["cell"] == "clean/0.9"


def test_a_tracker_that_fails_is_told_nothing_more_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fake = Fake(fails_at=2)
    tracking = Tracking("wandb", Place("p", tmp_path), fake)
    tracking.start(JOB)
    tracking.report(JOB, rows(1, 2, 3))
    tracking.end(JOB, DONE)
    assert [event[0] for event in fake.told] == ["start", "epoch"]
    assert caplog.text.count("wandb receives nothing more: ConnectionError: the service is away") == 1


def test_tensorboard_reads_what_was_written(tmp_path: Path) -> None:
    """By the reader of the format: lengths, checksums and protocol buffers."""
    place = Place("p", tmp_path)
    tracking = Tracking("tensorboard", place)
    tracking.start(JOB)
    tracking.report(JOB, rows(1, 2))
    tracking.report(JOB, rows(3))
    tracking.end(JOB, DONE)
    found = scalars(tmp_path / "tensorboard" / "abc-0")
    assert {step: round(value, 6) for step, value in found["ray/tune/val_clean_accuracy"]} == {
        1: 0.1,
        2: 0.2,
        3: 0.3,
    }
    assert "ray/tune/train_loss" not in found


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Tag to (step, value), of all event files of a folder; a record is length, checksum, content, checksum."""
    import struct  # noqa: PLC0415

    from tensorboardX.proto.event_pb2 import Event  # noqa: PLC0415

    found: dict[str, list[tuple[int, float]]] = {}
    for file in sorted(folder.glob("events.out.tfevents.*")):
        content = file.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event = Event.FromString(content[12 : 12 + length])
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    found.setdefault(value.tag, []).append((event.step, value.simple_value))
            content = content[12 + length + 4 :]
    return found


def test_the_files_come_to_a_store_that_is_elsewhere(tmp_path: Path) -> None:
    store = tmp_path / "elsewhere"
    store.mkdir()
    place = Place("p", tmp_path / "here", f"file://{store}")
    tracking = Tracking("tensorboard", place)
    tracking.start(JOB)
    tracking.report(JOB, rows(1))
    tracking.end(JOB, DONE)
    tracking.close()
    assert scalars(store / "tensorboard" / "abc-0")["ray/tune/epoch"] == [(1, 1.0)]


def test_where_trackers_write() -> None:
    assert Place.of("/data/runs/digits", "digits") == Place("digits", Path("/data/runs/digits"))
    remote = Place.of("s3://bucket/hsl/digits", "digits")
    assert remote == Place("digits", Path("runs/digits").absolute(), "s3://bucket/hsl/digits")


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({}, "offline"),
        ({"WANDB_API_KEY": "k"}, "online"),
        ({"WANDB_API_KEY": "k", "WANDB_MODE": "offline"}, "offline"),
        ({"WANDB_MODE": "disabled"}, "disabled"),
    ],
)
def test_wandb_is_told_over_the_network_only_if_the_environment_says_so(
    tmp_path: Path, given: dict[str, str], mode: str
) -> None:
    environment = dict(given)
    options = wandb_options(Place("p", tmp_path), environment)
    assert (options["mode"], environment["WANDB_MODE"]) == (mode, mode)
    assert options["project"] == "p"
    assert options["dir"] == str(tmp_path / "wandb")
    assert ("WANDB_ERROR_REPORTING" in environment) == (mode != "online")


def test_mlflow_writes_a_file_unless_the_environment_names_a_server(tmp_path: Path) -> None:
    place = Place("p", tmp_path)
    assert mlflow_uri(place, {}) == f"sqlite:///{tmp_path}/mlflow/mlflow.db"
    assert mlflow_uri(place, {"MLFLOW_TRACKING_URI": "http://server"}) == "http://server"
    environment: dict[str, str] = {}
    stay_local(environment)
    assert environment == {"MLFLOW_DISABLE_TELEMETRY": "true"}


def test_mlflow_runs_can_be_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    place = Place("p", tmp_path)
    tracking = Tracking("mlflow", place)
    tracking.setup()
    tracking.start(JOB)
    tracking.report(JOB, rows(1, 2))
    tracking.end(JOB, DONE)
    client = mlflow.MlflowClient(mlflow_uri(place, {}))
    (experiment,) = client.search_experiments(filter_string="name = 'p'")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.params["training.lr"] == "0.1"
    history = client.get_metric_history(run.info.run_id, "val_clean_accuracy")
    assert [(point.step, point.value) for point in history] == [(1, 0.1), (2, 0.2)]


def test_a_tracker_that_is_not_there_is_refused_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UnknownNameError, match="unknown tracker 'tensorbord'"):
        check_trackers(["tensorbord"])
    check_trackers([])
    check_trackers(["tensorboard"])
    absent = Entry("nowhere", TrackerFacts("no_such_package"))
    monkeypatch.setitem(TRACKERS._entries, "wandb", absent)
    with pytest.raises(HslError, match="no_such_package is not installed; pip install no_such_package"):
        check_trackers(["tensorboard", "wandb"])
    command = ["sweep", "search_spaces/digits.yaml", "--store", str(tmp_path / "s"), "--log", "wandb"]
    assert isinstance(CliRunner().invoke(app, command).exception, HslError)
    assert not (tmp_path / "s").exists()


@pytest.mark.slow
@pytest.mark.parametrize(("name", "pattern"), [("tensorboard", "*-[012]"), ("wandb", "wandb/offline-run-*")])
def test_a_sweep_on_ray_has_one_run_for_every_trial(
    name: str, pattern: str, space_file: Callable[..., Path], environment: dict[str, str], tmp_path: Path
) -> None:
    pytest.importorskip(TRACKERS.facts(name).package)
    space = space_file(factors={"sparsity": [0.8]}, regimes={"clean": {}}, baseline=None)
    offline = {key: value for key, value in environment.items() if not key.startswith("WANDB")}
    command = [sys.executable, "-m", "hsl.cli", "sweep", str(space), "--store", str(tmp_path / "s")]
    subprocess.run([*command, "--log", name], env=offline, timeout=600, check=True)
    rows = Store(tmp_path / "s").read("trials").to_pylist()
    assert len(rows) == 3 + 2
    folders = list((tmp_path / "s" / name).glob(pattern))
    assert len(folders) == len(rows)
    if name == "tensorboard":
        for row in rows:
            found = scalars(tmp_path / "s" / name / row["trial_id"])
            steps = [step for step, _ in found["ray/tune/val_matched_accuracy"]]
            assert steps == list(range(1, row["epochs"] + 1))


def test_what_rays_callbacks_read_of_a_trial(tmp_path: Path) -> None:
    tracked = TrackedTrial("abc-0", {"a": 1}, str(tmp_path / "x"), "p")
    tracked.init_local_path()
    assert (tmp_path / "x").is_dir()
    assert str(tracked) == "abc-0"
    assert len({tracked, TrackedTrial("abc-0", {"a": 1}, str(tmp_path / "x"), "p")}) == 2
