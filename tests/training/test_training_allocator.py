"""Freed memory is kept, so that the system does not hand out the same pages again and again; by workers alone."""

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from hsl.training.allocator import keep_freed_memory
{before}
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(3):
        np.ones(8_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""

DIRECTLY = """
if not keep_freed_memory():
    sys.exit("another allocator")
"""
TRAINED = """
from training_small import small
from hsl.training.build import build_trainer
build_trainer(small(), 0).train_epoch()
"""
COMMAND = """
from hsl.cli import app
try:
    app(["train", "no such file"])
except Exception:
    pass
"""
MAKER = """
from hsl.prepare.workers import Maker
Maker()
"""
WORKER = """
import types, ray
from hsl.driver.tune.trainable import SweepTrial
ray.get_runtime_context = lambda: types.SimpleNamespace(get_node_id=str)
class Trial(SweepTrial):
    trial_resources = None
    def reset_config(self, config):
        return True
trial = Trial.__new__(Trial)
trial.setup({})
"""


def page_faults(before: str) -> int:
    program = FAULTS.format(before=before)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if "another allocator" in done.stderr:
        pytest.skip("not the GNU C library")
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[-1])


@pytest.fixture(scope="module")
def kept() -> int:
    return page_faults(DIRECTLY)


@pytest.mark.parametrize("program", ["", TRAINED], ids=["nothing", "a trainer"])
def test_a_process_of_somebody_else_is_left_as_it_is(program: str, kept: int) -> None:
    assert kept * 10 < page_faults(program)


@pytest.mark.parametrize("program", [COMMAND, MAKER, WORKER], ids=["command", "maker", "worker"])
def test_what_is_freed_serves_again(program: str, kept: int) -> None:
    assert page_faults(program) < 10 * kept + 1_000
