"""Configurations for one cell, proposed by an Optuna study of its own. Knows no Ray."""

from __future__ import annotations

import json
import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial, TrialState
from pydantic import ValidationError

from hsl.search.axes import Values, configuration
from hsl.search.plan import Cell
from hsl.search.schema import Domain, SearchSpace
from hsl.sparsity.methods import METHODS
from hsl.training.configuration import Configuration, digest

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

ATTEMPTS = 50
"""Proposals in a row that may be duplicates before a cell counts as exhausted."""

SIGNIFICANT_DIGITS = 4


@dataclass(frozen=True)
class Outcome:
    """How a trial ended, as a study is told.

    Attributes:
        status: ``completed``, ``stopped`` or ``failed``.
        epochs: Epochs trained.
        objective: Last value of the objective; None if there is none.
    """

    status: str
    epochs: int
    objective: float | None


@dataclass(frozen=True)
class Proposal:
    """A configuration to try.

    Attributes:
        values: Tuned values (axis -> value).
        configuration: What they make of the cell.
    """

    values: dict[str, Any]
    configuration: Configuration


class CellStudy:
    """Proposes configurations for one cell, never the same twice.

    Every method is proposed once before any is proposed again: a cell compares all of them, whatever the sampler.

    Args:
        space: The search space.
        cell: The cell.
    """

    def __init__(self, space: SearchSpace, cell: Cell) -> None:
        self.cell = cell
        self._space = space
        self._trials: dict[str, Trial | None] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._exhausted = False
        seed = int(digest([space.seed, cell.name]), 16) % 2**32
        self._study = optuna.create_study(direction="maximize", sampler=make_sampler(space, cell, seed))
        methods = tuple(cell.distributions) if "method" in cell.domains else ()
        self._untried = [str(method) for method in np.random.default_rng(seed).permutation(methods)]

    @property
    def issued(self) -> int:
        """Configurations proposed so far."""
        return len(self._trials)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more is to be proposed."""
        return self._exhausted or self.issued >= self.cell.configurations

    def ask(self) -> Proposal | None:
        """The next configuration, or None if the budget is spent or nothing new can be found."""
        for _ in range(ATTEMPTS if not self.is_finished else 0):
            trial = self._next_trial({"method": self._untried[0]} if self._untried else {})
            proposal = self._propose(trial)
            if proposal and proposal.configuration.id not in self._trials:
                self._add(proposal, trial)
                return proposal
            self._tell(trial, self._outcomes.get(proposal.configuration.id) if proposal else None)
        self._exhausted = True
        return None

    def tell(self, configuration_id: str, outcome: Outcome) -> None:
        """Report how a proposed configuration ended; a second report of the same one is ignored."""
        trial = self._trials.get(configuration_id)
        if trial is not None and configuration_id not in self._outcomes:
            self._tell(trial, outcome)
        self._outcomes.setdefault(configuration_id, outcome)

    def remember(self, values: Values, configuration_id: str) -> None:
        """Take over a configuration that was proposed in an earlier run; `tell` its outcome where it has one."""
        if configuration_id in self._trials:
            return
        trial = self._next_trial(_parameters(values, self.cell))
        proposal = self._propose(trial)
        if proposal and proposal.configuration.id == configuration_id:
            self._add(proposal, trial)
        else:  # the space has changed: it counts as tried, but teaches the sampler nothing
            self._trials[configuration_id] = None
            self._tell(trial, None)

    def _next_trial(self, fixed: dict[str, Any]) -> Trial:
        if fixed:
            self._study.enqueue_trial(fixed)
        return self._study.ask()

    def _add(self, proposal: Proposal, trial: Trial) -> None:
        self._trials[proposal.configuration.id] = trial
        method = proposal.configuration.method
        self._untried = [other for other in self._untried if other != method]

    def _propose(self, trial: Trial) -> Proposal | None:
        """What the sampler suggests; None if the values, each valid by itself, do not fit together."""
        values: dict[str, Any] = {}
        method = next(iter(self.cell.distributions))
        if "method" in self.cell.domains:
            method = values["method"] = trial.suggest_categorical("method", tuple(self.cell.distributions))
        distributions = self.cell.distributions[method]
        if "distribution" in self.cell.domains:
            values["distribution"] = trial.suggest_categorical(f"distribution[{method}]", distributions)
        takes = {f"method.{h.name}" for h in METHODS[method].hyperparameters}
        for axis, domain in self.cell.domains.items():
            if axis in {"method", "distribution"} or (axis.startswith("method.") and axis not in takes):
                continue
            values[axis] = _suggest(trial, axis, domain)
        fixed = {"method": method, "distribution": distributions[0], **self.cell.levels}
        try:
            return Proposal(values, configuration(self._space, {**fixed, **values}))
        except ValidationError:
            return None

    def _tell(self, trial: Trial, outcome: Outcome | None) -> None:
        """Early-stopped trials are told as pruned at the epoch they got to: their value is not a final one."""
        value = math.nan if outcome is None or outcome.objective is None else outcome.objective
        if outcome is None or math.isnan(value) or outcome.status == "failed":
            self._study.tell(trial, state=TrialState.FAIL)
        elif outcome.status == "stopped":
            trial.report(value, outcome.epochs)
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, value)


class _Exhaustive(optuna.samplers.BruteForceSampler):
    """Every combination once. Optuna's own stops the study after the last, which only ``optimize`` permits."""

    def after_trial(self, *_: Any) -> None:
        """Nothing: `CellStudy` sees by itself when nothing new comes."""


def make_sampler(space: SearchSpace, cell: Cell, seed: int) -> optuna.samplers.BaseSampler:
    """The sampler of one cell, its arguments spelled out because Optuna's defaults change between versions."""
    size = np.prod([domain.size for domain in cell.domains.values()])
    if size <= cell.configurations:
        return _Exhaustive(seed=seed)
    if space.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    startup = min(10, max(2, cell.configurations // 3))
    return optuna.samplers.TPESampler(
        seed=seed, n_startup_trials=startup, multivariate=True, group=True, constant_liar=True
    )


def _suggest(trial: Trial, axis: str, domain: Domain) -> Any:
    if domain.choice:
        by_label = {_label(value): value for value in domain.choice}
        return by_label[trial.suggest_categorical(axis, tuple(by_label))]
    if domain.int:
        return trial.suggest_int(axis, *domain.int)
    low, high = domain.uniform or domain.loguniform or (0.0, 1.0)
    value = trial.suggest_float(axis, low, high, log=domain.loguniform is not None)
    return min(max(float(f"{value:.{SIGNIFICANT_DIGITS}g}"), low), high)


def _parameters(values: Values, cell: Cell) -> dict[str, Any]:
    """Tuned values under the names, and as the labels, that `CellStudy` gives them in Optuna."""
    method = values.get("method") or next(iter(cell.distributions))
    named = {f"distribution[{method}]" if axis == "distribution" else axis: axis for axis in values}
    chosen = {axis for axis, domain in cell.domains.items() if domain.choice}
    return {name: _label(values[axis]) if axis in chosen else values[axis] for name, axis in named.items()}


def _label(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
