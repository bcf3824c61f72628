"""Which cell proposes next: evenly or by doubt, and, with a warm start, not before its neighbours have ended."""

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist

from hsl.planning.neighbours import neighbours
from hsl.planning.plan import Plan
from hsl.search.dominance import interleaved
from hsl.search.study import CellStudy, Proposal

MOST = 4.0
"""Largest number of turns of a cell, in multiples of those of a cell with a clear winner."""

DEFAULT_NOISE = 0.01
"""Standard deviation of the objective over seeds, where the space has no tolerance that says it."""


class Turns:
    """Lets the studies of a sweep, one per cell, propose in turn."""

    def __init__(self, plan: Plan, studies: Iterable[CellStudy]) -> None:
        self.studies = {study.cell.name: study for study in studies}
        self._space = plan.space
        self._sources = {
            cell.name: [self.studies[o.name] for o in neighbours(cell, plan) if o.name in self.studies]
            for cell in plan.cells
            if plan.space.warm_start is not None
        }
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

    def _is_ready(self, study: CellStudy) -> bool:
        sources = self._sources.get(study.cell.name, [])
        return not study.is_finished and all(source.is_settled for source in sources)

    def _begin(self, study: CellStudy) -> None:
        """Hand over, once, what was best in the neighbours, which have all ended."""
        warm, name = self._space.warm_start, study.cell.name
        if warm is None or name in self._begun:
            return
        self._begun.add(name)
        ranks = [[values for values, _ in source.best()] for source in self._sources.get(name, [])]
        study.begin_with(interleaved(ranks), warm.configurations)

    def _weight(self, study: CellStudy) -> float:
        if self._space.priority == "even":
            return 1.0
        stopping = self._space.early_stopping
        noise = (stopping.noise if stopping else 0.0) or DEFAULT_NOISE
        found = [outcome.objective for _, outcome in study.best()]
        return min(MOST, contenders([value for value in found if value is not None], noise))


def contenders(objectives: Sequence[float], noise: float) -> float:
    """Effective number of configurations that may be the best: 1 if one is clearly ahead, more the closer the others.

    Each counts with twice the probability that it beats the leader when both are trained again, so that one that
    is exactly as good counts fully. Before there are two to compare, the result is `MOST`.

    Args:
        objectives: Of the configurations that were trained to the end.
        noise: Standard deviation of an objective over seeds, above 0.
    """
    if len(objectives) < 2:
        return MOST
    spread = NormalDist(0.0, noise * math.sqrt(2))
    best = max(objectives)
    return sum(2 * spread.cdf(value - best) for value in objectives)
