"""Which trials lost their node and which crash by themselves, and what was trained again. Pure; no torch, no ray."""

import time
from collections import Counter
from collections.abc import Callable, Iterable

from hsl.driver.running import Interruption, Running
from hsl.planning.job import Job
from hsl.reasons import RAY_MONITOR, causes

MAX_CRASHES = 3
"""Number of retries of a trial whose worker ended on a node that is still there."""

GRACE_SECONDS = 30.0
"""A node that vanishes is found gone only after its workers: for so long nothing is called a crash."""


class Interruptions:
    """Distinguishes preempted and lost nodes from crashes, trial by trial.

    A worker ends with its node, or by itself. Which of both it was is known for certain only later, when the node
    turns out to be gone, or is still there after `GRACE_SECONDS`.

    Args:
        home: The driver's own node: it cannot be lost without the driver.
        clock: Seconds that only grow.
    """

    def __init__(self, home: str | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._home = home
        self._clock = clock
        self._is_alone = True
        self._gone: dict[str, float] = {}
        self._open: list[Interruption] = []

    def report(self, running: Running, node: str | None, began: int | None, reached: int) -> None:
        """Note that a worker has reported.

        Args:
            running: Its trial.
            node: Node that it is on.
            began: Epochs that were trained already when this worker took the trial, by its checkpoint; None if it
                failed before that was known.
            reached: Epochs that had been reported before.
        """
        is_first = running.node is None
        if is_first and began is not None:
            running.repeated_epochs += max(0, reached - began)
        running.node = node

    def interrupt(self, running: Running, is_preempted: bool = False) -> None:
        """Note that a worker has ended in the middle of a trial; `is_preempted` if its node was being taken away."""
        interruption = Interruption(running.node, self._clock(), is_preempted)
        self._attribute(interruption)
        running.interruptions.append(interruption)
        self._open.append(interruption)

    def look(self, alive: Iterable[str], gone: Iterable[str]) -> None:
        """Receive the nodes that are there, and those that were and are lost."""
        for node in gone:
            self._gone.setdefault(node, self._clock())
        self._is_alone = not self._gone and set(alive) <= {self._home}
        for interruption in self._open:
            self._attribute(interruption)

    def _attribute(self, interruption: Interruption) -> None:
        """Attribute the end of a worker that had not reported its node to any node that vanished at that time."""
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

    def gives_up(self, running: Running) -> bool:
        """Whether a trial has crashed, for certain, more often than it is retried."""
        crashes = (not one.is_loss and self._is_certain(one) for one in running.interruptions)
        return sum(crashes) > MAX_CRASHES


class OutOfMemory:
    """Counts how often each trial took all memory of its node, as long as a driver lives."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()

    def caused(self, error: BaseException, running: Iterable[Running]) -> list[Job]:
        """The trials whose workers Ray ended for their memory, as `error` says; none if something else happened.

        Args:
            error: What ended Ray's controller.
            running: The trials that had a worker then.
        """
        said = " ".join(text for text in map(str, causes(error)) if RAY_MONITOR in text)
        found = [one.job for one in running if one.worker is not None and one.worker in said]
        self._counts.update(job.trial_id for job in found)
        return found

    def attempts(self, job: Job) -> int:
        """How often a trial was started in vain."""
        return self._counts[job.trial_id]

    def gives_up(self, job: Job) -> bool:
        """Whether a trial has run out of memory more often than it is retried."""
        return self.attempts(job) > MAX_CRASHES
