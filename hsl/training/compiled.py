"""Compiled forward and backward passes: torch.compile, and CUDA graphs by way of it.

Both assume that weights stay where they are in memory. Masks see to that: they change weights in place.
"""

import os
import shutil
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import cast

import torch
from torch import nn

from hsl.errors import HslError
from hsl.training.configuration import Training


def check_compiled(training: Training, device: str) -> None:
    """Find out what the compilation of a training would lack.

    Args:
        training: Says whether to compile, and whether to capture CUDA graphs.
        device: Where the network is to be trained: "cpu", "cuda" or "cuda:INDEX".

    Raises:
        HslError: With everything that is missing here.
    """
    problems = []
    if training.cuda_graphs and not device.startswith("cuda"):
        problems.append(
            f"training.cuda_graphs needs an NVIDIA GPU, the device is {device}; leave it out, "
            "or take training.compile, which works on a CPU as well"
        )
    if training.compile and (missing := missing_tools(device)):
        problems.append(
            f"training.compile needs {' and '.join(missing)}, not found here; install them, or leave it out"
        )
    if problems:
        raise HslError("; ".join(problems))


def missing_tools(device: str) -> list[str]:
    """Tools that torch.compile needs for the device and does not find, in words."""
    missing = []
    compilers = [os.environ.get("CXX", "g++"), "clang++"]
    if not any(map(shutil.which, compilers)):
        missing.append("a C++ compiler (g++)")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing.append("the headers of Python (python3-dev)")
    if device.startswith("cuda") and find_spec("triton") is None:
        missing.append("the package triton")
    return missing


def compiled(model: nn.Module, training: Training) -> nn.Module:
    """Compile a network; its weights and their names stay what they are.

    Shapes are compiled one by one, so that which kernels run depends on the batch alone, and a training that is
    continued runs the same as one that was not interrupted.

    Args:
        model: The network, already on its device.
        training: Says whether to compile, and whether to capture CUDA graphs.

    Returns:
        The compiled network, or the network itself if neither is asked for.
    """
    if not training.compile and not training.cuda_graphs:
        return model
    # The compiler counts the networks of a process, and silently stops compiling after eight of a kind.
    torch.compiler.reset()
    if not training.compile:
        return cast(nn.Module, torch.compile(model, backend="cudagraphs", dynamic=False))
    mode = "reduce-overhead" if training.cuda_graphs else None
    return cast(nn.Module, torch.compile(model, mode=mode, dynamic=False))
