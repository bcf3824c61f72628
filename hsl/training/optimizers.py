"""Optimizers and learning-rate schedules by name; the rate is a pure function of the step."""

import math
from collections.abc import Iterable, Mapping
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
    """Learning rate of the step after `step` steps, of a run of `total_steps`."""
    warmup = training.warmup or (0.3 if training.schedule == "one_cycle" else 0.0)
    warmup_steps = round(warmup * total_steps)
    if step < warmup_steps:
        return training.lr * (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(1, total_steps - warmup_steps)
    return training.lr * _factor(training, progress, step / total_steps)


def _factor(training: Training, progress: float, elapsed: float) -> float:
    """Share of the peak rate, `progress` of the way from the warm-up to the end, and `elapsed` of the whole run."""
    match training.schedule:
        case "constant":
            return 1.0
        case "cosine" | "one_cycle":
            return (1 + math.cos(math.pi * progress)) / 2
        case "multistep":
            return training.gamma ** sum(elapsed >= milestone for milestone in training.milestones)
        case "step":  # once more after each part of the run that is as long as the first milestone marks
            return training.gamma ** int(elapsed / training.milestones[0])


def moments(optimizer: Optimizer) -> dict[str, Any]:
    """State of an optimizer for each parameter, by the number of the parameter."""
    return {str(index): state for index, state in optimizer.state_dict()["state"].items()}


def load_moments(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Continue from what `moments` returned."""
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
