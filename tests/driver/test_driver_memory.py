"""Whose worker was ended because a machine ran out of memory, from what Ray says; no Ray needed."""

from __future__ import annotations

from hsl.driver.interruptions import MAX_CRASHES, MemoryLosses
from hsl.planning.job import Job
from hsl.training.configuration import Configuration, ModelSpec

SAID = (
    "1 worker(s) were killed due to the node running low on memory. Memory on the node was 7.95GB used\n"
    "Selected to kill: (Actor({}): job ID=01000000, task name=ResourceTrainable.__init__)\nConsider provisioning more"
)


def job(name: str) -> Job:
    configuration = Configuration(dataset="digits", model=ModelSpec(name="mlp"), regime={})
    return Job(
        trial_id=name,
        configuration=configuration,
        seed=0,
        cell="c",
        regime="clean",
        stage="search",
        checkpoint="x",
    )


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
    memory = MemoryLosses()
    memory.start("aa11", job("a"))
    memory.start("bb22", job("b"))
    assert [found.trial_id for found in memory.taken(error(SAID.format("bb22")))] == ["b"]
    assert memory.taken(error(SAID.format("bb22"))) == []  # that worker is gone, and its run


def test_other_errors_are_not_taken_for_it() -> None:
    memory = MemoryLosses()
    memory.start("aa11", job("a"))
    assert memory.taken(error("actor aa11 divided by zero")) == []
    memory.start("aa11", job("a"))
    assert memory.taken(error(SAID.format("cc33"))) == []
    assert memory.attempts(job("a")) == 0


def test_a_worker_has_the_trial_that_it_was_handed_last() -> None:
    memory = MemoryLosses()
    memory.start("aa11", job("a"))
    memory.start("aa11", job("b"))
    assert [found.trial_id for found in memory.taken(error(SAID.format("aa11")))] == ["b"]


def test_a_trial_is_given_up_after_as_many_attempts_as_one_that_crashes() -> None:
    memory = MemoryLosses()
    for attempt in range(1, MAX_CRASHES + 2):
        assert not memory.gives_up(job("a"))
        memory.start(f"worker {attempt}", job("a"))
        memory.taken(error(SAID.format(f"worker {attempt}")))
    assert memory.gives_up(job("a"))
    assert not memory.gives_up(job("b"))
