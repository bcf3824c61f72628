"""What another early stopping would have cost: the judges of a sweep on recorded curves, with a virtual clock.

Time is that of the recorded epochs. Not simulated: start-up, the driver's own time, workers that disturb each other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush

from hsl.search.curves import OBJECTIVE, Curve
from hsl.search.pauses import Pauses
from hsl.search.rungs import Decision, Judge


@dataclass(frozen=True)
class Replayed:
    """What one replay came to.

    Attributes:
        epochs: Epochs trained.
        seconds: When the last trial ended, on the virtual clock.
        finished: Trials that were trained to the end.
        best: Best final objective of every cell that has a finished trial.
    """

    epochs: int
    seconds: float
    finished: int
    best: Mapping[str, float]


@dataclass
class Running:
    """A trial under way.

    Attributes:
        curve: What it will report.
        stations: Rows at which it reports.
        next: Which of them comes next.
    """

    curve: Curve
    stations: tuple[int, ...]
    next: int = 0

    @property
    def row(self) -> int:
        """Index of the row that is reported next."""
        return self.stations[self.next]

    def seconds(self) -> float:
        """How long it trains until then."""
        spent = self.curve.seconds
        return spent[self.row] - (spent[self.stations[self.next - 1]] if self.next else 0.0)


class Replay:
    """A sweep without training.

    Args:
        judge: Early stopping.
        cells: Curves of every cell in the order in which they are proposed.
        workers: How many trials run at once.
    """

    def __init__(self, judge: Judge, cells: Mapping[str, Sequence[Curve]], workers: int) -> None:
        self._judge = judge
        self._proposed = {cell: deque(curves) for cell, curves in cells.items()}
        self._sizes = {cell: len(curves) for cell, curves in cells.items()}
        self._open = {cell: bool(queue) for cell, queue in self._proposed.items()}
        self._pauses: Pauses[Running] = Pauses(judge)
        self._turns = [(0.0, number, cell) for number, cell in enumerate(cells) if cells[cell]]
        self._free = workers
        self._events: list[tuple[float, int, Running]] = []
        self._started = 0
        self._epochs = 0
        self._finals: list[tuple[str, float]] = []

    def run(self) -> Replayed:
        """Run until nothing is left."""
        now = 0.0
        self._fill(now)
        while self._events:
            now, _, trial = heappop(self._events)
            self._report(trial, now)
            self._fill(now)
        best: dict[str, float] = {}
        for cell, value in self._finals:
            best[cell] = max(value, best.get(cell, value))
        return Replayed(self._epochs, now, len(self._finals), best)

    def _fill(self, now: float) -> None:
        """Give free workers something to do: who was promoted first, then new trials, the cells served evenly."""
        while self._free:
            trial = self._pauses.take(self._open) or self._new()
            if trial is None:
                return
            self._free -= 1
            self._pauses.start(trial.curve.cell)
            self._train(trial, now)

    def _new(self) -> Running | None:
        if not self._turns:
            return None
        _, number, cell = heappop(self._turns)
        queue = self._proposed[cell]
        curve = queue.popleft()
        self._open[cell] = bool(queue)
        if queue:
            heappush(self._turns, (1 - len(queue) / self._sizes[cell], number, cell))
        return Running(curve, curve.stations(self._judge.milestones, self._judge.progress))

    def _train(self, trial: Running, now: float) -> None:
        self._started += 1
        heappush(self._events, (now + trial.seconds(), self._started, trial))

    def _report(self, trial: Running, now: float) -> None:
        curve, row = trial.curve, trial.curve.rows[trial.row]
        before = curve.rows[trial.stations[trial.next - 1]]["epoch"] if trial.next else 0
        self._epochs += row["epoch"] - before
        decision = self._judge.report(curve.cell, curve.trial_id, row, OBJECTIVE).decision
        trial.next += 1
        ended = trial.next == len(trial.stations)
        if decision is Decision.CONTINUE and not ended:
            self._train(trial, now)
            return
        if ended:
            self._finals.append((curve.cell, curve.final))
            self._judge.end(curve.cell, curve.trial_id, failed=False)
        self._free += 1
        self._pauses.end(curve.cell, curve.trial_id, trial)
