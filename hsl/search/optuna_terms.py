"""Samplers, domains and tuned values in Optuna's terms.

`random_sampler`, `tpe`, `cma_es` and `gp` make Optuna's sampler of the settings of that name and a seed.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import Trial

from hsl.errors import HslError
from hsl.planning.plan import Cell
from hsl.planning.sampling import fitting_methods
from hsl.space.axes import Values
from hsl.space.domain import Domain, within
from hsl.space.samplers import CmaEs, Gp, SamplerSettings, Tpe, optuna_facts


def random_sampler(_: SamplerSettings, seed: int) -> optuna.samplers.BaseSampler:
    """Random draws; also for a grid, which leaves nothing to be sampled."""
    return optuna.samplers.RandomSampler(seed=seed)


def tpe(settings: Tpe, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of `Tpe`."""
    return optuna.samplers.TPESampler(seed=seed, **_arguments(settings))


def cma_es(settings: CmaEs, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of `CmaEs`."""
    return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False, **_arguments(settings))


def gp(settings: Gp, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of `Gp`."""
    return optuna.samplers.GPSampler(seed=seed, warn_independent_sampling=False, **_arguments(settings))


def _arguments(settings: SamplerSettings) -> dict[str, Any]:
    return settings.model_dump(exclude={"name"}, exclude_none=True)


def built(sampler: SamplerSettings, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler of some settings.

    Raises:
        HslError: If it cannot be made, is none, or cannot be used here.
    """
    try:
        made = sampler.build(seed)
    except HslError:
        raise
    except (
        Exception
    ) as error:  # a user's code can raise anything, and arguments of Optuna's are not checked before
        raise HslError(f"sampler {sampler.name!r} cannot be made: {type(error).__name__}: {error}") from error
    if not isinstance(made, optuna.samplers.BaseSampler):
        raise HslError(f"sampler {sampler.name!r} makes {made!r}, which is no optuna.samplers.BaseSampler")
    if advice := optuna_facts(made).advice:
        raise HslError(f"sampler {sampler.name!r} makes a {type(made).__name__}: {advice}")
    return made


class Recorded:
    """Parameters that are known already, by Optuna's names, with its interface of a trial.

    `params` and `distributions` are those that were asked for.
    """

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._known = params
        self.params: dict[str, Any] = {}
        self.distributions: dict[str, BaseDistribution] = {}

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """The known value."""
        return self._recorded(name, CategoricalDistribution(choices))

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """The known value."""
        return int(self._recorded(name, IntDistribution(low, high)))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """The known value."""
        return float(self._recorded(name, FloatDistribution(low, high, log=log)))

    def _recorded(self, name: str, distribution: BaseDistribution) -> Any:
        value = self._known[name]
        distribution.to_internal_repr(value)  # refuses what the distribution cannot hold
        self.params[name], self.distributions[name] = value, distribution
        return value


class Drawn:
    """Independent random draws with Optuna's interface of a trial, without a study."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """One of the choices."""
        return choices[int(self._rng.integers(len(choices)))]

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        return int(self._rng.integers(low, high + 1))

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """A number between, uniform in itself or in its logarithm."""
        if log:
            return float(np.exp(self._rng.uniform(np.log(low), np.log(high))))
        return float(self._rng.uniform(low, high))


class Given(Drawn):
    """Parameters of which some are given, and the others are drawn.

    Args:
        rng: Of the draws.
        values: What is given (axis -> value).
        cell: The cell.
    """

    def __init__(self, rng: np.random.Generator, values: Values, cell: Cell) -> None:
        super().__init__(rng)
        self._params = {axis: _parameter(value, cell.domains.get(axis)) for axis, value in values.items()}
        self._methods = fitting_methods(values, cell)

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """What is given, else one of the choices."""
        axis = name.partition("[")[0]
        if axis in self._params:
            return self._params[axis]
        return super().suggest_categorical(name, self._methods if axis == "method" else choices)

    def suggest_int(self, name: str, low: int, high: int) -> int:
        """What is given, else a whole number from `low` to `high`."""
        return int(self._params[name]) if name in self._params else super().suggest_int(name, low, high)

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """What is given, else a number between."""
        if name in self._params:
            return float(self._params[name])
        return super().suggest_float(name, low, high, log=log)


def _suggest(trial: Trial | Recorded | Drawn, axis: str, domain: Domain) -> Any:
    if domain.choice:
        by_label = {_label(value): value for value in domain.choice}
        return by_label[trial.suggest_categorical(axis, tuple(by_label))]
    if domain.steps:
        return domain.value(trial.suggest_int(axis, 0, domain.steps - 1))
    if domain.int:
        return trial.suggest_int(axis, *domain.int)
    low, high = domain.uniform or domain.loguniform or (0.0, 1.0)
    return within(trial.suggest_float(axis, low, high, log=domain.loguniform is not None), low, high)


def _parameters(values: Values, cell: Cell) -> dict[str, Any]:
    """Tuned values under the names, and as the labels, that `CellStudy` gives them in Optuna."""
    method = values.get("method") or next(iter(cell.distributions))
    names = {"distribution": f"distribution[{method}]"}
    return {
        names.get(axis, axis): _parameter(value, cell.domains.get(axis)) for axis, value in values.items()
    }


def _parameter(value: Any, domain: Domain | None) -> Any:
    if domain is None:
        return value
    if domain.steps:
        return min(range(domain.steps), key=lambda index: abs(domain.value(index) - value))
    return _label(value) if domain.choice else value


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
