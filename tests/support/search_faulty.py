"""A network, given to sweeps as a plug-in, whose workers meet real faults."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from pathlib import Path

import ray
import torch
from torch import Tensor, nn

from hsl.training.models import Shape, mlp

POISON = 48
"""Batches of this size always hang."""

GREED = 24
"""Batches of this size take all the memory that there is, a little at a time."""

HOARD_BYTES = 8 << 30
"""What they take at most, where nobody stops them."""


class Faulty(nn.Module):
    """An MLP that hangs in training on batches of `POISON` samples, and hoards memory on those of `GREED`."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__()
        self.inner = mlp(shape, classes, widths=[16])

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) == POISON:
            time.sleep(10_000)
        if self.training and len(images) == GREED:
            hoard()
        return self.inner(images)  # type: ignore[no-any-return]


def hoard() -> None:
    """Take memory, and use it, until somebody stops this process."""
    taken = []
    for _ in range(HOARD_BYTES >> 27):
        taken.append(bytearray(b"1") * (1 << 27))
        time.sleep(0.1)
    raise RuntimeError("nobody stopped this process")


def build(shape: Shape, classes: int, folder: str) -> nn.Module:
    """Build the network; on a worker meet the next of the faults whose names are files in `folder`."""
    if ray.is_initialized() and ray.get_runtime_context().worker.mode == ray.WORKER_MODE:
        meet(next_fault(Path(folder)))
    return Faulty(shape, classes)


def next_fault(folder: Path) -> str | None:
    """Take the first fault; every fault is met once, whoever comes."""
    for file in sorted(folder.iterdir()):
        try:
            file.unlink()
        except FileNotFoundError:
            continue
        return file.name.partition("-")[2]
    return None


def meet(fault: str | None) -> None:
    """Let a fault happen."""
    if fault == "hang":
        ctypes.PyDLL(None).sleep(10_000)  # in native code, holding the interpreter
    elif fault == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "memory":
        torch.empty(1 << 55, dtype=torch.uint8)
    elif fault == "exception":
        raise ZeroDivisionError("a bug of a plug-in")
