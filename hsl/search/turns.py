"""Which cell proposes next: evenly or by doubt, and, with a warm start, not before its neighbours have ended.

Knows no Ray, so that a replay drives the very same object.
"""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist

from hsl.planning.neighbours import neighbours
from hsl.planning.plan import Cell, Plan
from hsl.search.study import CellStudy, Proposal
from hsl.space.axes import Values

MOST = 4.0
"""How many times the turns of a cell without any doubt a cell gets, at most."""

USUAL_NOISE = 0.01
"""Standard deviation of the objective over seeds, where a space has no tolerance to say it."""


class Turns:
    """Lets the studies of a sweep propose in turn.

    Args:
        plan: What is searched.
        studies: One per cell.
    """

    def __init__(self, plan: Plan, studies: Iterable[CellStudy]) -> None:
        self.studies = {study.cell.name: study for study in studies}
        self._space = plan.space
        self._sources = {cell.name: self._sources_of(cell, plan) for cell in plan.cells}
        self._begun: set[str] = set()

    @property
    def is_over(self) -> bool:
        """Whether no study will propose anything more."""
        return all(study.is_finished for study in self.studies.values())

    def propose(self) -> tuple[CellStudy, Proposal] | None:
        """The next proposal and the study that made it; None if it is over, or has to wait for trials to end."""
        while ready := [study for study in self.studies.values() if self._is_ready(study)]:
            study = min(ready, key=lambda s: s.issued / s.cell.configurations / self._weight(s))
            self._begin(study)
            if proposal := study.ask():
                return study, proposal
        return None

    def _sources_of(self, cell: Cell, plan: Plan) -> list[CellStudy]:
        if self._space.warm_start is None:
            return []
        return [self.studies[other.name] for other in neighbours(cell, plan) if other.name in self.studies]

    def _is_ready(self, study: CellStudy) -> bool:
        sources = self._sources.get(study.cell.name, [])
        return not study.is_finished and all(source.is_settled for source in sources)

    def _begin(self, study: CellStudy) -> None:
        """Hand over what was best in the neighbours, which have all ended: the same, whenever it is asked."""
        warm, name = self._space.warm_start, study.cell.name
        if warm is None or name in self._begun:
            return
        self._begun.add(name)
        sources = self._sources.get(name, [])
        ranks = [[values for values, _ in source.best()] for source in sources]
        study.begin_with(interleaved(ranks), warm.configurations)

    def _weight(self, study: CellStudy) -> float:
        if self._space.priority == "even":
            return 1.0
        stopping = self._space.early_stopping
        noise = (stopping.noise if stopping else 0.0) or USUAL_NOISE
        found = [outcome.objective for _, outcome in study.best()]
        return min(MOST, contenders([value for value in found if value is not None], noise))


def contenders(objectives: Sequence[float], noise: float) -> float:
    """How many configurations may be the best, in effect: 1 if one is clearly ahead, more the closer the others are.

    Each counts with twice the probability that it beats the leader when both are trained again, so that one that
    is exactly as good counts fully. Before there are two to compare, doubt is as large as it can be.

    Args:
        objectives: Of the configurations that were trained to the end.
        noise: Standard deviation of an objective over seeds, above 0.
    """
    if len(objectives) < 2:
        return MOST
    spread = NormalDist(0.0, noise * math.sqrt(2))
    best = max(objectives)
    return sum(2 * spread.cdf(value - best) for value in objectives)


def interleaved(ranks: Sequence[Sequence[Values]]) -> list[Values]:
    """The first of each, then the second of each, and so on."""
    longest = max(map(len, ranks), default=0)
    return [rank[place] for place in range(longest) for rank in ranks if place < len(rank)]
