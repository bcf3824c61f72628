"""Freed memory is kept, so that the system does not have to hand out the same pages again and again."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from hsl.training.allocator import keep_freed_memory
if sys.argv[1] == "kept" and not keep_freed_memory():
    sys.exit("another allocator")
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(8_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def page_faults(how: str) -> int:
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, how], capture_output=True, text=True, timeout=600, check=False
    )
    if "another allocator" in done.stderr:
        pytest.skip("not the GNU C library")
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_what_is_freed_serves_again():
    assert page_faults("kept") * 10 < page_faults("as it is")
