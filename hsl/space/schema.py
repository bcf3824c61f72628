"""The schema of a search space. Torch-free and ray-free."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hsl.space.domain import Domain
from hsl.space.objective import Objective, SpaceRegime
from hsl.space.samplers import Sampler, Tpe
from hsl.space.sections import Budget, Confirm, Cost, Price, WarmStart
from hsl.sparsity.methods.weight_scores import Init
from hsl.stopping.settings import EarlyStopping, Stratified, is_off
from hsl.training.configuration import (
    DatasetName,
    Digest,
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
from hsl.training.measuring.evaluation_settings import Evaluation

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"


class Resources(Strict):
    """Resources of one trial.

    Attributes:
        cpu: CPU cores, which are also the torch threads of the trial.
        gpu: GPUs; a fraction packs several trials on one.
        concurrent: Trials that run or wait for a machine at the same time; by default as many as fit on the largest
            cluster that its file permits, without a file as many as fit on the existing machines.
    """

    cpu: Annotated[float, Field(gt=0)] = 1
    gpu: Annotated[float, Field(ge=0)] = 0
    concurrent: Annotated[int, Field(ge=1)] | None = None


def _none(value: Any) -> Any:
    """Accept ``none`` and ``off`` for null."""
    return None if value == "none" or is_off(value) else value


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
    init: Init | None = None
    """Scaling of initial weights for the first mask; by default as is best for the masks of each method."""
    layers: Layers = Layers()
    ratios: dict[str, float] = {}
    """Hyperparameters of the methods whose scores give distributions ``from:METHOD``; each takes those that it has."""
    baseline: Literal["dense"] | None = "dense"
    sampler: Sampler = Tpe()
    priority: Literal["even", "uncertain"] = "even"
    lag: Annotated[int, Field(ge=1)] | None = None
    """Trials of a search that may run at once: a proposal, and where a rung stops its trial, depends on all earlier
    ends but those of the last lag - 1; of samplers that learn nothing, and where it is left out, on none."""
    warm_start: Annotated[WarmStart | None, BeforeValidator(_none)] = None
    learn_from: tuple[str, ...] = ()
    """Stores of earlier searches from whose trials a sampler across cells learns as well."""
    first: tuple[Annotated[dict[str, Any], Field(min_length=1)], ...] = ()
    """Configurations that are tried first: tuned values, and levels to name the cells; what is left out is drawn."""
    budget: Budget = Budget()
    early_stopping: EarlyStopping = Stratified()
    confirm: Confirm = Confirm()
    objective: Objective = "matched"
    evaluation: Evaluation = Evaluation()
    against: tuple[Cost, ...] = ()
    resources: Resources = Resources()
    trial_timeout: Annotated[float, Field(gt=0)] | None = 3600
    """Seconds without a report after which a trial's worker is killed; the trial is retried, then failed."""
    prices: dict[str, Price] = {}
    seed: Annotated[int, Field(ge=0)] = 0
    defaults: Literal["0.1", "0.2"] = "0.2"
    """Version whose defaults the trials have, where they are not given; a store keeps those that it was begun with."""
    content: Digest | None = None
    """Digest of the samples of the data set; a sweep finds it out, and refuses other samples than the given ones."""
    code: dict[str, Digest] = {}
    """Digests of the code of the plug-ins (reference -> digest); a sweep finds them out."""
    version: Annotated[int, Field(ge=1)] = 1
    """Number of the data and the code: a store may hold results of several, one after the other."""

    @model_validator(mode="before")
    @classmethod
    def _front_is_not_stopped(cls, content: Any) -> Any:
        """Early stopping compares by the objective alone and would stop the cheap networks of a front."""
        if isinstance(content, dict) and content.get("against") and "early_stopping" not in content:
            return {**content, "early_stopping": None}
        return content
