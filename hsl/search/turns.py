"""The order of proposals over all cells: evenly or by doubt; with a warm start, not before neighbours have ended."""

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any, Protocol

from hsl.planning.neighbours import neighbours
from hsl.planning.plan import Plan
from hsl.planning.sampling import lag_of
from hsl.registry import imported
from hsl.search.dominance import interleaved
from hsl.search.lag import Lag
from hsl.search.model import Model
from hsl.search.outcome import Outcome
from hsl.search.proposal import Proposal
from hsl.search.study import CellStudy
from hsl.space.samplers import Shared

MOST = 4.0
"""Largest number of turns of a cell, in multiples of those of a cell with a clear winner."""

DEFAULT_NOISE = 0.01
"""Standard deviation of the objective over seeds, where the space has no tolerance that says it."""


@dataclass(frozen=True)
class Known:
    """A proposal of an earlier run.

    Attributes:
        values: Tuned values (axis -> value).
        number: Its place in the order of the cell's proposals; None where an older version did not record it.
        turn: Its place in the order of all proposals; None likewise.
        seen: The number of these whose ends it depends on; None likewise.
        has_ended: Whether its trial has ended, or waits at a rung.
        outcome: Its end; None if it has not ended.
    """

    cell: str
    values: dict[str, Any]
    configuration_id: str
    number: int | None = None
    turn: int | None = None
    seen: int | None = None
    has_ended: bool = False
    outcome: Outcome | None = None


class Observer(Protocol):
    """Sees what the studies propose, and the ends that they receive."""

    def proposed(self, study: CellStudy, configuration_id: str) -> None:
        """See a configuration that a study has proposed."""

    def ended(self, study: CellStudy, configuration_id: str) -> None:
        """See the end of a configuration, which its study has received."""


class Turns:
    """Lets the studies of a sweep, one per cell, propose in turn.

    The order of proposals over all cells, and each proposal, is a function of the space and of the ends of trials
    as far as `Lag` releases them. Proposals of earlier runs take their old places; one that was lost is made again
    in its place, from what it was made from.
    """

    def __init__(self, plan: Plan, studies: Iterable[CellStudy], known: Iterable[Known] = ()) -> None:
        self.studies = {study.cell.name: study for study in studies}
        self._space = plan.space
        self._sources = {
            cell.name: [self.studies[o.name] for o in neighbours(cell, plan) if o.name in self.studies]
            for cell in plan.cells
            if plan.space.warm_start is not None
        }
        self._begun: set[str] = set()
        size = lag_of(plan)
        self._lag, self._is_ordered = Lag(size), size is not None
        self._last: dict[str, int] = {}
        self._known = _in_turn(one for one in known if one.cell in self.studies)
        self._observer: Observer | None = None
        self._recall()

    def watch(self, observer: Observer) -> None:
        """Show an observer all that is proposed and ends from now on."""
        self._observer = observer

    @property
    def is_over(self) -> bool:
        """Whether no study will propose anything more; one that has enough might, as long as trials run."""
        if self._has_proposed_all:
            return True
        can_rest = self._space.budget.enough is not None and not self._known
        return can_rest and self._lag.is_idle and self._next() is None

    @property
    def _has_proposed_all(self) -> bool:
        return not self._known and all(study.is_finished for study in self.studies.values())

    def propose(self) -> tuple[CellStudy, Proposal] | None:
        """The next proposal and the study that made it; None if it is over, or has to wait for trials to end."""
        while study := self._next():
            self._begin(study)
            if proposal := study.ask():
                seen = self._lag.seen if self._is_ordered else None
                made = replace(proposal, turn=self._lag.count, seen=seen)
                self._enter(study, proposal.configuration.id)
                self._recall()
                return study, made
        if self._lag.is_open:
            self._recall()
        return None

    def _next(self) -> CellStudy | None:
        """The study whose turn it is; None if none has anything to propose, or all have to wait for trials to end."""
        if not self._lag.is_open:
            return None
        self._release()
        while ready := self._ready():
            study = min(ready, key=lambda s: s.issued / s.cell.configurations / self._weight(s))
            if not study.has_enough:
                return study
        return None

    def end(self, cell: str, configuration_id: str, outcome: Outcome | None) -> None:
        """Note the end of a proposal; None for one that waits at a rung."""
        self._lag.end(cell, configuration_id, outcome)
        if self._has_proposed_all or not self._is_ordered:
            self._release(self._lag.count)

    def _release(self, count: int | None = None) -> None:
        """Report to the studies the ends that they may know by now."""
        for cell, configuration_id, outcome in self._lag.release(count):
            self.studies[cell].tell(configuration_id, outcome)
            if self._observer:
                self._observer.ended(self.studies[cell], configuration_id)

    def _enter(self, study: CellStudy, configuration_id: str) -> None:
        self._last[study.cell.name] = self._lag.count
        self._lag.begin(study.cell.name, configuration_id)
        if self._observer:
            self._observer.proposed(study, configuration_id)

    def _recall(self) -> None:
        """Take over proposals of earlier runs until one is missing that can still be made."""
        while (turn := self._due()) is not None:
            one = self._known.pop(turn)
            study = self.studies[one.cell]
            self._release(one.seen)
            study.remember(one.values, one.configuration_id, one.number)
            self._enter(study, one.configuration_id)
            if one.has_ended:
                self.end(one.cell, one.configuration_id, one.outcome)

    def _due(self) -> int | None:
        if self._lag.count in self._known:
            return self._lag.count
        is_open = any(study.is_open for study in self.studies.values())
        return None if is_open else min(self._known, default=None)

    def _ready(self) -> list[CellStudy]:
        """Studies that may propose; those with a warm start once the ends of all neighbours have been released.

        Where only such studies are left, they are ready when all that runs has ended.
        """
        fed = self._fed()
        ready = [s for s in fed if all(self._last.get(o.cell.name, -1) < self._lag.seen for o in self._of(s))]
        if ready or not self._lag.is_idle:
            return ready
        self._release(self._lag.count)  # which may show a cell with enough that it has not
        return self._fed()

    def _fed(self) -> list[CellStudy]:
        """Studies that can propose, and whose neighbours have nothing to propose."""
        waiting = [study for study in self.studies.values() if study.is_open]
        return [study for study in waiting if not any(source.is_open for source in self._of(study))]

    def _of(self, study: CellStudy) -> list[CellStudy]:
        return self._sources.get(study.cell.name, [])

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


def shared_model(plan: Plan) -> Model | None:
    """What the studies of a plan learn from together; None where each has a sampler of its own."""
    sampler = plan.space.sampler
    return imported(sampler.model, "sampler")(plan, sampler) if isinstance(sampler, Shared) else None


def _in_turn(known: Iterable[Known]) -> dict[int, Known]:
    """Proposals by their turn; those without one, or with one that is taken, fill the gaps in order of their number."""
    found: dict[int, Known] = {}
    rest = [one for one in known if one.turn is None or found.setdefault(one.turn, one) is not one]
    rest.sort(key=lambda one: math.inf if one.number is None else one.number)
    free = (turn for turn in itertools.count() if turn not in found)
    return found | dict(zip(free, rest, strict=False))


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
