"""Settings that every test shares: one torch thread, so that the suite is quick and repeatable on small machines."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS", "0")

from collections.abc import Iterator

import pytest
import torch

from hsl.registry import PLUGINS

pytest_plugins = ["sweeps"]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="module")
def plug_ins_as_in_python() -> Iterator[None]:
    """The command line, called in this process, forbids plug-ins; that is not to last beyond its tests."""
    os.environ.pop(PLUGINS, None)
    yield
    os.environ.pop(PLUGINS, None)


LONG = ("test_readme", "test_driver_sweep")
"""Modules that take longest: first, so that none of them runs alone at the end while other processes are idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.stem.startswith(LONG))
