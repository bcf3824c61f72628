"""Which trials lost their machine and which crash by themselves, and what was trained again. Pure; no torch, no ray."""

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from hsl.planning.job import Job
from hsl.reasons import RAY_MONITOR, causes

MAX_CRASHES = 3
"""Times that a trial is tried again after its worker ended on a machine that lives on."""

GRACE_SECONDS = 30.0
"""A machine that vanishes is found gone only after its workers: for so long nothing is called a crash."""


@dataclass
class Interruption:
    """The end of a worker.

    Attributes:
        node: Where it worked; None if it ended before it said so.
        at: When it ended.
        is_loss: Whether its machine is gone, or was about to go.
    """

    node: str | None
    at: float
    is_loss: bool


@dataclass
class Course:
    """What has happened to a trial.

    Attributes:
        losses: Machines that it had lost before this run of the driver.
        repeated_epochs: Epochs that were trained again, in all runs.
        node: Where it is trained now, as far as that is known.
        is_fresh: Whether its present worker has not reported yet.
        interruptions: Workers that it has lost in this run.
    """

    losses: int = 0
    repeated_epochs: int = 0
    node: str | None = None
    is_fresh: bool = True
    interruptions: list[Interruption] = field(default_factory=list)


class Losses:
    """Tells lost machines from crashes, trial by trial.

    A worker ends with its machine, or by itself. Which of both it was is known for certain only later, when the
    machine turns out to be gone, or is still there after `GRACE_SECONDS`.

    Args:
        home: The driver's own node: it cannot be lost without the driver.
        clock: Seconds that only grow.
    """

    def __init__(self, home: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._clock = clock
        self._is_alone = True
        self._gone: dict[str, float] = {}
        self._courses: dict[str, Course] = {}
        self._open: list[Interruption] = []

    def start(self, trial_id: str, losses: int = 0, repeated_epochs: int = 0) -> None:
        """A worker takes a trial.

        Args:
            trial_id: The trial.
            losses: Machines that it lost in earlier runs of the driver.
            repeated_epochs: Epochs that were trained again in these.
        """
        course = self._courses.setdefault(trial_id, Course(losses, repeated_epochs))
        course.node, course.is_fresh = None, True

    def report(self, trial_id: str, node: str | None, began: int | None, reached: int) -> None:
        """A worker has reported.

        Args:
            trial_id: The trial.
            node: Where it is trained.
            began: Epochs that were trained already when this worker took it, by its checkpoint; None if it
                failed before that was known.
            reached: Epochs that had been reported before.
        """
        course = self._courses[trial_id]
        if course.is_fresh and began is not None:
            course.repeated_epochs += max(0, reached - began)
        course.node, course.is_fresh = node, False

    def interrupt(self, trial_id: str, is_preempted: bool = False) -> None:
        """A worker has ended in the middle of a trial; `is_preempted` if its machine was being taken away."""
        course = self._courses[trial_id]
        interruption = Interruption(course.node, self._clock(), is_preempted)
        self._judge(interruption)
        course.interruptions.append(interruption)
        self._open.append(interruption)

    def look(self, alive: Iterable[str], gone: Iterable[str]) -> None:
        """The machines that are there, and those that were and are lost."""
        for node in gone:
            self._gone.setdefault(node, self._clock())
        self._is_alone = not self._gone and set(alive) <= {self._home}
        for interruption in self._open:
            self._judge(interruption)

    def _judge(self, interruption: Interruption) -> None:
        """A worker that never said where it was ended with whatever machine vanished at that time."""
        if interruption.node is not None:
            interruption.is_loss |= interruption.node in self._gone
        else:
            times = self._gone.values()
            interruption.is_loss |= any(abs(at - interruption.at) <= GRACE_SECONDS for at in times)

    def _is_certain(self, interruption: Interruption) -> bool:
        if interruption.is_loss or self._clock() - interruption.at > GRACE_SECONDS:
            return True
        return self._is_alone if interruption.node is None else interruption.node == self._home

    @property
    def is_undecided(self) -> bool:
        """Whether some worker has ended of which it is not known why."""
        self._open = [one for one in self._open if not self._is_certain(one)]
        return bool(self._open)

    def gives_up(self, trial_id: str) -> bool:
        """Whether a trial has crashed, for certain, more often than it is tried again."""
        crashes = (
            not interruption.is_loss and self._is_certain(interruption)
            for interruption in self._courses.get(trial_id, Course()).interruptions
        )
        return sum(crashes) > MAX_CRASHES

    def counts(self, trial_id: str) -> dict[str, int]:
        """Columns of the trials table."""
        course = self._courses.get(trial_id, Course())
        lost = sum(interruption.is_loss for interruption in course.interruptions)
        return {"losses": course.losses + lost, "repeated_epochs": course.repeated_epochs}

    def forget(self, trial_id: str) -> None:
        """A trial has ended."""
        self._courses.pop(trial_id, None)


class MemoryLosses:
    """Knows which trial is on which worker, and how often each has run out of memory, as long as a driver lives."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._taken: Counter[str] = Counter()

    def start(self, worker: str, job: Job) -> None:
        """A trial was handed to a worker, that of an actor with this id."""
        self._jobs[worker] = job

    def taken(self, error: BaseException) -> list[Job]:
        """The trials whose workers were ended, as `error` tells; none if something else has happened."""
        told = " ".join(text for text in map(str, causes(error)) if RAY_MONITOR in text)
        found = [job for worker, job in self._jobs.items() if worker in told]
        self._jobs.clear()  # no worker outlives Tune
        self._taken.update(job.trial_id for job in found)
        return found

    def attempts(self, job: Job) -> int:
        """How often a trial was started in vain."""
        return self._taken[job.trial_id]

    def gives_up(self, job: Job) -> bool:
        """Whether a trial has run out of memory more often than it is tried again."""
        return self.attempts(job) > MAX_CRASHES
