"""Stratified early stopping: rungs within each cell, as epochs at target sparsity."""

from hsl.stopping.rule import GOES_ON, Decision, Pool, StoppingRule, Verdict, draw
from hsl.stopping.rung_audit import RungAudit
from hsl.stopping.settings import Stratified


class Rungs(StoppingRule):
    """Stratified ASHA: at a rung, trials behind the best of their pool by more than the tolerance stop."""

    def __init__(self, settings: Stratified, epochs: int, seed: int) -> None:
        super().__init__(settings.milestones(epochs), settings.exempt, seed)
        self.settings = settings
        self._epochs = epochs
        self._brackets = _bracket_weights(len(self.milestones), settings)
        self._pools: dict[str, Pool] = {}
        self._verdicts: dict[str, dict[int, Verdict]] = {}
        self._audit = RungAudit(settings.min_correlation)

    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        if epoch >= self._epochs:
            if self.is_exempt(trial_id):
                self._audit.final(trial_id, value)
            return GOES_ON
        known = self._verdicts.get(trial_id, {})
        if epoch in known:
            return known[epoch]
        rung = self._reached(trial_id, at_target, self.bracket(cell, trial_id))
        if rung is None:
            return GOES_ON
        verdict = self._decide_at(rung, cell, trial_id, epoch, value)
        self._verdicts.setdefault(trial_id, {})[epoch] = verdict
        return verdict

    def _decide_at(self, rung: int, cell: str, trial_id: str, epoch: int, value: float) -> Verdict:
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
        """Number of first rungs that a trial leaves out: a function of the seed, the cell and its identity alone."""
        if len(self._brackets) < 2:
            return 0
        left = draw("bracket", self._seed, f"{cell} {trial_id}") * sum(self._brackets)
        for bracket, weight in enumerate(self._brackets):
            left -= weight
            if left < 0:
                return bracket
        return len(self._brackets) - 1


def _bracket_weights(rungs: int, settings: Stratified) -> list[float]:
    """Share of trials of each bracket as in Hyperband (Li et al. 2018, arXiv 1603.06560): the longer, the fewer."""
    halvings = [rungs - bracket for bracket in range(min(settings.brackets, rungs + 1))]
    return [settings.reduction_factor**count / (count + 1) for count in halvings]
