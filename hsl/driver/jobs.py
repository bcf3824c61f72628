"""The job that trains a configuration for a cell. Pure; no torch, no ray."""

from typing import Any, Literal

from hsl.planning.job import Identity, Inputs, Job, Reporting
from hsl.planning.plan import Cell, Plan, objective_of, regime_of
from hsl.prepare.inputs import Prerequisites
from hsl.stopping.settings import Kind
from hsl.store.layout import Library
from hsl.training.configuration import Configuration


class Jobs:
    """Turns configurations of one plan into jobs with addresses in one store.

    Attributes:
        prerequisites: The parents and scores that they need, and where these are stored.
    """

    def __init__(self, plan: Plan, library: Library) -> None:
        self._space = plan.space
        self.prerequisites = Prerequisites(plan, library)
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
        **origin: Any,
    ) -> Job:
        """The job that trains `configuration` with `seed` for a cell; the rest, with `ORIGIN`, is as in `Identity`."""
        configuration = configuration.located(self._space.dataset, self._space.content)
        identity = Identity(
            trial_id=configuration.trial_id(seed),
            configuration=configuration,
            seed=seed,
            cell=cell.name,
            regime=regime_of(cell, self._space),
            stage=stage,
            baseline=cell.baseline,
            parameters=parameters,
            **origin,
        )
        reporting = self._reporting(identity, objective_of(cell, self._space))
        inputs = Inputs(
            checkpoint=self._library.checkpoint(identity.trial_id),
            parent=self.prerequisites.parent(configuration, seed),
            scores=self.prerequisites.scores(configuration),
            deciles=self.prerequisites.deciles(configuration) if reporting.evaluation else None,
        )
        return Job(identity=identity, inputs=inputs, reporting=reporting)

    def _reporting(self, identity: Identity, objective: str) -> Reporting:
        space, is_search = self._space, identity.stage == "search"
        return Reporting(
            objective=objective,
            milestones=self._milestones if is_search else (),
            progress=self._progress,
            can_pause=self._can_pause and is_search,
            evaluation=space.evaluation if identity.stage in space.evaluation.stages else None,
            log=self._library.log(identity.trial_id),
            timeout=space.trial_timeout,
        )
