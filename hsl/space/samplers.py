"""The samplers that a space can ask for, and their settings."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union

from pydantic import ConfigDict, Field, SerializeAsAny, WrapValidator, model_validator

from hsl.registry import Registry, Wanted, imported
from hsl.training.configuration import Strict, checked

FEWEST_NUMERIC = 2
"""CMA-ES adapts a covariance, so it needs two numeric parameters that every proposal has."""


class SamplerSettings(Strict):
    """The base of every sampler; a plug-in adds its arguments and overrides `build`.

    Attributes:
        name: Its name in a space; of a plug-in ``package.module:attr``.
        builder: Reference to a function of the settings and a seed that returns Optuna's sampler.
        is_listed: Whether it goes through a list of all combinations rather than drawing.
        learns: Whether what it proposes depends on the ends of earlier trials.
        has_one_objective: Whether it cannot search a front.
        marks_trials: Whether it writes to trials although the class of Optuna's that it makes does not, see
            `OptunaFacts.marks`.
    """

    builder: ClassVar[str] = "hsl.search.optuna_terms:random_sampler"
    is_listed: ClassVar[bool] = False
    learns: ClassVar[bool] = True
    has_one_objective: ClassVar[bool] = False
    marks_trials: ClassVar[bool] = False

    name: str

    def build(self, seed: int) -> Any:
        """Optuna's sampler (`optuna.samplers.BaseSampler`), whose draws depend on the seed and on known trials.

        It is called for each draw, so what an object keeps to itself is lost with the draw; what it writes to its
        trial goes along with an accepted draw. Draws that are not accepted (the configuration was proposed before)
        are trials as well, failed ones: the numbers of trials are not those of the proposals.

        Args:
            seed: Of this draw, from 0 to 2^32 - 1. A draw that is made again, as after a restart, has the same.
        """
        return imported(self.builder, "sampler")(self, seed)

    @property
    def is_for_one_objective(self) -> bool:
        """Whether it cannot search a front."""
        return self.has_one_objective

    def fitted(self, configurations: int, numeric: int) -> SamplerSettings:
        """The settings for one cell, completed by what depends on the cell.

        Args:
            configurations: Budget of the cell.
            numeric: Numeric parameters with more than one value that every proposal of the cell has.
        """
        return self


class Random(SamplerSettings):
    """Independent draws."""

    learns = False

    name: Literal["random"] = "random"


class Grid(SamplerSettings):
    """Every combination once, in a seeded order; every domain must be finite."""

    is_listed = True
    learns = False

    name: Literal["grid"] = "grid"


class _ModelBased(SamplerSettings):
    """Base of samplers that model the objective after some random draws.

    Attributes:
        n_startup_trials: Random draws before the first model; by default a third of the budget, 2 to 10.
    """

    n_startup_trials: Annotated[int, Field(ge=0)] | None = None

    def fitted(self, configurations: int, numeric: int) -> SamplerSettings:
        """The settings with the number of random draws."""
        drawn = self.n_startup_trials
        default = min(10, max(2, configurations // 3))
        return self.model_copy(update={"n_startup_trials": default if drawn is None else drawn})


class Tpe(_ModelBased):
    """Tree-structured Parzen estimator (Bergstra et al. 2011; Optuna's TPESampler).

    Attributes:
        n_ei_candidates: Candidates of which the most promising is taken.
        multivariate: One model of all parameters instead of one of each.
        group: With `multivariate`, one model for each set of parameters that occur together.
        constant_liar: Keep away from configurations that are being trained.
    """

    builder = "hsl.search.optuna_terms:tpe"

    name: Literal["tpe"] = "tpe"
    n_ei_candidates: Annotated[int, Field(ge=1)] = 24
    multivariate: bool = True
    group: bool = True
    constant_liar: bool = True

    @model_validator(mode="after")
    def _groups_are_multivariate(self) -> Tpe:
        if self.group and not self.multivariate:
            raise ValueError("group asks for multivariate; set group: false as well")
        return self


class CmaEs(SamplerSettings):
    """Covariance matrix adaptation (Hansen 2016, arXiv 1604.00772; Optuna's CmaEsSampler) of numeric parameters.

    Choices, and parameters that not every proposal has, are drawn at random.

    Attributes:
        n_startup_trials: Random draws before the first generation, at least 1.
        popsize: Trials of a generation; 4 + floor(3 ln(numeric parameters)) by default.
    """

    builder = "hsl.search.optuna_terms:cma_es"
    has_one_objective = True

    name: Literal["cmaes"] = "cmaes"
    n_startup_trials: Annotated[int, Field(ge=1)] | None = None
    popsize: Annotated[int, Field(ge=2)] | None = None

    def fitted(self, configurations: int, numeric: int) -> SamplerSettings:
        """The settings with the size of a generation; random draws if there are too few numeric parameters."""
        if numeric < FEWEST_NUMERIC:
            return Random()
        size = self.popsize or 4 + math.floor(3 * math.log(numeric))
        return self.model_copy(update={"n_startup_trials": self.n_startup_trials or 1, "popsize": size})


class Gp(_ModelBased):
    """Gaussian process with logarithmic expected improvement (Optuna's GPSampler).

    Parameters that not every proposal has are drawn at random; `deterministic_objective` assumes no noise.
    """

    builder = "hsl.search.optuna_terms:gp"

    name: Literal["gp"] = "gp"
    deterministic_objective: bool = False


class Shared(SamplerSettings):
    """The base of samplers that learn from the trials of all cells; `build` is not used.

    Attributes:
        model: Reference to what makes a `hsl.search.study.Model` of the plan and the settings.
        candidates: Random draws of which the most promising is taken.
    """

    model: ClassVar[str]
    has_one_objective = True

    candidates: Annotated[int, Field(ge=2)] = 64


class Transfer(Shared):
    """Extremely randomised trees over the levels and tuned values of all cells (`hsl.search.transfer`).

    Attributes:
        first: Configurations of a cell before the trees choose, spread over methods.
        trees: Number of trees.
        spread: Share of the spread of the trees' predictions that counts in favour of a candidate.
    """

    model = "hsl.search.transfer:Forest"

    name: Literal["transfer"] = "transfer"
    first: Annotated[int, Field(ge=1)] = 2
    trees: Annotated[int, Field(ge=2)] = 50
    spread: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.3


@dataclass(frozen=True)
class OptunaFacts:
    """How a class of Optuna's samplers is to be used.

    Attributes:
        marks: Whether it writes to trials or to the study, as CMA-ES does the generation of a trial. Such marks are
            not in the store: a study that is made again has the sampler draw for each trial that it remembers.
        reads_pruned: Whether a trial that was pruned without any value counts as the worst for it; others leave it out.
        lasts: Whether one object serves the whole study: another seed would begin another sequence.
        has_one_objective: Whether it cannot search a front.
        advice: Why it cannot be used here and what can; empty if it can be used.
        refused: Arguments that it cannot take here, with the reason.
        defaults: Arguments whose defaults here are not Optuna's.
    """

    marks: bool = True
    reads_pruned: bool = False
    lasts: bool = False
    has_one_objective: bool = False
    advice: str = ""
    refused: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)


_LISTED = OptunaFacts(advice="it lists combinations by itself; use sampler: grid, which proposes each once")
_WARNS_NOT = {"warn_independent_sampling": False}
"""A parameter that only some methods have is drawn at random, in every cell: that is no news."""

OF_OPTUNA = {
    "BruteForceSampler": _LISTED,
    "CmaEsSampler": OptunaFacts(
        has_one_objective=True,
        refused={"with_margin": "what it marks is known only to the process that drew; leave it out"},
        defaults=_WARNS_NOT,
    ),
    "GPSampler": OptunaFacts(marks=False, defaults=_WARNS_NOT),
    "GridSampler": _LISTED,
    "PartialFixedSampler": OptunaFacts(
        advice="it takes another sampler; name that one, and give fixed values in the space, outside of search"
    ),
    "QMCSampler": OptunaFacts(lasts=True, defaults=_WARNS_NOT),
    "RandomSampler": OptunaFacts(marks=False),
    "TPESampler": OptunaFacts(marks=False, reads_pruned=True),
}
"""Classes of ``optuna.samplers`` whose facts are not the default."""


def optuna_facts(sampler: object) -> OptunaFacts:
    """Facts of a sampler, or of its class, by the nearest class of Optuna's that it is derived from."""
    kind = sampler if isinstance(sampler, type) else type(sampler)
    names = [base.__name__ for base in kind.__mro__ if base.__module__.startswith("optuna.")]
    return next((OF_OPTUNA[name] for name in names if name in OF_OPTUNA), OptunaFacts())


class OfOptuna(SamplerSettings):
    """Any Optuna sampler by its reference, ``name: optuna.samplers:QMCSampler``; other keys are its arguments."""

    model_config = ConfigDict(extra="allow")

    @model_validator(mode="after")
    def _is_usable(self) -> OfOptuna:
        facts, given = optuna_facts(imported(self.name, "sampler")), self.model_extra or {}
        problems = [f"{key}: {reason}" for key, reason in facts.refused.items() if key in given]
        if problems := [*([facts.advice] if facts.advice else []), *problems]:
            raise ValueError(f"{self.name} cannot be used so: {'; '.join(problems)}")
        return self

    @property
    def is_for_one_objective(self) -> bool:
        """See `SamplerSettings.is_for_one_objective`."""
        return optuna_facts(imported(self.name, "sampler")).has_one_objective

    def build(self, seed: int) -> Any:
        """See `SamplerSettings.build`."""
        make = imported(self.name, "sampler")
        return make(seed=seed, **{**optuna_facts(make).defaults, **(self.model_extra or {})})


SAMPLERS: Registry[type[SamplerSettings], None] = Registry(
    "sampler",
    {"tpe": Tpe, "transfer": Transfer, "random": Random, "grid": Grid, "cmaes": CmaEs, "gp": Gp},
    wanted=Wanted(words="a subclass of hsl.space.samplers.SamplerSettings, or a class of optuna.samplers"),
)
"""Settings of samplers by name; a plug-in is another such class, or a class that `OfOptuna` can call.

An entry is the class itself, and its class stands in this module, for the schema of a space is made of all of them
when this module is imported: a reference to a module that imports this one would be a circle. What needs Optuna is
named by `SamplerSettings.builder`, in `hsl.search`. A plug-in may be in any module."""


def _plugged(value: Any, handler: Callable[[Any], Any]) -> Any:
    """A name alone stands for a sampler without arguments; a plug-in validates its own arguments."""
    given = {"name": value} if isinstance(value, str) else value
    name = given.get("name") if isinstance(given, dict) else None
    if not isinstance(name, str) or name in SAMPLERS or not SAMPLERS.knows(name):
        return handler(given)
    found = SAMPLERS.for_schema(name)
    is_own = isinstance(found, type) and issubclass(found, SamplerSettings)
    return checked(found if is_own else OfOptuna, given)


if TYPE_CHECKING:
    Sampler = SamplerSettings
else:
    _Known = Annotated[Union[tuple(SAMPLERS.values())], Field(discriminator="name")]  # noqa: UP007  made of the registry
    Sampler = Annotated[SerializeAsAny[_Known], WrapValidator(_plugged)]
