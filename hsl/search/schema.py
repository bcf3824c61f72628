"""The schema of a search space. Torch-free and ray-free."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hsl.hardness.regimes import Regime
from hsl.training.configuration import (
    DatasetName,
    DistributionName,
    Layers,
    MethodName,
    ModelSpec,
    Sparsity,
    Split,
    Strict,
    Training,
    model_spec,
)

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
MAX_CONFIRM_SEEDS = 30

Whole = int
"""The type by a name that the field ``int`` of a domain does not hide."""


def has_twins(values: Sequence[Any]) -> bool:
    """Whether two values are equal, 1 and 1.0 included."""
    return any(value in values[:index] for index, value in enumerate(values))


class Domain(Strict):
    """Where a tuned parameter may lie: exactly one of the keys.

    Attributes:
        choice: Values to choose from.
        uniform: Lowest and highest value.
        loguniform: The same, uniform in the logarithm; both above 0.
        int: Lowest and highest whole number.
    """

    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    uniform: tuple[float, float] | None = None
    loguniform: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    int: tuple[Whole, Whole] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Domain:
        given = self.model_dump(exclude_none=True)
        if len(given) != 1:
            raise ValueError("give exactly one of choice, uniform, loguniform, int")
        bounds = self.bounds
        if bounds and bounds[0] >= bounds[1]:
            raise ValueError(f"the lower bound {bounds[0]} must be below the upper bound {bounds[1]}")
        if self.choice and has_twins(self.choice):
            raise ValueError("a choice is listed twice")
        return self

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lowest and highest value of a numeric domain."""
        return self.uniform or self.loguniform or self.int

    @property
    def size(self) -> float:
        """Number of values; infinite for real ranges."""
        if self.choice:
            return len(self.choice)
        return self.int[1] - self.int[0] + 1 if self.int else math.inf


class Budget(Strict):
    """How much is tried.

    Attributes:
        configurations_per_cell: Configurations that the search trains in each cell, the dense cells included.
    """

    configurations_per_cell: Annotated[int, Field(ge=1, le=100_000)] = 8


class EarlyStopping(Strict):
    """Stratified ASHA (`hsl.search.rungs`); rungs count epochs since the target sparsity was reached.

    Attributes:
        grace: Epochs before the first rung.
        reduction_factor: Each rung lies this many times further; about one in so many goes on.
        min_entries: A rung judges nobody before it holds as many entries.
        tolerance: A trial this close to the cut-off, in units of the objective, goes on (seed noise).
        exempt: Share of trials that are never stopped, so that false stops can be estimated, in [0, 1).
    """

    grace: Annotated[int, Field(ge=1)] = 4
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    min_entries: Annotated[int, Field(ge=1)] = 3
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.01
    exempt: Annotated[float, Field(ge=0, lt=1)] = 0.05


class Confirm(Strict):
    """Retraining of each cell's best configurations with fresh seeds.

    Attributes:
        top: Configurations per cell, by the objective on validation data.
        seeds: Fresh seeds for each of them; 0 leaves the stage out.
    """

    top: Annotated[int, Field(ge=1, le=20)] = 1
    seeds: Annotated[int, Field(ge=0, le=MAX_CONFIRM_SEEDS)] = 5


class Resources(Strict):
    """What one trial is given.

    Attributes:
        cpu: CPU cores, which are also the torch threads of the trial.
        gpu: GPUs; a fraction packs several trials on one.
    """

    cpu: Annotated[float, Field(gt=0)] = 1
    gpu: Annotated[float, Field(ge=0)] = 0


def _none(value: Any) -> Any:
    """``early_stopping: none`` as well as YAML's own null."""
    return None if value == "none" else value


Model = Annotated[ModelSpec, BeforeValidator(model_spec)]


class SearchSpace(Strict):
    """A search space as its YAML file describes it (README has the annotated example)."""

    name: Annotated[str, Field(pattern=NAME)]
    dataset: DatasetName
    model: Model
    split: Split = Split()
    training: Training = Training()
    regimes: Annotated[dict[Annotated[str, Field(pattern=NAME)], Regime], Field(min_length=1)] = {
        "clean": Regime()
    }
    factors: dict[str, Annotated[tuple[Any, ...], Field(min_length=1)]] = {}
    search: dict[str, Domain] = {}
    regime: str | None = None
    method: MethodName | None = None
    distribution: DistributionName | None = None
    sparsity: Sparsity | None = None
    init: Literal["sparse", "dense"] = "sparse"
    layers: Layers = Layers()
    baseline: Literal["dense"] | None = "dense"
    sampler: Literal["tpe", "random"] = "tpe"
    budget: Budget = Budget()
    early_stopping: Annotated[EarlyStopping | None, BeforeValidator(_none)] = EarlyStopping()
    confirm: Confirm = Confirm()
    objective: Literal["matched", "clean"] = "matched"
    resources: Resources = Resources()
    trial_timeout: Annotated[float, Field(gt=0)] | None = 3600
    """Seconds without a report after which a trial's worker is killed; the trial is tried again, then failed."""
    seed: Annotated[int, Field(ge=0)] = 0
