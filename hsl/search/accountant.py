"""Keeps a run's account while Ray Tune trains, and lets trials halt at their next report when a budget is spent."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

import ray
from ray import tune
from ray.tune.experiment import Trial

from hsl.errors import HslError
from hsl.search.account import price_of
from hsl.search.jobs import Job
from hsl.search.schema import SearchSpace
from hsl.search.session import Session
from hsl.search.unsaved import Unsaved

LOG = logging.getLogger(__name__)

PRICE_SECONDS = 10.0
"""How often the cluster is looked at: nodes come and go slowly."""


class Accountant(Unsaved, tune.Callback):
    """Charges time and epochs to the session, and knows what is under way. To be told before the recorder is.

    Args:
        session: The account of this run.
        space: Says what a trial holds and what nodes cost; where it does not, their labels do.
        jobs: Job of every Tune trial, by Tune's trial id; filled by the searcher.
    """

    def __init__(self, session: Session, space: SearchSpace, jobs: Mapping[str, Job]) -> None:
        self._session = session
        self._space = space
        self._jobs = jobs
        self._priced = time.monotonic()
        self.under_way: dict[str, Job] = {}
        session.tick(0.0)

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial was handed to a worker."""
        self._charge()
        self.under_way[trial.trial_id] = self._jobs[trial.trial_id]

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **info: Any
    ) -> None:
        """A trial has reported; one that halts stays under way for the next run."""
        self._session.account.count(self._jobs[trial.trial_id].trial_id, result["epoch"])
        if result["done"] and result["status"] != "halted":
            self.under_way.pop(trial.trial_id, None)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """A trial has lost its worker once too often."""
        self.under_way.pop(trial.trial_id, None)

    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """The driver has handled one event."""
        self._charge()
        is_priced = self._space.prices or self._session.price
        if is_priced and time.monotonic() - self._priced > PRICE_SECONDS:
            self._priced = time.monotonic()
            set_price(self._session, self._space)
        self._session.save_if_due(self.under_way.values())

    def close(self) -> None:
        """Make the account durable."""
        self._charge()
        self._session.save(self.under_way.values())

    def _charge(self) -> None:
        self._session.tick(len(self.under_way) * self._space.resources.gpu)


class BudgetStopper(Unsaved, tune.Stopper):
    """Halts trials that report when a budget is spent; they are not ended, their checkpoints stay."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Whether the trial that reports is to halt; its result says so."""
        if result["status"] != "running" or not self._session.account.exceeded():
            return False
        result["status"] = "halted"
        return True

    def stop_all(self) -> bool:
        """No: every trial ends at a report of its own."""
        return False


def set_price(session: Session, space: SearchSpace, strict: bool = False) -> None:
    """Look up what the nodes that are there cost.

    Raises:
        HslError: With `strict`, if a node has no price and the sweep has a budget of money.
    """
    session.price, unknown = price_of(ray.nodes(), space.prices)
    if not unknown:
        return
    listed = ", ".join(sorted(unknown))
    message = f"prices: nothing is known of nodes of type {listed}; add their price per hour, or a default"
    if strict and space.budget.cost is not None:
        raise HslError(message)
    if space.prices or session.price:
        LOG.warning("%s; they count as free", message)
