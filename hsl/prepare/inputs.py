"""Parents and scores that a configuration needs before it is trained, and their addresses. No torch, no ray."""

from collections.abc import Iterator

from hsl.planning.plan import Plan, ancestors, parent_of
from hsl.planning.scores import all_scores, decile_scores, scores_for
from hsl.prepare.parents import ParentTask, Task, scores_task
from hsl.store.layout import Library
from hsl.training.configuration import Configuration


class Prerequisites:
    """Parents and scores that the configurations of one plan need, with their addresses in one store."""

    def __init__(self, plan: Plan, library: Library) -> None:
        self._space = plan.space
        self._plan = plan
        self._library = library

    def of_search(self) -> Iterator[Task]:
        """Prerequisites of all configurations that the search may propose."""
        for scores in self._plan.scores:
            yield scores_task(scores, self._library)
        for parent in self._plan.parents:
            yield self._parent(parent, self._space.seed)

    def of(self, configuration: Configuration, seed: int, stage: str | None = None) -> Iterator[Task]:
        """Prerequisites of one trial, and of its evaluation in this stage."""
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
        """Address of the parent of a trial, if it needs one."""
        parent = parent_of(configuration, self._space)
        return self._library.parent(parent.trial_id(seed)) if parent else None

    def scores(self, configuration: Configuration) -> str | None:
        """Address of the scores that select its samples, if it needs any."""
        scores = scores_for(configuration, self._space)
        return self._library.scores(scores.id) if scores else None

    def deciles(self, configuration: Configuration) -> str | None:
        """Address of the scores of the deciles of its evaluation, if there are any."""
        scores = decile_scores(configuration, self._space)
        return self._library.scores(scores.id) if scores else None
