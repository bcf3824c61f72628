"""Stopping rules that a replay compares with, and that no sweep offers."""

from hsl.stopping.rule import GOES_ON, Decision, StoppingRule, Verdict
from hsl.stopping.settings import Stratified
from hsl.stopping.stratified import Rungs


class FlatAsha(StoppingRule):
    """ASHA as it is mostly used: one set of rungs for all cells, by epochs, no tolerance, no exempt trials.

    The default of the reduction factor is that of Ray Tune.
    """

    progress = "epoch"

    def __init__(self, epochs: int, factor: int = 4) -> None:
        plain = Stratified(
            grace=1, reduction_factor=factor, min_entries=1, tolerance=0, exempt=0, min_correlation=-1
        )
        self._rungs = Rungs(plain, epochs, seed=0)
        super().__init__(self._rungs.milestones, share=0.0)

    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        row = {"epoch": epoch, "epochs_at_target": epoch, "value": value}
        return self._rungs.report("all", trial_id, row, "value")


class TopAfter(StoppingRule):
    """Every trial is trained for one epoch, the best of each cell to the end (Egele et al. 2023, arXiv 2307.15422).

    Args:
        keep: Share of each cell that goes on; at least one trial does.
        epochs: Epochs of a full training; a trial that is first evaluated there has nothing to wait for.
    """

    progress = "epoch"
    can_pause = True

    def __init__(self, keep: float, epochs: int) -> None:
        super().__init__((1,), share=0.0)
        self._keep = keep
        self._epochs = epochs
        self._waiting: dict[str, dict[str, float]] = {}
        self._seen: set[str] = set()
        self._chosen: list[str] = []

    def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Verdict:
        if trial_id in self._seen or epoch >= self._epochs:
            return GOES_ON
        self._seen.add(trial_id)
        self._waiting.setdefault(cell, {})[trial_id] = value
        return Verdict(Decision.PAUSE)

    def close(self, cell: str) -> None:
        """Let the best go on."""
        waiting = self._waiting.pop(cell, {})
        best = sorted(waiting, key=lambda name: -waiting[name])
        self._chosen += best[: max(1, round(self._keep * len(waiting)))]

    def promoted(self) -> list[str]:
        """Paused trials that are to go on now, each of them named once."""
        chosen, self._chosen = self._chosen, []
        return chosen

    def is_paused(self, trial_id: str) -> bool:
        """Whether a trial waits."""
        return any(trial_id in waiting for waiting in self._waiting.values())
