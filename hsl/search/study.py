"""Configurations for one cell, proposed by an Optuna study of its own. Knows no Ray."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from optuna.trial import Trial, TrialState
from pydantic import ValidationError

from hsl.planning.plan import Cell
from hsl.planning.sampling import asks, first_of, sampler_of
from hsl.search.dominance import Point, ranked, signed
from hsl.search.enough import Enough
from hsl.search.grid import grid_order
from hsl.search.model import Model
from hsl.search.optuna_terms import Drawn, Given, Recorded, _parameters, _suggest, built
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.space.axes import Values, configuration
from hsl.space.domain import LARGEST_GRID
from hsl.space.samplers import Random, SamplerSettings, Shared, optuna_facts
from hsl.space.schema import SearchSpace
from hsl.space.sections import DIRECTIONS
from hsl.store.outcomes import Status
from hsl.training.configuration import Configuration, digest

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)

MODEL_DRAWS = 5
"""Draws that may be duplicates before the sampler gives way to random ones: it has converged on what was tried."""

RANDOM_DRAWS = 25
"""Random draws that may be duplicates before what is left is counted through, or the cell ends."""

Marks = Mapping[str, Any]
"""What a sampler writes to a trial, by Optuna's names."""

UNUSED_SAMPLER = optuna.samplers.RandomSampler(seed=0)
"""Keeps Optuna from making its default sampler for every study; each proposal sets its own."""


@dataclass(frozen=True)
class _Entry:
    """A configuration that was proposed; `trial` is its number in Optuna, None where it teaches the sampler nothing."""

    values: dict[str, Any]
    number: int
    trial: int | None


class CellStudy:
    """Proposes configurations for one cell, never the same twice.

    Every method is proposed once before any is proposed again: a cell compares all of them with any sampler.
    A proposal is a function of its number and of what the study knows: a sampler is made again for each, with a seed
    of its own, and what is accepted enters the study the same way as what is remembered, with the marks that the
    sampler wrote to it. So a study that was rebuilt from a store goes on as the lost one would have, and a lost
    number is drawn again.
    """

    def __init__(self, space: SearchSpace, cell: Cell, model: Model | None = None) -> None:
        self.cell = cell
        self._model = model
        self.sampler = sampler_of(space, cell)
        self._space = space
        self._entries: dict[str, _Entry] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._numbers: set[int] = set()
        self._failed: set[int] = set()
        self._lowest = 0
        self._exhausted = False
        self._enough = Enough(space.budget.enough, cell.name, model)
        self._warm: list[Values] = []
        self._first = first_of(space, cell)
        self._seed = int(digest([space.seed, cell.name]), 16) % 2**32
        self.directions = ["maximize", *(DIRECTIONS[name] for name in space.against)]
        self._study = optuna.create_study(directions=self.directions, sampler=UNUSED_SAMPLER)
        methods = tuple(cell.distributions) if "method" in cell.domains else ()
        self._methods = [str(method) for method in np.random.default_rng(self._seed).permutation(methods)]
        self._untried = list(self._methods)
        is_listed = cell.combinations <= LARGEST_GRID
        self._grid = grid_order(cell, self._seed, self._methods) if is_listed else iter(())

    @property
    def issued(self) -> int:
        """Number of configurations proposed so far."""
        return len(self._entries)

    @property
    def is_finished(self) -> bool:
        """Whether nothing more is to be proposed."""
        return self._exhausted or self.issued >= self.cell.configurations

    @property
    def is_open(self) -> bool:
        """Whether proposals can still be made, as far as was found out."""
        return not self.is_finished and not self._enough.was_found

    @property
    def has_enough(self) -> bool:
        """Whether nothing that is promised of what is left is worth a trial (`budget.enough`)."""
        return self.issued >= len(self._first) and self._enough.holds(self._best, self._new_options)

    def _best(self) -> float | None:
        return next((outcome.objective for _, outcome in self.best(1)), None)

    def _new_options(self) -> list[Values]:
        made = ((values, self.configuration(values)) for values in self._options(self._free_number()))
        return [values for values, found in made if found and found.id not in self._entries]

    def ask(self) -> Proposal | None:
        """The next configuration, or None if the budget is spent or nothing new can be found."""
        number = self._free_number()
        for source, values, marks in () if self.is_finished else self._candidates(number):
            made = self.configuration(values)
            if made and made.id not in self._entries:
                self._enter(values, made.id, number, marks)
                return Proposal(dict(values), made, number, source)
        self._exhausted = True
        return None

    def tell(self, configuration_id: str, outcome: Outcome) -> None:
        """Report how a proposed configuration ended; a second report of the same one is ignored."""
        entry = self._entries.get(configuration_id)
        if entry and entry.trial is not None and configuration_id not in self._outcomes:
            self._tell(entry.trial, outcome)
            if self._model:
                self._model.learn(self.cell.name, entry.values, outcome)
        self._outcomes.setdefault(configuration_id, outcome)

    def remember(self, values: Values, configuration_id: str, number: int | None = None) -> None:
        """Take over a configuration that was proposed in an earlier run; `tell` its outcome where it has one.

        Args:
            values: Its tuned values.
            configuration_id: Its identity; if the space now makes another configuration of the values, this one
                counts as tried but teaches the sampler nothing.
            number: Its place in the order of proposals; by default the first free one.
        """
        if configuration_id not in self._entries:
            if number is None or number in self._numbers:
                number = self._free_number()
            self._enter(values, configuration_id, number)

    def begin_with(self, values: Sequence[Values], count: int) -> None:
        """Propose the first `count` of these that are possible here before all others."""
        made = {found.id: taken for taken in values if (found := self._taken_over(taken))}
        self._warm = list(made.values())[:count]

    def best(self, count: int | None = None) -> list[tuple[dict[str, Any], Outcome]]:
        """Values and outcomes of the best configurations that were trained to the end, the best first."""
        ended = sorted(
            key
            for key, outcome in self._outcomes.items()
            if key in self._entries and outcome.status == Status.COMPLETED and self._point(outcome)
        )
        order = ranked([self._point(self._outcomes[key]) or () for key in ended])[:count]
        return [(self._entries[ended[i]].values, self._outcomes[ended[i]]) for i in order]

    def frozen(self) -> dict[str, optuna.trial.FrozenTrial]:
        """What the study knows of each configuration, in the order of the proposals."""
        entries = sorted(self._entries.items(), key=lambda item: item[1].number)
        return {key: self._frozen(entry.trial) for key, entry in entries if entry.trial is not None}

    def frozen_trial(self, configuration_id: str) -> optuna.trial.FrozenTrial | None:
        """What the study knows of one configuration; None of one that teaches it nothing."""
        entry = self._entries[configuration_id]
        return None if entry.trial is None else self._frozen(entry.trial)

    def _candidates(self, number: int) -> Iterator[tuple[str, Values, Marks | None]]:
        """Who proposes, values, and marks; None for the marks of values that the sampler has not drawn."""
        if number < len(self._first):
            given = Given(np.random.default_rng([self._seed, number]), self._first[number], self.cell)
            yield "first", self._suggested(given), None
        yield from (("warm_start", values, None) for values in self._warm)
        if self._model and isinstance(self.sampler, Shared):
            candidates = self._options(number)
            ranked = self._model.ranked(self.cell.name, candidates)
            yield from ((self.sampler.name, candidates[index], None) for index in ranked)
        elif not self.sampler.is_listed:
            for attempt in range(MODEL_DRAWS):
                yield self.sampler.name, *self._drawn(self.sampler, number, attempt)
            for attempt in range(RANDOM_DRAWS):
                yield Random().name, self._drawn(Random(), number, attempt)[0], None
        yield from (("grid", values, None) for values in self._grid)

    def _options(self, number: int) -> list[Values]:
        """The candidates of a sampler across cells under a number."""
        drawn = Drawn(np.random.default_rng([self._seed, number]))
        count = self.sampler.candidates if isinstance(self.sampler, Shared) else 0
        return [self._suggested(drawn) for _ in range(count)]

    def _wanted_method(self, number: int) -> str | None:
        """The method to try under a number, independent of lost proposals; None if any will do."""
        warm = {values.get("method") for values in self._warm}
        methods = [method for method in self._methods if method not in warm]
        place = number - len(self._first) - len(self._warm)
        if 0 <= place < len(methods):
            return methods[place]
        return self._untried[0] if self._untried else None

    def _drawn(self, sampler: SamplerSettings, number: int, attempt: int) -> tuple[Values, Marks]:
        """What a sampler suggests and writes; Optuna forgets the trial, for only what is accepted is to count."""
        self._study.sampler = self._made(sampler, number, attempt)
        if method := self._wanted_method(number):
            self._study.enqueue_trial({"method": method})
        trial = self._study.ask()
        _ = (
            trial.relative_params
        )  # Optuna asks a model when the first value is open; here it is to mark each trial
        values = self._suggested(trial)
        written = self._study._storage.get_trial_system_attrs(trial._trial_id)
        self._study.tell(trial, state=TrialState.FAIL)
        return values, {key: mark for key, mark in written.items() if key != "fixed_params"}

    def _made(self, sampler: SamplerSettings, number: int, attempt: int) -> optuna.samplers.BaseSampler:
        if sampler is self.sampler and optuna_facts(self._lasting).lasts:
            return self._lasting
        return built(sampler, int(digest([self._seed, sampler.name, number, attempt]), 16) % 2**32)

    @cached_property
    def _lasting(self) -> optuna.samplers.BaseSampler:
        """A sampler for the whole study, or the example of those that are made for each draw."""
        return built(self.sampler, self._seed)

    def _enter(self, values: Values, configuration_id: str, number: int, marks: Marks | None = None) -> None:
        if marks is None:
            marks = self._marks(number)
        trial = self._added(values, configuration_id, marks)
        self._entries[configuration_id] = _Entry(dict(values), number, trial)
        if self._model:
            self._model.begin(self.cell.name, values)
        self._numbers.add(number)

    def _marks(self, number: int) -> Marks:
        """The marks of a trial that was drawn elsewhere: those of a draw under its number, now."""
        if not (self.sampler.marks_trials or optuna_facts(self._lasting).marks):
            return {}
        return self._drawn(self.sampler, number, 0)[1]

    def _added(self, values: Values, configuration_id: str, marks: Marks) -> int | None:
        """Number of a new trial with these values; None where they make another configuration here."""
        known = Recorded(_parameters(values, self.cell))
        if not self._is_made(self._suggested(known), configuration_id):
            return None
        trial = optuna.trial.create_trial(
            state=TrialState.RUNNING,
            params=known.params,
            distributions=known.distributions,
            system_attrs=dict(marks),
        )
        self._study.add_trial(trial)
        return len(self._study.get_trials(deepcopy=False)) - 1

    def _is_made(self, values: Values, configuration_id: str) -> bool:
        """Whether values make a configuration of this identity."""
        made = self.configuration(values)
        if made is None or made.id != configuration_id:
            return False
        self._untried = [method for method in self._untried if method != made.method]
        return True

    def _free_number(self) -> int:
        while self._lowest in self._numbers:
            self._lowest += 1
        return self._lowest

    def _suggested(self, trial: Trial | Recorded | Drawn) -> dict[str, Any]:
        values: dict[str, Any] = {}
        method = next(iter(self.cell.distributions))
        if "method" in self.cell.domains:
            method = values["method"] = trial.suggest_categorical("method", tuple(self.cell.distributions))
        if "distribution" in self.cell.domains:
            choices = self.cell.distributions[method]
            values["distribution"] = trial.suggest_categorical(f"distribution[{method}]", choices)
        for axis, domain in self.cell.domains.items():
            if axis not in {"method", "distribution"} and asks(method, axis):
                values[axis] = _suggest(trial, axis, domain)
        return values

    def configuration(self, values: Values) -> Configuration | None:
        """The cell with these values; None if, each valid by itself, they do not fit together or the cell."""
        method = values.get("method", next(iter(self.cell.distributions)))
        distributions = self.cell.distributions.get(method, ())
        if not distributions or values.get("distribution", distributions[0]) not in distributions:
            return None
        fixed = {"method": method, "distribution": distributions[0], **self.cell.levels}
        try:
            return configuration(self._space, {**fixed, **values})
        except ValidationError:
            return None

    def _taken_over(self, values: Values) -> Configuration | None:
        """This cell with the values of another cell; None where it does not tune exactly the same axes."""
        method = values.get("method", next(iter(self.cell.distributions)))
        asked = {axis for axis in self.cell.domains if asks(method, axis)}
        return self.configuration(values) if asked == values.keys() else None

    def _tell(self, trial: int, outcome: Outcome) -> None:
        """Report early-stopped trials as pruned at their last epoch: their value is not a final one."""
        values = self._values(outcome)
        if outcome.is_failure:
            self._tell_failure(trial)
        elif values is None or outcome.status is Status.FAILED:
            self._study.tell(trial, state=TrialState.FAIL)
        elif outcome.status == Status.COMPLETED:
            self._study.tell(trial, values)
        elif len(values) == 1:
            known = self._study.get_trials(deepcopy=False)[trial]
            self._study._storage.set_trial_intermediate_value(known._trial_id, outcome.epochs, values[0])
            self._study.tell(trial, state=TrialState.PRUNED)
        else:  # a front has no place for what was not trained to the end
            self._study.tell(trial, state=TrialState.FAIL)

    def _tell_failure(self, trial: int) -> None:
        """Report what a configuration has caused as the worst, to a sampler that takes a pruned trial for that."""
        self._failed.add(trial)
        counts = optuna_facts(self._lasting).reads_pruned
        self._study.tell(trial, state=TrialState.PRUNED if counts else TrialState.FAIL)

    def _frozen(self, trial: int) -> optuna.trial.FrozenTrial:
        """A trial as it was; the sampler has received failures as something else."""
        found = self._study.get_trials(deepcopy=False)[trial]
        if trial in self._failed:
            found = copy(found)
            found.state, found.values = TrialState.FAIL, None
        return found

    def _values(self, outcome: Outcome) -> list[float] | None:
        """All objectives; None where one is missing."""
        found = [outcome.objective, *(outcome.against.get(name) for name in self._space.against)]
        known = [value for value in found if value is not None and not math.isnan(value)]
        return known if len(known) == len(found) else None

    def _point(self, outcome: Outcome) -> Point | None:
        """All objectives, signed so that more is better."""
        values = self._values(outcome)
        return None if values is None else signed(values, self._space.against)
