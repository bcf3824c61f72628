"""Parents and scores that are missing, made before the trials that need them."""

import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from hsl.errors import HslError
from hsl.prepare.parents import (
    ModelScoresTask,
    ParentTask,
    ScoresTask,
    Task,
    describe,
    make_here,
    missing,
    with_parts,
)
from hsl.provenance import redact_known
from hsl.reasons import out_of_memory
from hsl.space.schema import Resources
from hsl.training.allocator import keep_freed_memory


def prepare(
    tasks: Iterable[Task],
    resources: Resources,
    workers: Callable[[], int],
    say: Callable[[str], None],
    charge: Callable[[float], None],
    count: Callable[[str, int], None],
) -> None:
    """Make missing parents and scores on Ray workers, each after its inputs.

    Args:
        tasks: All that is needed; existing results are not made again.
        resources: Of each worker.
        workers: Largest number of workers; called before each wave, since a cluster can grow.
        say: Receives a line before each wave of work.
        charge: Receives the GPUs that were held since it was last called.
        count: Receives the target of a task and the epochs that it took.

    Raises:
        HslError: If one cannot be made.
    """
    for wave in waves(with_parts(missing(tasks))):
        make_here([task for task in wave if isinstance(task, ScoresTask)], "cpu")  # the means alone
        if others := [task for task in wave if not isinstance(task, ScoresTask)]:
            say(f"parents: {len(others)} to make, first {describe(others[0])}")
            held = min(len(others), workers())
            charge(0.0)
            make_all(others, resources.model_dump(), held)
            charge(held * resources.gpu)
            for task in others:
                count(task.target, epochs_of(task))


def epochs_of(task: Task) -> int:
    """Epochs that a task trains."""
    if isinstance(task, ParentTask):
        return task.configuration.training.epochs
    return task.scores.epochs if isinstance(task, ModelScoresTask) else 0


class Maker:
    """A worker that runs tasks one after the other; it and its memory are released when all are done."""

    def __init__(self) -> None:
        keep_freed_memory()

    def make(self, task: Task) -> None:
        """Run `task`; Ray has set ``OMP_NUM_THREADS`` to the cores that this worker was given.

        Raises:
            HslError: Any error, without credentials, since Ray logs it.
        """
        from hsl.training.build import default_device  # noqa: PLC0415  torch on the worker only

        try:
            task.run(default_device())
        except HslError as error:
            raise HslError(redact_known(str(error))) from None
        except Exception as error:  # noqa: BLE001  reported in full to the caller that waits
            raise HslError(redact_known("".join(traceback.format_exception(error)))) from None


def make_all(tasks: Iterable[Task], resources: Mapping[str, float], workers: int) -> None:
    """Run tasks that do not depend on each other on Ray workers, with retries after the loss of a worker.

    Args:
        tasks: Independent tasks.
        resources: ``cpu`` and ``gpu`` of each worker.
        workers: Number of workers, at most.

    Raises:
        HslError: If a task fails; finished results stay.
    """
    import ray  # noqa: PLC0415  the work can be done without ray

    tasks = list(tasks)
    maker = ray.remote(Maker).options(
        num_cpus=resources["cpu"], num_gpus=resources["gpu"], max_restarts=3, max_task_retries=3
    )
    makers = [maker.remote() for _ in range(min(workers, len(tasks)))]
    try:
        _work_off(tasks, makers)
    except ray.exceptions.RayTaskError as error:
        cause = error.cause or error
        raise HslError(f"{describe(tasks[0])} or a task in parallel with it failed: {cause}") from error
    except ray.exceptions.OutOfMemoryError as error:
        said = f"Ray ended the worker that made {describe(tasks[0])}, or one in parallel, at every attempt"
        raise HslError(out_of_memory(said)) from error
    finally:
        for actor in makers:
            ray.kill(actor)


def _work_off(tasks: Iterable[Task], makers: Iterable[Any]) -> None:
    """Let every started worker take the next task; Ray's ActorPool would assign one to pending workers as well."""
    import ray  # noqa: PLC0415  see `make_all`

    left = deque(tasks)
    coming = {maker.__ray_ready__.remote(): maker for maker in makers}
    working: dict[Any, Any] = {}
    while left or working:
        (ended,), _ = ray.wait([*coming, *working], num_returns=1)
        maker = working.pop(ended, None) or coming.pop(ended)
        ray.get(ended)
        if left:
            working[maker.make.remote(left.popleft())] = maker


def waves(tasks: Iterable[Task]) -> Iterator[list[Task]]:
    """Groups of tasks in an order in which each finds its inputs; those of a group are independent."""
    left = list(tasks)
    while left:
        targets = {task.target for task in left}
        ready = [task for task in left if targets.isdisjoint(task.inputs)]
        yield ready
        left = [task for task in left if task not in ready]
