"""What is trained next, behind Ray Tune's searcher interface."""

from collections.abc import Mapping
from typing import Any

from ray.tune.search import Searcher

from hsl.driver.trials import Trials
from hsl.driver.tune.ray import Unsaved


class CellSearcher(Unsaved, Searcher):
    """Hands out the jobs of `Trials`, which learns of their ends by itself."""

    def __init__(self, trials: Trials) -> None:
        super().__init__()
        self._trials = trials

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: Mapping[str, Any], **spec: Any
    ) -> bool:
        """Accept any arguments of Tune: the studies know their cells."""
        return True

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's configuration for Tune, None as long as a running trial may lead to one, or FINISHED."""
        job = self._trials.begin(trial_id)
        if job is None:
            return Searcher.FINISHED if self._trials.is_over else None
        return {"job": job.model_dump_json(exclude_defaults=True)}

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Do nothing: the callback has received it already."""

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Do nothing: only the end of a trial counts."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the store is the truth, Tune's own snapshot is never read."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: see `save`."""
