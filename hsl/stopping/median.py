"""The median stopping rule within cells.

A trial stops when its best value so far is below the median of the running means of the others at the same epoch
(Golovin et al. 2017, Google Vizier, section 3.2.1). As in `hsl.stopping.rule`, only epochs since the target sparsity
was reached count, and only trials that reached it after as many epochs are compared.
"""

from dataclasses import dataclass

from hsl.stopping.rule import GOES_ON, Decision, Pool, StoppingRule, Verdict, first_rung
from hsl.stopping.settings import Median


@dataclass
class History:
    """The last epoch of a trial since it reached its target sparsity, and the values that it has reported so far."""

    epoch: int = 0
    total: float = 0.0
    count: int = 0
    best: float = float("-inf")


class MedianRule(StoppingRule):
    """Decides after every evaluated epoch from the grace period on."""

    def __init__(self, settings: Median, epochs: int, seed: int) -> None:
        super().__init__(settings.milestones(epochs), settings.exempt, seed)
        self.settings = settings
        self._grace = first_rung(settings.grace, epochs)
        self._epochs = epochs
        self._histories: dict[str, History] = {}
        self._pools: dict[str, Pool] = {}
        self._verdicts: dict[str, dict[int, Verdict]] = {}

    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        known = self._verdicts.setdefault(trial_id, {})
        history = self._histories.setdefault(trial_id, History())
        if epoch <= history.epoch or at_target < 1:
            return known.get(epoch, GOES_ON)
        history.epoch, history.total, history.count = epoch, history.total + value, history.count + 1
        history.best = max(history.best, value)
        if at_target < self._grace or epoch >= self._epochs:
            return GOES_ON
        known[epoch] = self._compared(f"{cell} @ {at_target} of {epoch}", trial_id, at_target, history)
        return known[epoch]

    def _compared(self, name: str, trial_id: str, at_target: int, history: History) -> Verdict:
        pool = self._pools.setdefault(name, Pool())
        others = len(pool.entries)
        cutoff = pool.quantile(0.5) - self.settings.tolerance if others >= self.settings.min_entries else None
        pool.add(trial_id, history.total / history.count)
        stops = cutoff is not None and history.best < cutoff and not self.is_exempt(trial_id)
        return Verdict(Decision.STOP if stops else Decision.CONTINUE, at_target, cutoff)
