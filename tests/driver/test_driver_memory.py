"""Whose worker was ended because a machine ran out of memory, from what Ray says; no Ray needed."""

from __future__ import annotations

from made_jobs import made_job

from hsl.driver.interruptions import MAX_CRASHES, OutOfMemory
from hsl.driver.running import Running

SAID = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node was 7.95GB used\n"
    "Selected to kill: (Actor({}): job ID=01000000, task name=ResourceTrainable.__init__)\nConsider provisioning more"
)


def on(**workers: str) -> list[Running]:
    """Trials by the worker that each of them has."""
    return [Running(made_job(trial), worker=worker) for worker, trial in workers.items()]


def error(text: str) -> RuntimeError:
    """As Ray Tune raises it: the text of Ray's own error, which is its cause."""
    try:
        try:
            raise ValueError(text)
        except ValueError as cause:
            raise RuntimeError("Caught unexpected exception") from cause
    except RuntimeError as caught:
        return caught


def test_the_trial_of_the_worker_that_was_ended_is_found() -> None:
    trials = on(aa11="a", bb22="b")
    found = OutOfMemory().caused(error(SAID.format("bb22")), trials)
    assert [job.trial_id for job in found] == ["b"]


def test_other_errors_are_not_taken_for_it() -> None:
    memory, trials = OutOfMemory(), [*on(aa11="a"), Running(made_job("not started"))]
    assert memory.caused(error("actor aa11 divided by zero"), trials) == []
    assert memory.caused(error(SAID.format("cc33")), trials) == []
    assert memory.attempts(made_job("a")) == 0


def test_a_trial_is_given_up_after_as_many_attempts_as_one_that_crashes() -> None:
    memory = OutOfMemory()
    for _ in range(MAX_CRASHES + 1):
        assert not memory.gives_up(made_job("a"))
        memory.caused(error(SAID.format("aa11")), on(aa11="a"))
    assert memory.gives_up(made_job("a"))
    assert not memory.gives_up(made_job("b"))
