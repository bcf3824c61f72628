"""The job that trains a configuration for a cell. Pure; no torch, no ray."""

from typing import Any, Literal

from hsl.planning.job import Job
from hsl.planning.plan import Cell, Plan, objective_of, regime_of
from hsl.prepare.inputs import Inputs
from hsl.stopping.settings import Kind
from hsl.store.layout import Library
from hsl.training.configuration import Configuration


class Jobs:
    """Turns configurations of one plan into jobs with addresses in one store.

    Args:
        plan: The plan.
        library: Where parents, scores and checkpoints lie.

    Attributes:
        inputs: The parents and scores that they need.
    """

    def __init__(self, plan: Plan, library: Library) -> None:
        self._space = plan.space
        self.inputs = Inputs(plan, library)
        self._library = library
        stopping = plan.space.early_stopping or Kind()
        self._milestones = stopping.milestones(plan.space.training.epochs)
        self._progress, self._can_pause = stopping.progress, stopping.can_pause

    def make(
        self,
        cell: Cell,
        stage: Literal["search", "confirm"],
        configuration: Configuration,
        seed: int,
        parameters: dict[str, Any],
    ) -> Job:
        """The job that trains `configuration` with `seed` for a cell."""
        trial_id = configuration.trial_id(seed)
        evaluation = self._space.evaluation if stage in self._space.evaluation.stages else None
        return Job(
            trial_id=trial_id,
            configuration=configuration,
            seed=seed,
            cell=cell.name,
            regime=regime_of(cell, self._space),
            stage=stage,
            baseline=cell.baseline,
            parameters=parameters,
            parent=self.inputs.parent(configuration, seed),
            scores=self.inputs.scores(configuration),
            evaluation=evaluation,
            deciles=self.inputs.deciles(configuration) if evaluation else None,
            checkpoint=self._library.checkpoint(trial_id),
            log=self._library.log(trial_id),
            milestones=self._milestones if stage == "search" else (),
            progress=self._progress,
            can_pause=self._can_pause and stage == "search",
            objective=objective_of(cell, self._space),
            timeout=self._space.trial_timeout,
        )
