"""Early stopping as pure, seeded, JSON-able state: asynchronous successive halving within each cell.

Follows ASHA's stopping rule (Li et al. 2020, arXiv 1810.05934) with four changes for sparse training. Rungs count
epochs since the target sparsity was reached. A rung compares only trials of one cell that got there after as many
epochs: a gradually pruned network reaches its target late, with most of its training behind it, and would otherwise
set the bar for networks that were sparse from the start. A rung judges nobody before it holds enough entries, and a
difference within seed noise stops nobody. A random share of trials is exempt, so that false stops can be estimated;
a rung whose order has nothing to do with the final one, by these trials, judges nobody.
"""

from __future__ import annotations

import hashlib
import math
from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

from hsl.search.rung_audit import RungAudit
from hsl.search.schema import Stratified


class Decision(StrEnum):
    """What a trial does after a report."""

    CONTINUE = "continue"
    STOP = "stop"
    PAUSE = "pause"


@dataclass(frozen=True)
class Verdict:
    """What early stopping makes of one epoch of a trial.

    Attributes:
        decision: What the trial does now.
        rung: Rung that it reached, in epochs at target sparsity; None if none.
        cutoff: Objective below which the rung stops a trial; None where it judged nobody.
    """

    decision: Decision = Decision.CONTINUE
    rung: int | None = None
    cutoff: float | None = None


GOES_ON = Verdict()
STOPS = Verdict(Decision.STOP)


class Judge:
    """Stops nobody but trials that are no numbers; the base of every kind of early stopping.

    Whatever is reported again, after a restart for example, changes nothing and gets the same answer.

    Attributes:
        milestones: When a trial is judged, so that it reports there.
        progress: What milestones count: ``epochs_at_target``, or ``epoch``.
        can_pause: Whether it ever lets a trial wait.
    """

    progress: Literal["epochs_at_target", "epoch"] = "epochs_at_target"
    can_pause: bool = False

    def __init__(self, milestones: Sequence[int] = (), share: float = 1.0, seed: int = 0) -> None:
        self.milestones = tuple(milestones)
        self._share = share
        self._seed = seed

    def report(self, cell: str, trial_id: str, row: Mapping[str, Any], objective: str) -> Verdict:
        """Enter one epoch of a trial.

        Args:
            cell: Cell of the trial.
            trial_id: Identity of the trial.
            row: Has ``epoch``, ``epochs_at_target`` and, where it was evaluated, the objective.
            objective: Name of the metric that is maximised.

        Returns:
            What the trial does now; a trial that is no number any more stops, exempt or not.
        """
        value = row.get(objective)
        if value is None:
            return GOES_ON
        if math.isnan(value):
            return STOPS
        return self._judge(cell, trial_id, row["epoch"], row["epochs_at_target"], value)

    def _judge(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        return GOES_ON

    def end(self, cell: str, trial_id: str, failed: bool) -> None:
        """A trial was trained to its end, or failed."""

    def promoted(self) -> list[str]:
        """Paused trials that are to go on now, each of them named once."""
        return []

    def close(self, cell: str) -> None:
        """Nothing of a cell runs and nothing new will come: who is to go on is decided with what there is."""

    def is_paused(self, trial_id: str) -> bool:
        """Whether a trial waits for its promotion."""
        return False

    def is_exempt(self, trial_id: str) -> bool:
        """Whether a trial is never stopped; a function of the seed and its identity alone."""
        return draw("exempt", self._seed, trial_id) < self._share


class Rungs(Judge):
    """Stratified ASHA: at a rung, whoever is behind the best of its pool by more than the tolerance stops.

    Args:
        settings: Rung positions and tolerances.
        epochs: Epochs of a full training.
        seed: Seed of the choice of exempt trials and of brackets.
    """

    def __init__(self, settings: Stratified, epochs: int, seed: int) -> None:
        rungs = milestones(settings.grace, settings.reduction_factor, epochs)
        super().__init__(rungs, settings.exempt, seed)
        self.settings = settings
        self._epochs = epochs
        self._brackets = _bracket_weights(len(rungs), settings)
        self._pools: dict[str, Pool] = {}
        self._passed: dict[str, int] = {}
        self._verdicts: dict[str, dict[int, Verdict]] = {}
        self._audit = RungAudit(settings.min_correlation)

    def _judge(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        if epoch >= self._epochs:
            if self.is_exempt(trial_id):
                self._audit.final(trial_id, value)
            return GOES_ON
        known = self._verdicts.get(trial_id, {})
        if epoch in known:
            return known[epoch]
        rung = self._reached(cell, trial_id, at_target)
        if rung is None:
            return GOES_ON
        verdict = self._judge_at(rung, cell, trial_id, epoch, value)
        self._verdicts.setdefault(trial_id, {})[epoch] = verdict
        return verdict

    def _reached(self, cell: str, trial_id: str, at_target: int) -> int | None:
        """The last rung that the trial has reached since it was last judged."""
        passed = self._passed.get(trial_id, self.bracket(cell, trial_id))
        reached = [rung for rung in self.milestones[passed:] if at_target >= rung]
        if not reached:
            return None
        self._passed[trial_id] = passed + len(reached)
        return reached[-1]

    def _judge_at(self, rung: int, cell: str, trial_id: str, epoch: int, value: float) -> Verdict:
        bracket = self.bracket(cell, trial_id)
        suffix = f" in bracket {bracket}" if bracket else ""
        pool = self._pools.setdefault(f"{cell} @ {rung} of {epoch}{suffix}", Pool())
        pool.add(trial_id, value)
        exempt = self.is_exempt(trial_id)
        if exempt:
            self._audit.enter((rung, epoch), cell, trial_id, value)
        if len(pool.entries) < self.settings.min_entries or self._audit.is_off((rung, epoch)):
            return Verdict(rung=rung)
        cutoff = pool.quantile(1 - 1 / self.settings.reduction_factor) - self.settings.tolerance
        stops = value < cutoff and not exempt
        return Verdict(Decision.STOP if stops else Decision.CONTINUE, rung, cutoff)

    def bracket(self, cell: str, trial_id: str) -> int:
        """How many of the first rungs a trial leaves out; by the seed, the cell and its identity alone."""
        if len(self._brackets) < 2:
            return 0
        left = draw("bracket", self._seed, f"{cell} {trial_id}") * sum(self._brackets)
        for bracket, weight in enumerate(self._brackets):
            left -= weight
            if left < 0:
                return bracket
        return len(self._brackets) - 1

    def state_dict(self) -> dict[str, Any]:
        """JSON-able state."""
        return {
            "entries": {name: pool.entries for name, pool in self._pools.items()},
            "passed": self._passed,
            "verdicts": {
                trial: [[epoch, v.decision, v.rung, v.cutoff] for epoch, v in verdicts.items()]
                for trial, verdicts in self._verdicts.items()
            },
            "audit": self._audit.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of `state_dict`."""
        self._pools = {name: Pool(entries) for name, entries in state["entries"].items()}
        self._passed = dict(state["passed"])
        self._verdicts = {
            trial: {epoch: Verdict(Decision(told), rung, cutoff) for epoch, told, rung, cutoff in verdicts}
            for trial, verdicts in state["verdicts"].items()
        }
        self._audit.load_state_dict(state["audit"])


class Pool:
    """Values of the trials that reached one rung in one cell after as many epochs."""

    def __init__(self, entries: Mapping[str, float] | None = None) -> None:
        self.entries = dict(entries or {})
        self._sorted = sorted(self.entries.values())

    def add(self, trial_id: str, value: float) -> None:
        """Enter a trial."""
        self.entries[trial_id] = value
        insort(self._sorted, value)

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
    """Epochs at target sparsity before the first trial is judged; `grace` below 1 is a fraction of all epochs."""
    return int(grace) if grace >= 1 else max(1, round(grace * epochs))


def milestones(grace: float, factor: int, epochs: int) -> tuple[int, ...]:
    """Epochs at target sparsity at which trials are judged; none at the end, where nothing is left to save."""
    rungs = []
    rung = first_rung(grace, epochs)
    while rung < epochs:
        rungs.append(rung)
        rung *= factor
    return tuple(rungs)


def every_epoch(grace: float, epochs: int) -> tuple[int, ...]:
    """Milestones of what judges a trial after each epoch from the grace on."""
    return tuple(range(first_rung(grace, epochs), epochs))


def _bracket_weights(rungs: int, settings: Stratified) -> list[float]:
    """Share of trials of each bracket as in Hyperband (Li et al. 2018, arXiv 1603.06560): the longer, the fewer."""
    halvings = [rungs - bracket for bracket in range(min(settings.brackets, rungs + 1))]
    return [settings.reduction_factor**count / (count + 1) for count in halvings]
