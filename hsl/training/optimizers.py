"""Optimizers and learning-rate schedules by name; the rate is a pure function of the step."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from hsl.training.configuration import Training


def make_optimizer(training: Training, parameters: Iterable[nn.Parameter]) -> Optimizer:
    """The optimizer that `training` describes, in its fused form (one kernel per step)."""
    if training.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=training.lr, weight_decay=training.weight_decay, fused=True)
    return torch.optim.SGD(
        parameters,
        lr=training.lr,
        momentum=training.momentum,
        nesterov=training.nesterov,
        weight_decay=training.weight_decay,
        fused=True,
    )


def learning_rate(training: Training, step: int, total_steps: int) -> float:
    """Learning rate of one step.

    Args:
        training: Peak rate, schedule, warm-up, milestones.
        step: Steps already taken, from 0.
        total_steps: Steps of the whole run.
    """
    warmup = training.warmup or (0.3 if training.schedule == "one_cycle" else 0.0)
    warmup_steps = round(warmup * total_steps)
    if step < warmup_steps:
        return training.lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return training.lr * _FACTORS[training.schedule](training, progress, step / total_steps)


def _constant(_: Training, __: float, ___: float) -> float:
    return 1.0


def _cosine(_: Training, progress: float, __: float) -> float:
    return (1 + math.cos(math.pi * progress)) / 2


def _multistep(training: Training, _: float, elapsed: float) -> float:
    return training.gamma ** sum(elapsed >= milestone for milestone in training.milestones)


def _step(training: Training, _: float, elapsed: float) -> float:
    """Every as many epochs as the first milestone marks."""
    return training.gamma ** int(elapsed / training.milestones[0])


_FACTORS: dict[str, Callable[[Training, float, float], float]] = {
    "constant": _constant,
    "cosine": _cosine,
    "one_cycle": _cosine,
    "multistep": _multistep,
    "step": _step,
}


def moments(optimizer: Optimizer) -> dict[str, Any]:
    """What an optimizer remembers of each parameter, by the number of the parameter."""
    return {str(index): state for index, state in optimizer.state_dict()["state"].items()}


def load_moments(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Go on from what `moments` returned."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    laid_out = {
        int(index): {name: _laid_out(value, parameters[int(index)]) for name, value in values.items()}
        for index, values in state.items()
    }
    optimizer.load_state_dict({"state": laid_out, "param_groups": optimizer.state_dict()["param_groups"]})


def _laid_out(value: Any, parameter: Tensor) -> Any:
    """Optimizer state in the memory layout of its parameter: fused kernels walk both side by side."""
    if not isinstance(value, Tensor) or value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)
