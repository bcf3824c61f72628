"""Early stopping as pure, seeded, JSON-able state: asynchronous successive halving within each cell.

Follows ASHA's stopping rule (Li et al. 2020, arXiv 1810.05934) with four changes for sparse training. Rungs count
epochs since the target sparsity was reached. A rung compares only trials of one cell that got there after as many
epochs: a gradually pruned network reaches its target late, with most of its training behind it, and would otherwise
set the bar for networks that were sparse from the start. A rung judges nobody before it holds enough entries, and a
difference within seed noise stops nobody. A random share of trials is exempt, so that false stops can be estimated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from hsl.search.schema import EarlyStopping


class Rungs:
    """Decides which trials stop.

    Args:
        settings: Rung positions and tolerances; None stops nobody.
        epochs: Epochs of a full training.
        seed: Seed of the choice of exempt trials.
    """

    def __init__(self, settings: EarlyStopping | None, epochs: int, seed: int) -> None:
        self.settings = settings
        self.milestones = milestones(settings, epochs)
        self._seed = seed
        self._entries: dict[str, dict[str, float]] = {}
        self._passed: dict[str, int] = {}

    def report(self, cell: str, trial_id: str, row: Mapping[str, Any], objective: str) -> bool:
        """Enter one epoch of a trial.

        Args:
            cell: Cell of the trial.
            trial_id: Identity of the trial; an epoch that is reported again changes nothing.
            row: Has ``epoch``, ``epochs_at_target`` and, where it was evaluated, the objective.
            objective: Name of the metric that is maximised.

        Returns:
            Whether the trial should stop.
        """
        value = row.get(objective)
        if self.settings is None or value is None:
            return False
        if math.isnan(value):
            return True
        passed = self._passed.get(trial_id, 0)
        reached = [m for m in self.milestones[passed:] if row["epochs_at_target"] >= m]
        if not reached:
            return False
        self._passed[trial_id] = passed + len(reached)
        pool = self._entries.setdefault(f"{cell} @ {reached[-1]} of {row['epoch']}", {})
        pool[trial_id] = value
        return self._is_behind(value, list(pool.values())) and not self.is_exempt(trial_id)

    def _is_behind(self, value: float, entries: list[float]) -> bool:
        assert self.settings is not None
        if len(entries) < self.settings.min_entries:
            return False
        cutoff = float(np.quantile(entries, 1 - 1 / self.settings.reduction_factor))
        return value < cutoff - self.settings.tolerance

    def is_exempt(self, trial_id: str) -> bool:
        """Whether a trial is never stopped; a function of the seed and its identity alone."""
        share = self.settings.exempt if self.settings else 1.0
        digest = hashlib.blake2b(f"exempt {self._seed} {trial_id}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") < share * 2**64

    def state_dict(self) -> dict[str, Any]:
        """JSON-able state."""
        return {"entries": self._entries, "passed": self._passed}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state of `state_dict`."""
        self._entries = {pool: dict(entries) for pool, entries in state["entries"].items()}
        self._passed = dict(state["passed"])


def milestones(settings: EarlyStopping | None, epochs: int) -> tuple[int, ...]:
    """Epochs at target sparsity at which trials are judged; none at the end, where nothing is left to save."""
    if settings is None:
        return ()
    rungs = []
    rung = settings.grace
    while rung < epochs:
        rungs.append(rung)
        rung *= settings.reduction_factor
    return tuple(rungs)
