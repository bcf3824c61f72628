"""What another early stopping would have cost: the stopping rules of a sweep on recorded curves, with a virtual clock.

Time is that of the recorded epochs. Not simulated: start-up, the driver's own time, workers that disturb each other.
Nodes may be lost (`hsl.simulation.spot_nodes`): their trials go on from their last checkpoint wherever a place is free,
before anything new starts, and report again what they have reported already.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from heapq import heappop, heappush

from hsl.search.outcome import Outcome
from hsl.simulation.curves import OBJECTIVE, Curve, by_cell, winner
from hsl.simulation.proposals import Proposals
from hsl.simulation.spot_nodes import Nodes, Spot
from hsl.stopping.pauses import Pauses
from hsl.stopping.rule import Decision, StoppingRule
from hsl.store.outcomes import Status


@dataclass(frozen=True)
class Replayed:
    """The result of one replay.

    Attributes:
        epochs: Epochs trained, each counted once.
        seconds: When the last trial ended, on the virtual clock.
        finished: Trials that were trained to the end.
        chosen: The winner of every cell that has a finished trial.
        losses: Nodes that were preempted with trials on them.
        repeated: Epochs that were trained again, parts of epochs included.
        node_seconds: Time that nodes held trials, summed over nodes.
    """

    epochs: int
    seconds: float
    finished: int
    chosen: Mapping[str, Curve]
    losses: int = 0
    repeated: float = 0.0
    node_seconds: float = 0.0

    @property
    def best(self) -> dict[str, float]:
        """Best final objective of every cell that has a finished trial."""
        return {cell: curve.final for cell, curve in self.chosen.items()}


@dataclass
class Running:
    """A trial under way.

    Attributes:
        stations: Rows of the curve at which it reports.
        next: Position among these of the next one.
        done: Seconds of its training up to where it started or reported last.
        since: When that was, on the virtual clock.
        kept: Epochs that its last known checkpoint holds.
        reported: Epochs that it has reported.
        place: Its place, see `Nodes`.
        event: Number of the event that it waits for.
    """

    curve: Curve
    stations: tuple[int, ...]
    next: int = 0
    done: float = 0.0
    since: float = 0.0
    kept: float = 0.0
    reported: int = 0
    place: int = 0
    event: int = 0

    @property
    def row(self) -> int:
        """Index of the row that is reported next."""
        return self.stations[self.next]

    def seconds(self) -> float:
        """Training time up to that row."""
        return self.curve.seconds[self.row] - self.done

    def fall_back(self, now: float, interval: float) -> float:
        """Return to the last checkpoint; they are `interval` epochs apart, 0 for one at any time.

        Returns:
            Epochs that are to be trained again.
        """
        epoch = self.curve.epoch_at(self.done + now - self.since)
        written = math.floor(epoch / interval) * interval if interval else epoch
        self.kept = max(self.kept, written)
        self.done = self.curve.seconds_at(self.kept)
        self.next = self.curve.station_after(self.kept, self.stations)
        return max(0.0, epoch - self.kept)


class Replay:
    """A sweep without training.

    Args:
        rule: Early stopping.
        proposals: Choose what is trained.
        workers: Number of trials that run at once.
        spot: How nodes are preempted; by default none is.
        seed: Seed of the preemptions.
    """

    def __init__(
        self,
        rule: StoppingRule,
        proposals: Proposals,
        workers: int,
        spot: Spot | None = None,
        seed: int = 0,
    ) -> None:
        self._rule = rule
        self._proposals = proposals
        self._pauses: Pauses[Running] = Pauses(rule)
        self._spot = spot or Spot()
        self._nodes: Nodes[Running] = Nodes(workers, self._spot, seed)
        self._lost: deque[Running] = deque()
        self._events: list[tuple[float, int, Running | NodeEvent]] = []
        self._numbered = 0
        self._under_way = 0
        self._epochs = 0
        self._repeated = 0.0
        self._finals: list[Curve] = []

    def run(self) -> Replayed:
        """Run until nothing is left."""
        now = 0.0
        for node in range(self._nodes.count):
            self._await_loss(node, now)
        self._fill(now)
        while self._under_way:
            now, number, event = heappop(self._events)
            if isinstance(event, NodeEvent):
                (self._replace if event.comes else self._lose)(event.node, now)
            elif event.event == number:
                self._report(event, now)
            else:  # its node was lost meanwhile
                continue
            self._fill(now)
        chosen = {cell: winner(own) for cell, own in by_cell(self._finals).items()}
        losses, held = self._nodes.losses, self._nodes.seconds
        return Replayed(self._epochs, now, len(self._finals), chosen, losses, self._repeated, held)

    def _fill(self, now: float) -> None:
        """Fill free places: trials that lost their node first, then promoted ones, then new ones."""
        while not self._nodes.is_full:
            if self._lost:
                trial: Running | None = self._lost.popleft()
            elif trial := self._pauses.take(self._proposals.is_open()) or self._new():
                self._under_way += 1
                self._pauses.start(trial.curve.cell)
            if trial is None:
                return
            trial.place = self._nodes.take(trial, now)
            self._train(trial, now)

    def _new(self) -> Running | None:
        if (found := self._proposals.next()) is None:
            return None
        curve = found.curve
        self._rule.admit(curve.trial_id, found.turn, found.seen)
        return Running(curve, curve.stations(self._rule.milestones, self._rule.progress))

    def _train(self, trial: Running, now: float) -> None:
        trial.since = now
        trial.event = self._schedule(now + trial.seconds(), trial)

    def _schedule(self, at: float, event: Running | NodeEvent) -> int:
        self._numbered += 1
        heappush(self._events, (at, self._numbered, event))
        return self._numbered

    def _await_loss(self, node: int, now: float) -> None:
        life = self._nodes.life()
        if life < math.inf:
            self._schedule(now + life, NodeEvent(node, comes=False))

    def _replace(self, node: int, now: float) -> None:
        self._nodes.replace(node)
        self._await_loss(node, now)

    def _lose(self, node: int, now: float) -> None:
        trials = self._nodes.lose(node, now)
        if not trials:  # it was not there, and the next one is preempted at the same rate
            self._await_loss(node, now)
            return
        for trial in trials:
            trial.event = 0
            self._repeated += trial.fall_back(now, self._spot.checkpoint_interval)
        self._lost.extend(trials)
        self._schedule(now + self._spot.replacement, NodeEvent(node, comes=True))

    def _report(self, trial: Running, now: float) -> None:
        curve, row = trial.curve, trial.curve.rows[trial.row]
        self._epochs += max(0, row["epoch"] - trial.reported)
        trial.reported = max(row["epoch"], trial.reported)
        trial.done = curve.seconds[trial.row]
        decision = self._rule.report(curve.cell, curve.trial_id, row, OBJECTIVE).decision
        trial.next += 1
        ended = trial.next == len(trial.stations)
        if decision is Decision.CONTINUE and not ended:
            self._train(trial, now)
            return
        if ended:
            self._finals.append(curve)
            self._rule.end(curve.cell, curve.trial_id, failed=False)
        trial.kept = row["epoch"]  # a trial that waits has written a checkpoint
        self._under_way -= 1
        self._nodes.give(trial.place, now)
        waits = self._pauses.end(curve.cell, curve.trial_id, trial)
        status = Status.COMPLETED if ended else Status.STOPPED
        self._proposals.end(curve, None if waits else Outcome(status, row["epoch"], row[OBJECTIVE]))


@dataclass(frozen=True)
class NodeEvent:
    """A node is taken away, or comes for one that was lost."""

    node: int
    comes: bool
