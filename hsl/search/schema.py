"""The schema of a search space. Torch-free and ray-free."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from hsl.errors import close_match
from hsl.search.regimes import Objective, SpaceRegime
from hsl.search.settings import Budget, Confirm, Cost, Price, Sampler, Tpe, WarmStart
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
from hsl.training.evaluation_settings import Evaluation

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"

Whole = int
"""The type by a name that the field ``int`` of a domain does not hide."""


SIGNIFICANT_DIGITS = 4


def within(value: float, low: float, high: float) -> float:
    """`value` with few enough digits to be read, still between `low` and `high`."""
    return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), low), high)


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
        steps: With a real range: only so many values, evenly spaced, in the logarithm where that is uniform.
    """

    choice: Annotated[tuple[Any, ...], Field(min_length=1)] | None = None
    uniform: tuple[float, float] | None = None
    loguniform: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    int: tuple[Whole, Whole] | None = None
    steps: Annotated[Whole, Field(ge=2, le=10_000)] | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Domain:
        given = self.model_dump(exclude_none=True, exclude={"steps"})
        if len(given) != 1:
            raise ValueError("give exactly one of choice, uniform, loguniform, int")
        bounds = self.bounds
        if bounds and bounds[0] >= bounds[1]:
            raise ValueError(f"the lower bound {bounds[0]} must be below the upper bound {bounds[1]}")
        if self.choice and has_twins(self.choice):
            raise ValueError("a choice is listed twice")
        if self.steps and not (self.uniform or self.loguniform):
            raise ValueError(
                "steps divide uniform or loguniform; a choice and whole numbers are finite already"
            )
        return self

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Lowest and highest value of a numeric domain."""
        return self.uniform or self.loguniform or self.int

    @property
    def size(self) -> float:
        """Number of values; infinite for real ranges without steps."""
        if self.choice:
            return len(self.choice)
        return self.int[1] - self.int[0] + 1 if self.int else self.steps or math.inf

    def value(self, index: Whole) -> Any:
        """The value number `index` of a finite domain, counted from 0."""
        if self.choice:
            return self.choice[index]
        if self.int:
            return self.int[0] + index
        assert self.steps is not None
        share = index / (self.steps - 1)
        if self.loguniform:
            low, high = self.loguniform
            return within(low * (high / low) ** share, low, high)
        low, high = self.uniform or (0.0, 1.0)
        return within(low + (high - low) * share, low, high)


def _epochs_or_fraction(value: float) -> float:
    """Whole epochs from 1 on, a fraction of the training below."""
    if value < 1:
        return value
    if value != int(value):
        raise ValueError("give whole epochs (1, 2, ...), or a fraction of the training between 0 and 1")
    return int(value)


Grace = Annotated[float, Field(gt=0, allow_inf_nan=False), AfterValidator(_epochs_or_fraction)]
Factor = Annotated[int, Field(ge=2)]
Share = Annotated[float, Field(ge=0, lt=1)]


class _Judging(Strict):
    """What every kind of early stopping of our own has in common.

    Attributes:
        grace: When the first trial is judged: epochs since the target sparsity was reached, or a fraction of all.
        exempt: Share of trials that are never stopped, so that false stops can be estimated, in [0, 1).
    """

    grace: Grace = 0.1
    exempt: Share = 0.05


class Stratified(_Judging):
    """Stratified ASHA (`hsl.search.rungs`); rungs count epochs since the target sparsity was reached.

    The defaults were chosen by replay on half of the cells of a digits grid (16 cells of 30 full trainings) and
    checked on the other half: 41 % of the epochs, 0.4 points below the best of a cell on average over all cells.

    Attributes:
        reduction_factor: Each rung lies this many times further; about one in so many goes on.
        brackets: Bracket b leaves out the first b rungs; trials are spread over them as Hyperband does.
        min_entries: A rung judges nobody before it holds as many entries.
        tolerance: A trial this close to the cut-off, in units of the objective, goes on (seed noise).
        min_correlation: A rung is switched off while the audit's interval of its rank correlation with the final
            objective lies below this; -1 for never.
    """

    kind: Literal["stratified"] = "stratified"
    reduction_factor: Factor = 4
    brackets: Annotated[int, Field(ge=1, le=10)] = 1
    min_entries: Annotated[int, Field(ge=1)] = 3
    tolerance: Share = 0.002
    min_correlation: Annotated[float, Field(ge=-1, le=1)] = 0.2


class Promotion(_Judging):
    """ASHA by promotion (`hsl.search.promotion`): every trial waits at its rung until it is among the best.

    Attributes:
        reduction_factor: Each rung lies this many times further; one in so many is promoted.
        min_entries: A rung promotes nobody before it holds as many entries, or nobody else can come.
    """

    kind: Literal["promotion"] = "promotion"
    reduction_factor: Factor = 4
    min_entries: Annotated[int, Field(ge=1)] = 3


class Median(_Judging):
    """Median stopping rule within cells (`hsl.search.median`).

    Attributes:
        min_entries: Nobody is judged before as many trials got as far.
        tolerance: A trial this close to the median, in units of the objective, goes on (seed noise).
    """

    kind: Literal["median"] = "median"
    min_entries: Annotated[int, Field(ge=1)] = 3
    tolerance: Share = 0.002


class RayAsha(Strict):
    """Ray Tune's own ASHA, one per cell, by epochs; for comparison.

    Attributes:
        grace: Epochs before the first rung, or a fraction of all.
        reduction_factor: Each rung lies this many times further.
    """

    kind: Literal["ray_asha"] = "ray_asha"
    grace: Grace = 0.1
    reduction_factor: Factor = 4


class RayHyperband(Strict):
    """Ray Tune's own synchronous HyperBand, one per cell, by epochs; for comparison.

    It fills a bracket that stops nobody first, so it saves nothing where few trials of a cell run at once.

    Attributes:
        reduction_factor: Each halving keeps one in so many.
    """

    kind: Literal["ray_hyperband"] = "ray_hyperband"
    reduction_factor: Factor = 3


class RayMedian(Strict):
    """Ray Tune's own median stopping rule, one per cell, by epochs; for comparison.

    Attributes:
        grace: Epochs before a trial is judged, or a fraction of all.
        min_entries: Nobody is judged before as many trials got as far.
    """

    kind: Literal["ray_median"] = "ray_median"
    grace: Grace = 0.1
    min_entries: Annotated[int, Field(ge=1)] = 3


EarlyStopping = Stratified | Promotion | Median | RayAsha | RayHyperband | RayMedian
EARLY_STOPPING: dict[str, type[Strict]] = {
    str(model.model_fields["kind"].default): model for model in get_args(EarlyStopping)
}
"""Kinds of early stopping by name; ``none`` is the absence of all."""


def _kind(value: Any) -> Any:
    """``early_stopping: none`` as well as YAML's own null; a name alone; the kind where it is left out."""
    if isinstance(value, str):
        value = {"kind": value}
    if value is False:  # off
        return None
    if not isinstance(value, Mapping):
        return value
    kind = str(value.get("kind", "stratified"))
    if kind == "none":
        if len(value) > 1:
            raise ValueError("kind none takes no other key; leave the others out, or choose another kind")
        return None
    if kind not in EARLY_STOPPING:
        known = [*EARLY_STOPPING, "none"]
        raise ValueError(f"unknown kind {kind!r}{close_match(kind, known)}; known: {', '.join(known)}")
    return {**value, "kind": kind}


class Resources(Strict):
    """What one trial is given.

    Attributes:
        cpu: CPU cores, which are also the torch threads of the trial.
        gpu: GPUs; a fraction packs several trials on one.
        concurrent: Trials that run or wait for a machine at the same time; by default as many as fit on a cluster
            when it has grown to what its file allows, without a file as many as fit on the machines that are there.
    """

    cpu: Annotated[float, Field(gt=0)] = 1
    gpu: Annotated[float, Field(ge=0)] = 0
    concurrent: Annotated[int, Field(ge=1)] | None = None


def _none(value: Any) -> Any:
    """``none`` and ``off`` (which YAML reads as false) as well as YAML's own null."""
    return None if value in ("none", "off") or value is False else value


Model = Annotated[ModelSpec, BeforeValidator(model_spec)]


class SearchSpace(Strict):
    """A search space as its YAML file describes it (README has the annotated example)."""

    name: Annotated[str, Field(pattern=NAME)]
    dataset: DatasetName
    model: Model
    split: Split = Split()
    training: Training = Training()
    regimes: Annotated[dict[Annotated[str, Field(pattern=NAME)], SpaceRegime], Field(min_length=1)] = {
        "clean": SpaceRegime()
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
    sampler: Sampler = Tpe(name="tpe")
    priority: Literal["even", "uncertain"] = "even"
    warm_start: Annotated[WarmStart | None, BeforeValidator(_none)] = None
    budget: Budget = Budget()
    early_stopping: Annotated[
        Annotated[EarlyStopping, Field(discriminator="kind")] | None, BeforeValidator(_kind)
    ] = Stratified()
    confirm: Confirm = Confirm()
    objective: Objective = "matched"
    evaluation: Evaluation = Evaluation()
    against: tuple[Cost, ...] = ()
    resources: Resources = Resources()
    trial_timeout: Annotated[float, Field(gt=0)] | None = 3600
    """Seconds without a report after which a trial's worker is killed; the trial is tried again, then failed."""
    prices: dict[str, Price] = {}
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="before")
    @classmethod
    def _front_is_not_stopped(cls, content: Any) -> Any:
        """Early stopping looks at the objective alone and would stop the cheap networks of a front."""
        if isinstance(content, dict) and content.get("against") and "early_stopping" not in content:
            return {**content, "early_stopping": None}
        return content
