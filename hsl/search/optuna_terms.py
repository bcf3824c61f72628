"""Samplers, domains and tuned values in Optuna's terms."""

import json
from typing import Any

import optuna
from optuna.trial import Trial

from hsl.planning.plan import Cell
from hsl.space.axes import Values
from hsl.space.domain import Domain, within
from hsl.space.samplers import CmaEs, Gp, SamplerSettings, Tpe


def random_sampler(_: SamplerSettings, seed: int) -> optuna.samplers.BaseSampler:
    """Of random draws, and of a grid, of which nothing is left to be sampled."""
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


def _suggest(trial: Trial, axis: str, domain: Domain) -> Any:
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
    return {
        f"distribution[{method}]" if axis == "distribution" else axis: _parameter(
            value, cell.domains.get(axis)
        )
        for axis, value in values.items()
    }


def _parameter(value: Any, domain: Domain | None) -> Any:
    if domain is None:
        return value
    if domain.steps:
        return min(range(domain.steps), key=lambda index: abs(domain.value(index) - value))
    return _label(value) if domain.choice else value


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
