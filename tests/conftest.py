"""What every test shares: one torch thread, the order of the modules, and which skips there may be."""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")
# Tests start many processes; none of them is to compile hsl anew, nor pytest the tests.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from hsl.registry import PLUGINS

sys.dont_write_bytecode = False
pytest_plugins = ["sweeps", "tiers"]

# On a machine that does ten other things an example may take ten times as long, which is no fault of the code.
settings.register_profile("loaded", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("loaded")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    if "torch" in sys.modules:  # one that is imported later reads OMP_NUM_THREADS
        sys.modules["torch"].set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def plug_ins_as_in_python() -> Iterator[None]:
    """The command line, called in this process, forbids plug-ins; that is not to last beyond its tests."""
    os.environ.pop(PLUGINS, None)
    yield
    os.environ.pop(PLUGINS, None)
