"""Ray as a sweep wants it: quiet, without its own loggers and snapshots, on this machine by default."""

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from hsl.cluster.fleet import Fleet, fitting
from hsl.errors import HslError
from hsl.filesystems import ENDPOINTS
from hsl.registry import PLUGINS
from hsl.space.schema import Resources, SearchSpace

SETTINGS = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_OVERRIDE_JOB_RUNTIME_ENV": "1",  # a job may have been given some of the variables that workers receive
    "RAY_CHDIR_TO_TRIAL_DIR": "0",  # relative paths in a space mean the same everywhere
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C must reach the driver, which then flushes the store
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # the store is the truth; Tune's snapshot is never read
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
}

LOOPBACK = ("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
"""Ray on this machine alone listens to this machine alone: what Ray does by itself on the systems that it names."""

OBJECT_STORE_BYTES = 128 * 1024 * 1024
"""Data sets are memory-mapped files; next to nothing travels through Ray's object store."""


@contextlib.contextmanager
def ray_session(address: str | None = None) -> Iterator[None]:
    """Connect to a cluster, and leave it in the end.

    The default is ``RAY_ADDRESS``, else a new instance of the size of this machine, which no other machine can reach.

    Raises:
        HslError: If there is no cluster at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS")
    address = None if address == "local" else address
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    if not address:
        os.environ.setdefault(*LOOPBACK)
    import ray  # noqa: PLC0415  its settings must be in the environment first

    if address:  # workers on other machines inherit nothing of the driver's environment
        known = {name: os.environ[name] for name in (PLUGINS, *ENDPOINTS) if name in os.environ}
        options: dict[str, Any] = {"runtime_env": {"env_vars": known}}
    else:
        options = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(address=address or "local", logging_level="ERROR", log_to_driver=False, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise HslError(f"cannot start or reach Ray at {address or 'this machine'}: {error}") from error
    _keep_credentials()
    try:
        with interruptible():
            yield
    finally:
        ray.shutdown()


def is_connected() -> bool:
    """Whether this process is connected to Ray, which this does not import."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())


def _keep_credentials() -> None:
    """Keep the keys of AWS out of the command lines of workers, and of Ray's logs: Tune copies them there.

    A worker has the credentials of its own machine: those of the environment that Ray was started with, or a role.
    """
    from ray.tune.execution import class_cache  # noqa: PLC0415

    copied = class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE = {name for name in copied if not name.startswith("AWS_")}


_interrupted = threading.Event()


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM, by which schedulers and shells end a driver, flushes the store as Ctrl-C does; neither is ever lost."""
    before = {number: signal.signal(number, _interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
        check_interrupted()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _interrupted.clear()  # a later session of this process has not been interrupted


def _interrupt(*_: object) -> None:
    _interrupted.set()
    raise KeyboardInterrupt


def check_interrupted() -> None:
    """Raise a swallowed `KeyboardInterrupt` again: Python drops errors in callbacks of other languages."""
    if _interrupted.is_set():
        raise KeyboardInterrupt


def on_fleet(space: SearchSpace, fleet: Fleet | None) -> SearchSpace:
    """The space with the concurrency and the prices of a cluster, at its full size, where it leaves them open.

    Raises:
        HslError: If no node of the cluster can ever run a trial.
    """
    if fleet is None:
        return space
    resources = space.resources
    fits = fleet.capacity(resources.cpu, resources.gpu)
    resources = resources.model_copy(update={"concurrent": resources.concurrent or fits})
    return space.model_copy(update={"resources": resources, "prices": space.prices or fleet.prices})


def slots(resources: Resources) -> int:
    """Number of trials that may run or wait for a machine: as the space or `on_fleet` says, else as many as fit now.

    A cluster grows by the trials that wait, so one that starts without workers needs the former.

    Raises:
        HslError: If a local machine can never run a trial.
    """
    import ray  # noqa: PLC0415

    if resources.concurrent:
        return resources.concurrent
    there = ray.cluster_resources()
    cpus, gpus = there.get("CPU", 0.0), there.get("GPU", 0.0)
    fits = fitting(cpus, gpus, resources.cpu, resources.gpu)
    if fits < 1 and not os.environ.get("RAY_ADDRESS"):
        raise HslError(
            f"a trial asks for {resources.cpu:g} CPU and {resources.gpu:g} GPU, "
            f"this machine has {cpus:g} CPU and {gpus:g} GPU; lower resources"
        )
    return max(1, fits)


def scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for the files that Tune insists on writing; removed in the end."""
    return tempfile.TemporaryDirectory(prefix="hsl-tune-", ignore_cleanup_errors=True)


class Unsaved:
    """Pickles as an empty object: the store is the truth, Tune's snapshot of a run is never restored."""

    def __getstate__(self) -> dict[str, Any]:
        return {}
