"""Proposals from what the trials of all cells have shown: a forest over their levels and tuned values."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import ExtraTreesRegressor

from hsl.planning.plan import Cell, Plan, regime_of
from hsl.search.earlier import earlier_ends
from hsl.search.outcome import Outcome
from hsl.space.axes import Values
from hsl.space.samplers import Transfer

GROWTH = 1.2
"""The forest is fitted again when so many times more trials have ended, so that its cost per trial stays constant."""

LEAST = 2
"""Ends that are needed before the forest chooses."""

STORE = "store"
"""Column of the number of the store that a trial is of; 0 is this search's own."""

ABSENT = -1.0
"""The number of an axis that a configuration does not have, below all that it can be."""


class Encoding:
    """Levels and tuned values of a configuration as numbers: one of 0 and 1 for each choice, others as they are.

    A tree splits between two values, so neither scales nor logarithms matter to it.
    """

    def __init__(self, cells: Iterable[Mapping[str, Any]], domains: Iterable[Mapping[str, Any]]) -> None:
        seen: dict[str, list[Any]] = {}
        for axis, value in itertools.chain.from_iterable(cell.items() for cell in cells):
            seen.setdefault(axis, []).append(value)
        for axis, domain in itertools.chain.from_iterable(own.items() for own in domains):
            seen.setdefault(axis, []).extend(domain.choice or domain.bounds or ())
        self._columns = [
            (axis, choice)
            for axis, values in sorted(seen.items())
            for choice in ([None] if all(map(_is_number, values)) else sorted(set(map(repr, values))))
        ]

    def __call__(self, values: Values) -> list[float]:
        """The numbers of one configuration, its levels among the values."""
        return [_encoded(values.get(axis), choice) for axis, choice in self._columns]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _encoded(value: Any, choice: str | None) -> float:
    if choice is not None:
        return float(repr(value) == choice)
    return float(value) if _is_number(value) else ABSENT


class Forest:
    """What all cells have shown so far, and which of some candidates of a cell it promises most of.

    The trees are extremely randomised (Geurts et al. 2006, Machine Learning 63); a candidate counts with the mean of
    their predictions and a share of their spread. The forest, and so a choice, is a function of the seed and of the
    ends in the order in which it has received them.

    Args:
        plan: The plan of the search.
        settings: Of the sampler.
    """

    def __init__(self, plan: Plan, settings: Transfer) -> None:
        self._settings = settings
        self._seed = plan.space.seed % 2**32
        self._levels = {cell.name: _levels(cell, plan) for cell in plan.cells}
        self._encode = Encoding([{STORE: 0}, *self._levels.values()], [cell.domains for cell in plan.cells])
        self._regimes = {cell.name: regime_of(cell, plan.space) for cell in plan.cells}
        self._drawn: Counter[tuple[str, str]] = Counter()
        self._begun: Counter[str] = Counter()
        self._inputs: list[list[float]] = []
        self._targets: list[float] = []
        self._due = self._fitted = 0
        self._trees: list[Any] = []
        for number, ends in enumerate(earlier_ends(plan.space.learn_from), start=1):
            for earlier in ends:
                self._enter({**earlier.values, STORE: number}, earlier.outcome)
        self._has_learned = self._knows_enough

    def begin(self, cell: str, values: Values) -> None:
        """Note that a configuration of a cell is tried."""
        self._begun[cell] += 1
        self._drawn[self._regimes[cell], str(values.get("method"))] += 1

    def learn(self, cell: str, values: Values, outcome: Outcome) -> None:
        """Receive how a configuration of a cell ended; a failure counts as the worst of all, a lost one not at all."""
        self._enter({**values, **self._levels[cell]}, outcome)

    def _enter(self, values: Values, outcome: Outcome) -> None:
        if not outcome.is_lost:
            self._inputs.append(self._encode({STORE: 0, **values}))
            self._targets.append(math.nan if outcome.is_failure else float(outcome.objective or 0.0))
            self._due = _last_of_series(len(self._targets))

    @property
    def _knows_enough(self) -> bool:
        return sum(not math.isnan(value) for value in self._targets) >= LEAST

    def ranked(self, cell: str, candidates: Sequence[Values]) -> list[int]:
        """Indices of candidates of a cell, the one to try next first.

        The first configurations of a cell are spread over methods, unless earlier stores are learned from: those whose
        method was tried least in its regime come first. Then it is those that the forest promises most of.
        """
        if not self._chooses(cell):
            regime = self._regimes[cell]
            tried = [self._drawn[regime, str(values.get("method"))] for values in candidates]
            return sorted(range(len(candidates)), key=tried.__getitem__)
        return [int(index) for index in np.argsort(-self._promises(cell, candidates), kind="stable")]

    @property
    def version(self) -> int:
        """Number of ends that the forest is, or is due to be, fitted to."""
        return self._due

    def promise(self, cell: str, candidates: Sequence[Values]) -> float | None:
        """The best objective that the forest promises of candidates of a cell; None before it chooses."""
        return float(self._promises(cell, candidates).max()) if self._chooses(cell) else None

    def _chooses(self, cell: str) -> bool:
        is_first = self._begun[cell] < self._settings.first and not self._has_learned
        return not is_first and self._knows_enough

    def _promises(self, cell: str, candidates: Sequence[Values]) -> np.ndarray:
        """Mean prediction for each candidate and a share of its spread, float [N]."""
        self._fit_if_due()
        levels = self._levels[cell]
        rows = np.asarray(
            [self._encode({STORE: 0, **values, **levels}) for values in candidates], dtype=np.float32
        )
        predicted = np.stack([tree.predict(rows)[:, 0] for tree in self._trees])
        found: np.ndarray = predicted.mean(axis=0) + self._settings.spread * predicted.std(axis=0)
        return found

    def _fit_if_due(self) -> None:
        """Fit to as many ends as the last of a growing series of numbers says, the same after any interruption."""
        due = self._due
        if due == self._fitted:
            return
        targets = np.asarray(self._targets[:due])
        worst = np.nanmin(targets) if np.isfinite(targets).any() else 0.0
        forest = ExtraTreesRegressor(self._settings.trees, random_state=self._seed, n_jobs=1)
        forest.fit(
            np.asarray(self._inputs[:due], dtype=np.float32), np.where(np.isnan(targets), worst, targets)
        )
        self._trees, self._fitted = [tree.tree_ for tree in forest.estimators_], due


def _levels(cell: Cell, plan: Plan) -> dict[str, Any]:
    fixed = {"regime": regime_of(cell, plan.space), "sparsity": cell.example.sparsity}
    method = {} if "method" in cell.domains else {"method": cell.example.method}
    return {**fixed, **method, **cell.levels}


def _last_of_series(count: int) -> int:
    """The largest number up to `count` of 1, 2, 3, ..., each `GROWTH` times the one before, or one more."""
    number = 1
    while (following := max(number + 1, math.ceil(GROWTH * number))) <= count:
        number = following
    return number
