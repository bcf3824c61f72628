"""Samplers that choose among recorded configurations: the studies of a sweep, and what they propose from a pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from hsl.errors import HslError
from hsl.planning.plan import Cell, Plan
from hsl.search.model import Model
from hsl.search.outcome import Outcome
from hsl.search.study import CellStudy, Marks
from hsl.search.turns import Turns, shared_model
from hsl.simulation.curves import Curve
from hsl.simulation.nearest import distance, spans_of
from hsl.simulation.proposals import Proposed
from hsl.space.axes import Values
from hsl.space.samplers import Random
from hsl.space.schema import SearchSpace


class PoolStudy(CellStudy):
    """A study that proposes what was recorded.

    A sampler that learns from all cells ranks what is left of the pool. Of others the nearest of the pool stands for
    what they would draw (`hsl.simulation.nearest`), which understates them where a pool is small.

    Args:
        space: The space of the search.
        cell: The cell.
        model: What the studies learn from together, if their sampler does.
        pool: Tuned values of the recorded configurations.
    """

    def __init__(
        self, space: SearchSpace, cell: Cell, model: Model | None, pool: Sequence[Mapping[str, Any]]
    ) -> None:
        super().__init__(space, cell, model)
        self._pool = {made.id: values for values in pool if (made := self.configuration(values))}
        self._spans = spans_of(list(self._pool.values()))

    @property
    def identities(self) -> list[str]:
        """Identities of the configurations of the pool that are possible in this cell."""
        return list(self._pool)

    def _candidates(self, number: int) -> Iterator[tuple[str, Values, Marks | None]]:
        left = self._options(number)
        yield from ((self.sampler.name, left[index], None) for index in self._order(left, number))

    def _options(self, number: int) -> list[Values]:
        return [values for key, values in self._pool.items() if key not in self._entries]

    def _order(self, left: Sequence[Values], number: int) -> Sequence[int]:
        """Indices of what is left, the one to try next first."""
        if self._model:
            return self._model.ranked(self.cell.name, left)
        if self.sampler.is_listed or isinstance(self.sampler, Random):
            return [int(i) for i in np.random.default_rng([self._seed, number]).permutation(len(left))]
        drawn = self._drawn(self.sampler, number, 0)[0]
        return sorted(range(len(left)), key=lambda index: distance(left[index], drawn, self._spans))


class Searched:
    """The proposals of a sweep on recorded curves.

    Args:
        plan: What the sweep would plan, with the names of its cells those of the curves.
        cells: Recorded curves of every cell.

    Raises:
        HslError: If a cell of the plan has no recorded configuration that is possible in it.
    """

    def __init__(self, plan: Plan, cells: Mapping[str, Sequence[Curve]]) -> None:
        model = shared_model(plan)
        self._curves: dict[tuple[str, str], Curve] = {}
        self._identities: dict[str, str] = {}
        studies = [self._study(plan.space, cell, model, cells.get(cell.name, ())) for cell in plan.cells]
        self._turns = Turns(plan, studies)

    def _study(
        self, space: SearchSpace, cell: Cell, model: Model | None, curves: Sequence[Curve]
    ) -> PoolStudy:
        study = PoolStudy(space, cell, model, [curve.parameters for curve in curves])
        if not study.identities:
            raise HslError(f"no configuration was recorded that is possible in the cell {cell.name!r}")
        for curve in curves:
            if made := study.configuration(curve.parameters):
                self._curves[cell.name, made.id] = curve
                self._identities[curve.trial_id] = made.id
        return study

    def is_open(self) -> Mapping[str, bool]:
        """For every cell, whether new trials will come."""
        return {name: study.is_open for name, study in self._turns.studies.items()}

    def next(self) -> Proposed | None:
        """The next curve; None if it is over, or has to wait for trials to end."""
        if (found := self._turns.propose()) is None:
            return None
        study, proposal = found
        curve = self._curves[study.cell.name, proposal.configuration.id]
        return Proposed(curve, proposal.turn, proposal.seen)

    def end(self, curve: Curve, outcome: Outcome | None) -> None:
        """Note how a trial ended; None for one that waits at a rung."""
        self._turns.end(curve.cell, self._identities[curve.trial_id], outcome)
