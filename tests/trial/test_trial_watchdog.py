"""Nothing that hangs holds a worker for ever."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, time
from hsl.trial.watchdog import watchdog
with watchdog(60), watchdog(None):
    print("in time", flush=True)
with watchdog({seconds}):
    {work}
print("at the end", flush=True)
"""


def run(work: str, seconds: float | None) -> subprocess.CompletedProcess[str]:
    program = PROGRAM.format(work=work, seconds=seconds)
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=600, check=False
    )


@pytest.mark.parametrize(
    "work", ["time.sleep(100)", "ctypes.PyDLL(None).sleep(100)"], ids=["python", "native"]
)
def test_a_process_that_hangs_ends_and_shows_where(work: str) -> None:
    done = run(work, 0.3)
    assert done.returncode == 1
    assert done.stdout == "in time\n"
    assert "Timeout" in done.stderr
    assert 'File "<string>", line 7' in done.stderr


@pytest.mark.parametrize("seconds", [60.0, None])
def test_whatever_is_in_time_goes_on(seconds: float | None) -> None:
    done = run("time.sleep(0.1)", seconds)
    assert done.stdout == "in time\nat the end\n"
    assert done.stderr == ""
