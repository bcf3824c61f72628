"""Stratified early stopping: rungs within each cell, as epochs at target sparsity."""

from hsl.stopping.rule import GOES_ON, Decision, Pool, StoppingRule, Verdict, draw
from hsl.stopping.rung_evidence import Evidence, Rung
from hsl.stopping.settings import Stratified


class Rungs(StoppingRule):
    """Stratified ASHA: trials behind the best of their pool stop, at a rung that has shown that it predicts."""

    def __init__(self, settings: Stratified, epochs: int, seed: int) -> None:
        super().__init__(settings.milestones(epochs), settings.exempt, seed)
        self.settings = settings
        self._epochs = epochs
        self._brackets = _bracket_weights(len(self.milestones), settings)
        self._pools: dict[str, Pool] = {}
        self._verdicts: dict[str, dict[int, Verdict]] = {}
        self._evidence = Evidence()

    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        if epoch >= self._epochs:
            self._evidence.end(trial_id, self._place(trial_id).turn, value)
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
        bracket, place = self.bracket(cell, trial_id), self._place(trial_id)
        suffix = f" in bracket {bracket}" if bracket else ""
        entered = self._pools.setdefault(f"{cell} @ {rung} of {epoch}{suffix}", Pool())
        entered.add(trial_id, value, place.turn)
        asked, least = Rung(self.kin.get(cell, cell), rung, epoch), self.settings.min_correlation
        self._evidence.enter(asked, cell, trial_id, value)
        shown = self._evidence.before(asked, place.seen)
        pool = entered.known_to(trial_id, place)
        if len(pool.entries) < self.settings.min_entries or not (least == -1 or shown.acts(least)):
            return Verdict(Decision.CONTINUE, rung, None, shown.odds, shown.low)
        cutoff = pool.quantile(1 - 1 / self.settings.reduction_factor) - self.settings.tolerance
        stops = value < cutoff and not self.is_exempt(trial_id)
        return Verdict(Decision.STOP if stops else Decision.CONTINUE, rung, cutoff, shown.odds, shown.low)

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
