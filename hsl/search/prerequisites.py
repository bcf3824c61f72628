"""Parents and scores that are missing, made before the trials that need them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from hsl.search.parents import (
    ModelScoresTask,
    ParentTask,
    ScoresTask,
    Task,
    describe,
    make_all,
    make_here,
    missing,
    waves,
    with_parts,
)
from hsl.search.runtime import slots
from hsl.search.schema import Resources
from hsl.search.session import Session


def prepare(
    tasks: Iterable[Task], resources: Resources, say: Callable[[str], None], session: Session
) -> None:
    """Make what is missing on Ray workers, each after what it is made of.

    Args:
        tasks: All that is needed; what is there already is not made again.
        resources: What each worker is given.
        say: Told before each wave of work.
        session: Is charged for it.

    Raises:
        HslError: If one cannot be made.
    """
    for wave in waves(with_parts(missing(tasks))):
        make_here([task for task in wave if isinstance(task, ScoresTask)], "cpu")  # the means alone
        if others := [task for task in wave if not isinstance(task, ScoresTask)]:
            say(f"parents: {len(others)} to make, first {describe(others[0])}")
            workers = min(len(others), slots(resources))
            session.tick(0.0)
            make_all(others, resources.model_dump(), workers)
            session.tick(workers * resources.gpu)
            for task in others:
                session.account.count(task.target, epochs_of(task))


def epochs_of(task: Task) -> int:
    """Epochs that are trained to make something."""
    if isinstance(task, ParentTask):
        return task.configuration.training.epochs
    return task.scores.epochs if isinstance(task, ModelScoresTask) else 0
