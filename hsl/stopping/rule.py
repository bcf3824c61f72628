"""Early stopping as pure, seeded state: asynchronous successive halving within each cell.

Follows ASHA's stopping rule (Li et al. 2020, arXiv 1810.05934) with four changes for sparse training. Rungs count
epochs since the target sparsity was reached. A rung compares only trials of one cell that got there after as many
epochs: a gradually pruned network reaches its target late, with most of its training behind it, and would otherwise
set the bar for networks that were sparse from the start. A rung compares no trials before it holds enough, and a
difference within seed noise stops none. A rung stops trials only once those that were trained to the end have shown
that it predicts (`hsl.stopping.rung_evidence`); a random share of trials is exempt, so that false stops can be
estimated.
"""

from __future__ import annotations

import hashlib
import math
from bisect import insort
from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal, NamedTuple


class Decision(StrEnum):
    """What a trial does after a report."""

    CONTINUE = "continue"
    STOP = "stop"
    PAUSE = "pause"


@dataclass(frozen=True)
class Verdict:
    """The answer of a stopping rule to one epoch of a trial.

    Attributes:
        decision: What the trial does next.
        rung: Rung that it reached, in epochs at target sparsity; None if none.
        cutoff: Objective below which the rung stops a trial; None where it compared no trials.
        evidence: Odds that the rung predicts, by the trials that have ended; None where the rule does not ask.
        correlation_low: Lower bound of the rank correlation with the end; None likewise, and where it is unknown.
    """

    decision: Decision = Decision.CONTINUE
    rung: int | None = None
    cutoff: float | None = None
    evidence: float | None = None
    correlation_low: float | None = None

    def noted(self) -> dict[str, Any]:
        """The columns of the row of an epoch that say what happened at a rung."""
        return {name: value for name, value in vars(self).items() if name != "decision"}


GOES_ON = Verdict()
STOPS = Verdict(Decision.STOP)


class Place(NamedTuple):
    """Where a trial stands in the order of proposals, see `hsl.search.lag`.

    Attributes:
        turn: Its number.
        seen: The number of proposals that it may depend on: those before, whose trials have all ended.
    """

    turn: float
    seen: float


UNORDERED = Place(-1, math.inf)
"""Of a trial that counts for all, and depends on all that arrived before."""


class StoppingRule:
    """Base rule: stops only trials whose objective is NaN.

    An epoch that is reported again, after a restart for example, changes nothing and gets the same answer.

    Args:
        milestones: When trials report and the rule decides.
        share: Share of trials that are exempt, in [0, 1].
        seed: Seed of the choice of exempt trials.

    Attributes:
        progress: The column that milestones count.
        can_pause: Whether it ever lets a trial wait.
        kin: Kind of each cell, whose trials may be compared in how they develop.
    """

    progress: Literal["epochs_at_target", "epoch"] = "epochs_at_target"
    can_pause: bool = False

    def __init__(self, milestones: Sequence[int] = (), share: float = 1.0, seed: int = 0) -> None:
        self.milestones = tuple(milestones)
        self._share = share
        self._seed = seed
        self._passed: dict[str, int] = {}
        self._places: dict[str, Place] = {}
        self.kin: Mapping[str, str] = {}

    def admit(self, trial_id: str, turn: int | None, seen: int | None) -> None:
        """Note where a trial stands in the order of proposals; None where they have no order.

        A rule that compares a trial only with those that it may depend on decides the same with any number of workers.
        """
        if turn is not None and seen is not None:
            self._places[trial_id] = Place(turn, seen)

    def _place(self, trial_id: str) -> Place:
        return self._places.get(trial_id, UNORDERED)

    def report(self, cell: str, trial_id: str, row: Mapping[str, Any], objective: str) -> Verdict:
        """Enter one epoch of a trial; a trial whose objective is NaN stops, exempt or not.

        Args:
            cell: Cell of the trial.
            trial_id: Identity of the trial.
            row: Has ``epoch``, ``epochs_at_target`` and, where it was evaluated, the objective.
            objective: Name of the metric that is maximised.
        """
        value = row.get(objective)
        if value is None:
            return GOES_ON
        if math.isnan(value):
            return STOPS
        return self._decide(cell, trial_id, row["epoch"], row["epochs_at_target"], value)

    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        return GOES_ON

    def _reached(self, trial_id: str, at_target: int, skipped: int = 0) -> int | None:
        """The last milestone that a trial has reached since the last call, without the first `skipped`."""
        passed = self._passed.get(trial_id, skipped)
        reached = [rung for rung in self.milestones[passed:] if at_target >= rung]
        if not reached:
            return None
        self._passed[trial_id] = passed + len(reached)
        return reached[-1]

    def end(self, cell: str, trial_id: str, failed: bool) -> None:
        """Note that a trial was trained to its end, or failed."""

    def promoted(self) -> list[str]:
        """Paused trials that are to go on now, each of them named once."""
        return []

    def close(self, cell: str) -> None:
        """Decide which waiting trials go on: nothing of the cell runs, and nothing new will come."""

    def is_paused(self, trial_id: str) -> bool:
        """Whether a trial waits for its promotion."""
        return False

    def is_exempt(self, trial_id: str) -> bool:
        """Whether a trial is never stopped; a function of the seed and its identity alone."""
        return draw("exempt", self._seed, trial_id) < self._share


def stops_nothing(settings: object, epochs: int, seed: int) -> StoppingRule:
    """The base rule: stops only trials whose objective is NaN."""
    return StoppingRule(seed=seed)


class Pool:
    """Values of the trials that reached one rung in one cell after as many epochs."""

    def __init__(self) -> None:
        self.entries: dict[str, float] = {}
        self._turns: dict[str, float] = {}
        self._sorted: list[float] = []

    def add(self, trial_id: str, value: float, turn: float = UNORDERED.turn) -> None:
        """Enter a trial."""
        self.entries[trial_id], self._turns[trial_id] = value, turn
        insort(self._sorted, value)

    def known_to(self, trial_id: str, place: Place) -> Pool:
        """The entries that a trial may depend on, and its own."""
        if place.seen == UNORDERED.seen:
            return self
        found = Pool()
        for name, value in self.entries.items():
            if name == trial_id or self._turns[name] < place.seen:
                found.add(name, value)
        return found

    def quantile(self, share: float) -> float:
        """Quantile by linear interpolation, as numpy's, without sorting again."""
        place = share * (len(self._sorted) - 1)
        below = math.floor(place)
        low, high = self._sorted[below], self._sorted[min(below + 1, len(self._sorted) - 1)]
        part = place - below
        return low + (high - low) * part if part < 0.5 else high - (high - low) * (1 - part)


def draw(what: str, seed: int, name: str) -> float:
    """A number in [0, 1) that depends on nothing but the arguments."""
    digest = hashlib.blake2b(f"{what} {seed} {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") / 2**64


def first_rung(grace: float, epochs: int) -> int:
    """Epochs at target sparsity before the first decision; `grace` below 1 is a fraction of all epochs."""
    return int(grace) if grace >= 1 else max(1, round(grace * epochs))


def milestones(grace: float, factor: int, epochs: int) -> tuple[int, ...]:
    """Epochs at target sparsity at which trials are compared; none at the end, where nothing is left to save."""
    rungs, rung = [], first_rung(grace, epochs)
    while rung < epochs:
        rungs.append(rung)
        rung *= factor
    return tuple(rungs)


def every_epoch(grace: float, epochs: int) -> tuple[int, ...]:
    """Milestones of a rule that decides after each epoch from the grace period on."""
    return tuple(range(first_rung(grace, epochs), epochs))


def apply_rule(
    rule: StoppingRule, cell: str, trial_id: str, rows: Iterable[MutableMapping[str, Any]], objective: str
) -> Decision:
    """Report epochs of a trial until one of them ends or pauses it; rung and cut-off are noted in the rows."""
    for row in rows:
        verdict = rule.report(cell, trial_id, row, objective)
        if verdict.rung is not None:
            row.update(verdict.noted())
        if verdict.decision is not Decision.CONTINUE:
            return verdict.decision
    return Decision.CONTINUE
