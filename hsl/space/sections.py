"""Sections of a search space: the budget of a sweep, the confirmation of winners, warm starts and costs."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hsl.training.configuration import Strict

MAX_CONFIRM_SEEDS = 30

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION = re.compile(r"\s*(?:\d+(?:\.\d+)?\s*(?:s|min|m|h|d)\s*)+")


def seconds_of(value: Any) -> Any:
    """Convert ``2h``, ``90min`` or ``1h 30min`` to seconds; a number is in seconds already."""
    if not isinstance(value, str):
        return value
    if not _DURATION.fullmatch(value):
        raise ValueError("write a time like 90s, 45min, 2h, 1h 30min or 1.5d")
    return sum(float(n) * _UNITS[unit] for n, unit in re.findall(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)", value))


Positive = Annotated[float, Field(gt=0)]


class Budget(Strict):
    """Number of configurations and limits; a sweep stops cleanly at the first limit that it reaches.

    Attributes:
        configurations_per_cell: Configurations that the search trains in each cell, the dense cells included.
        enough: A cell ends when no configuration is predicted to exceed its best one by so much of the objective (0.002
            is 0.2 points); of samplers across cells alone, which predict.
        epochs: Epochs of all trainings, parents included.
        wall_time: Seconds during which a driver runs, or ``45min``, ``2h``, ``1d``.
        gpu_hours: Hours that trials and parents hold GPUs, times the GPUs that each is given.
        cost: Money, by the `prices` of the nodes, in their currency.
    """

    configurations_per_cell: Annotated[int, Field(ge=1, le=100_000)] = 8
    enough: Annotated[float, Field(gt=0, lt=1)] | None = None
    epochs: Annotated[int, Field(ge=1)] | None = None
    wall_time: Annotated[Positive | None, BeforeValidator(seconds_of)] = None
    gpu_hours: Positive | None = None
    cost: Positive | None = None

    @property
    def limits(self) -> dict[str, float]:
        """The limits by name, without the configurations, which are planned, and without what is enough of them."""
        given = self.model_dump(exclude={"configurations_per_cell", "enough"}, exclude_none=True)
        return {name: float(limit) for name, limit in given.items()}


class StopRule(Strict):
    """When a configuration needs no further seeds (`hsl.results.sequential`): if either condition holds.

    Attributes:
        width: Its interval is at most this wide, in units of the objective: that of the difference to dense,
            or of the mean without a baseline and in the dense cells themselves.
        clear: The interval of its difference to dense excludes zero.
    """

    width: Annotated[float, Field(gt=0, lt=1)] | None = None
    clear: bool = False

    @model_validator(mode="after")
    def _says_something(self) -> StopRule:
        if self.width is None and not self.clear:
            raise ValueError("give width, clear: true, or both")
        return self


class Confirm(Strict):
    """Retraining of each cell's best configurations with fresh seeds.

    Attributes:
        top: Configurations per cell, by the objective on validation data.
        seeds: Fresh seeds for each of them, with a `stop` at most so many; 0 skips the stage.
        min_seeds: Seeds before the first look of a `stop`.
        stop: When fewer seeds are enough; by default all are trained.
    """

    top: Annotated[int, Field(ge=1, le=20)] = 1
    seeds: Annotated[int, Field(ge=0, le=MAX_CONFIRM_SEEDS)] = 5
    min_seeds: Annotated[int, Field(ge=3)] = 3
    stop: StopRule | None = None

    @property
    def looks(self) -> tuple[int, ...]:
        """Numbers of seeds after which it may stop; the last is the number of all."""
        first = min(self.min_seeds, self.seeds) if self.stop else self.seeds
        return tuple(range(first, self.seeds + 1))

    def trials(self, configurations: int) -> int:
        """Most trials of a cell whose search trains this number of configurations."""
        return min(self.top, configurations) * self.seeds


class WarmStart(Strict):
    """Cells wait for their neighbours, and begin with at most so many of their best `configurations`."""

    configurations: Annotated[int, Field(ge=1, le=100)] = 2


Cost = Literal["training_flops", "inference_flops", "sparsity"]
"""Second objectives."""

DIRECTIONS = {"training_flops": "minimize", "inference_flops": "minimize", "sparsity": "maximize"}

COST_COLUMNS = {name: name for name in DIRECTIONS} | {"sparsity": "realised_sparsity"}
"""The column of each in the trials table."""

Price = Annotated[float, Field(ge=0, lt=math.inf)]
