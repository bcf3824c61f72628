"""Trials whose worker Ray ended because its machine ran out of memory. Pure; no torch, no ray.

Ray Tune takes a worker that ends for a lost one, but not where Ray's memory monitor ended it: then Tune ends as well
(up to Ray 2.60), and the sweep starts again from its store. Whose worker it was stands in what Ray says.
"""

from __future__ import annotations

from collections import Counter

from hsl.search.jobs import Job
from hsl.search.losses import MAX_CRASHES
from hsl.search.reasons import RAY_MONITOR, causes


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
