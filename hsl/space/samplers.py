"""The samplers that a space can ask for, and their settings."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from hsl.training.configuration import Strict


class Random(Strict):
    """Independent draws."""

    name: Literal["random"]


class Grid(Strict):
    """Every combination once, in a seeded order; every domain must be finite."""

    name: Literal["grid"]


class Tpe(Strict):
    """Tree-structured Parzen estimator (Bergstra et al. 2011; Optuna's TPESampler).

    Attributes:
        n_startup_trials: Random draws before the first model; by default a third of the budget, 2 to 10.
        n_ei_candidates: Candidates of which the most promising is taken.
        multivariate: One model of all parameters instead of one of each.
        group: With `multivariate`, one model for each set of parameters that are asked together.
        constant_liar: Keep away from what is being trained.
    """

    name: Literal["tpe"]
    n_startup_trials: Annotated[int, Field(ge=0)] | None = None
    n_ei_candidates: Annotated[int, Field(ge=1)] = 24
    multivariate: bool = True
    group: bool = True
    constant_liar: bool = True

    @model_validator(mode="after")
    def _groups_are_multivariate(self) -> Tpe:
        if self.group and not self.multivariate:
            raise ValueError("group asks for multivariate; set group: false as well")
        return self


class CmaEs(Strict):
    """Covariance matrix adaptation (Hansen 2016, arXiv 1604.00772; Optuna's CmaEsSampler) of numeric parameters.

    Choices, and parameters that not every proposal has, are drawn at random.

    Attributes:
        n_startup_trials: Random draws before the first generation, at least 1.
        popsize: Trials of a generation; 4 + floor(3 ln(numeric parameters)) by default.
    """

    name: Literal["cmaes"]
    n_startup_trials: Annotated[int, Field(ge=1)] | None = None
    popsize: Annotated[int, Field(ge=2)] | None = None


class Gp(Strict):
    """Gaussian process with logarithmic expected improvement (Optuna's GPSampler).

    Parameters that not every proposal has are drawn at random.

    Attributes:
        n_startup_trials: Random draws before the first model; by default a third of the budget, 2 to 10.
        deterministic_objective: Whether to assume that the objective has no noise.
    """

    name: Literal["gp"]
    n_startup_trials: Annotated[int, Field(ge=0)] | None = None
    deterministic_objective: bool = False


def _named(value: Any) -> Any:
    return {"name": value} if isinstance(value, str) else value


Sampler = Annotated[
    Annotated[Tpe | Random | Grid | CmaEs | Gp, Field(discriminator="name")], BeforeValidator(_named)
]
