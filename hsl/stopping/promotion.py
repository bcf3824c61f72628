"""ASHA by promotion: every trial waits at its rung until it is among the best of its pool.

The original form of ASHA (Li et al. 2020, arXiv 1810.05934, algorithm 2): no free pass for the first that arrive, so
it spends less where a cell has few or expensive trials, at the price of a checkpoint at every rung. Pools are those
of `hsl.stopping.rule`. When a cell is closed, each pool lets at least its best trial go on, so that every cell ends
with one that was trained to the end.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from hsl.stopping.rule import GOES_ON, Decision, StoppingRule, Verdict
from hsl.stopping.settings import Promotion

Entry = tuple[float, int, str]
"""The objective with its sign changed, the number of arrival, the trial: sorted, the best comes first."""


@dataclass
class Queue:
    """Trials of one cell that reached one rung (in epochs at target sparsity) after as many epochs.

    Attributes:
        ranked: Entries, the best first; of equals the first to come.
        quota: How many of the best have been considered for promotion.
    """

    cell: str
    rung: int
    epoch: int
    ranked: list[Entry] = field(default_factory=list)
    quota: int = 0


class PromotionRungs(StoppingRule):
    """Pauses trials at rungs and promotes one in `reduction_factor`; exempt trials never wait."""

    can_pause = Promotion.can_pause

    def __init__(self, settings: Promotion, epochs: int, seed: int) -> None:
        super().__init__(settings.milestones(epochs), settings.exempt, seed)
        self.settings = settings
        self._epochs = epochs
        self._queues: dict[str, Queue] = {}
        self._rungs: dict[str, dict[int, int]] = {}
        self._waiting: dict[str, int] = {}
        self._ready: dict[str, None] = {}
        self._failed: set[str] = set()

    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        if epoch > self._waiting.get(trial_id, epoch):  # it was promoted before a restart
            self._release(trial_id)
        known = self._rungs.get(trial_id, {})
        if epoch in known:
            return self._verdict(trial_id, epoch, known[epoch])
        rung = self._reached(trial_id, at_target) if epoch < self._epochs else None
        if rung is None:
            return GOES_ON
        self._rungs.setdefault(trial_id, {})[epoch] = rung
        self._enter(cell, trial_id, rung, epoch, value)
        return self._verdict(trial_id, epoch, rung)

    def _verdict(self, trial_id: str, epoch: int, rung: int) -> Verdict:
        waits = self._waiting.get(trial_id) == epoch and trial_id not in self._ready
        return Verdict(Decision.PAUSE if waits else Decision.CONTINUE, rung)

    def _enter(self, cell: str, trial_id: str, rung: int, epoch: int, value: float) -> None:
        queue = self._queues.setdefault(f"{cell} @ {rung} of {epoch}", Queue(cell, rung, epoch))
        entry = (-value, len(queue.ranked), trial_id)
        insort(queue.ranked, entry)
        before, count = queue.quota, len(queue.ranked)
        if count >= self.settings.min_entries:
            queue.quota = count // self.settings.reduction_factor
        if not self.is_exempt(trial_id):
            self._waiting[trial_id] = epoch
        if bisect_left(queue.ranked, entry) < queue.quota:
            self._release(trial_id)
        self._promote(queue.epoch, queue.ranked[before : queue.quota])

    def _promote(self, epoch: int, entries: list[Entry]) -> bool:
        """Promote the entries that still wait at this rung, not at a later one; return whether any does."""
        names = [name for _, _, name in entries if self._waiting.get(name) == epoch]
        self._ready |= dict.fromkeys(names)
        return bool(names)

    def _release(self, trial_id: str) -> None:
        self._waiting.pop(trial_id, None)
        self._ready.pop(trial_id, None)

    def end(self, cell: str, trial_id: str, failed: bool) -> None:
        """Note that a trial was trained to its end, or failed: then it takes no place among the best."""
        if failed:
            self._failed.add(trial_id)
            self._release(trial_id)

    def promoted(self) -> list[str]:
        """Paused trials that are to go on now, each of them named once."""
        names = list(self._ready)
        for name in names:
            self._release(name)
        return names

    def close(self, cell: str) -> None:
        """Let the best go on in the lowest rung where any of the best still waits; the others wait in vain."""
        queues = [queue for queue in self._queues.values() if queue.cell == cell]
        for rung in sorted({queue.rung for queue in queues}):
            is_any = False
            for queue in (queue for queue in queues if queue.rung == rung):
                alive = [entry for entry in queue.ranked if entry[2] not in self._failed]
                best = alive[: max(1, len(alive) // self.settings.reduction_factor)]
                is_any |= self._promote(queue.epoch, best)
            if is_any:
                return

    def is_paused(self, trial_id: str) -> bool:
        """Whether a trial waits for its promotion."""
        return trial_id in self._waiting
