"""What a configuration needs before it can be trained, and the job that trains it. Pure; no torch, no ray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from hsl.planning.job import Job
from hsl.planning.plan import Cell, Plan, ancestors, objective_of, parent_of, regime_of
from hsl.planning.scores import all_scores, decile_scores, scores_for
from hsl.prepare.parents import ParentTask, Task, scores_task
from hsl.stopping.kinds import can_pause, counts, milestones_of
from hsl.store.layout import Library
from hsl.training.configuration import Configuration


class Needs:
    """Turns configurations of one plan into jobs and prerequisites with addresses in one store.

    Args:
        plan: The plan.
        library: Where parents, scores and checkpoints lie.
    """

    def __init__(self, plan: Plan, library: Library) -> None:
        self._space = plan.space
        self._plan = plan
        self._library = library
        settings = plan.space.early_stopping
        self._milestones = milestones_of(settings, plan.space.training.epochs)
        self._progress = counts(settings)
        self._can_pause = can_pause(settings)

    def of_search(self) -> Iterator[Task]:
        """Prerequisites of everything that the search may propose."""
        for scores in self._plan.scores:
            yield scores_task(scores, self._library)
        for parent in self._plan.parents:
            yield self._parent(parent, self._space.seed)

    def of(self, configuration: Configuration, seed: int, stage: str | None = None) -> Iterator[Task]:
        """Prerequisites of one trial, and of what this stage measures on it in the end."""
        for scores in all_scores(configuration, self._space, stage in self._space.evaluation.stages):
            yield scores_task(scores, self._library)
        for parent in ancestors(configuration, self._space):
            yield self._parent(parent, seed)

    def _parent(self, parent: Configuration, seed: int) -> ParentTask:
        return ParentTask(
            configuration=parent,
            seed=seed,
            scores=self.scores(parent),
            parent=self.parent(parent, seed),
            target=self._library.parent(parent.trial_id(seed)),
        )

    def parent(self, configuration: Configuration, seed: int) -> str | None:
        """Where the parent of a trial lies, if it needs one."""
        parent = parent_of(configuration, self._space)
        return self._library.parent(parent.trial_id(seed)) if parent else None

    def scores(self, configuration: Configuration) -> str | None:
        """Where the scores lie by which its samples are selected, if they are."""
        scores = scores_for(configuration, self._space)
        return self._library.scores(scores.id) if scores else None

    def deciles(self, configuration: Configuration) -> str | None:
        """Where the scores lie that make the deciles by which it is measured, if it is."""
        scores = decile_scores(configuration, self._space)
        return self._library.scores(scores.id) if scores else None

    def job(
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
            parent=self.parent(configuration, seed),
            scores=self.scores(configuration),
            evaluation=evaluation,
            deciles=self.deciles(configuration) if evaluation else None,
            checkpoint=self._library.checkpoint(trial_id),
            log=self._library.log(trial_id),
            milestones=self._milestones if stage == "search" else (),
            progress=self._progress,
            can_pause=self._can_pause and stage == "search",
            objective=objective_of(cell, self._space),
            timeout=self._space.trial_timeout,
        )
