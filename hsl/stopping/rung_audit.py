"""Whether a rung predicts: the exempt trials of a running sweep switch off rungs that do not. Pure."""

import logging
from collections import Counter

from hsl.results.correlation import LEAST_FREEDOM, within_groups

LOG = logging.getLogger(__name__)

LOOKS = 20
"""A rung is audited again when it has one in so many exempt trials more: large sweeps need not audit at each."""


class RungAudit:
    """The rungs that exempt trials switch off: those whose interval of the correlation is below `least`."""

    def __init__(self, least: float) -> None:
        self._least = least
        self._entries: dict[tuple[int, int], dict[str, dict[str, float]]] = {}
        self._finals: dict[str, float] = {}
        self._off: set[tuple[int, int]] = set()
        self._counts: Counter[tuple[int, int]] = Counter()
        self._due: Counter[tuple[int, int]] = Counter()

    def enter(self, rung: tuple[int, int], cell: str, trial_id: str, value: float) -> None:
        """Note that an exempt trial was at a rung (epochs at target, epochs)."""
        self._entries.setdefault(rung, {}).setdefault(cell, {})[trial_id] = value

    def final(self, trial_id: str, value: float) -> None:
        """Note that an exempt trial was trained to the end; the rungs that it passed may be audited again."""
        if self._finals.get(trial_id) == value:
            return
        self._finals[trial_id] = value
        for rung, cells in self._entries.items():
            if any(trial_id in entries for entries in cells.values()):
                count = self._counts[rung] = self._counts[rung] + 1
                if count >= self._due[rung]:
                    self._due[rung] = count + max(1, count // LOOKS)
                    self._switch(rung)

    def _switch(self, rung: tuple[int, int]) -> None:
        groups = [
            [(value, self._finals[name]) for name, value in entries.items() if name in self._finals]
            for entries in self._entries[rung].values()
        ]
        found, was_off = within_groups(groups), rung in self._off
        if found is None or found.freedom < LEAST_FREEDOM or (found.high < self._least) == was_off:
            return
        change, says = (self._off.remove, "on again") if was_off else (self._off.add, "off")
        change(rung)
        LOG.warning(
            "rung %d (epoch %d) is switched %s: rank correlation with the final objective %.2f [%.2f, %.2f], "
            "%d exempt trials, threshold %g",
            *rung, says, found.rho, found.low, found.high, found.count, self._least,
        )  # fmt: skip

    def is_off(self, rung: tuple[int, int]) -> bool:
        """Whether a rung predicts too little to stop a trial."""
        return rung in self._off
