"""A lost machine is no failure, a crash is, and which of both it was is often known only later."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_jobs import made_job

from hsl.driver.interruptions import GRACE_SECONDS, MAX_CRASHES, Interruptions
from hsl.driver.machines import Machines
from hsl.driver.running import Running
from hsl.planning.job import History


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def running(**history: int) -> Running:
    job = made_job()
    return Running(job.model_copy(update={"history": History(**history)}))


def crash(
    found: Interruptions, trial: Running, node: str | None, epoch: int = 0, preempted: bool = False
) -> None:
    """A worker takes the trial, reports from `node` if it comes that far, and ends."""
    trial.node = None
    if node is not None:
        found.report(trial, node, began=epoch, reached=epoch)
    found.interrupt(trial, preempted)


def test_machines_that_vanish_never_make_a_trial_fail(clock: Clock) -> None:
    found, trial = Interruptions("home", clock), running()
    assert not found.gives_up(trial), "it has not even begun"
    for number in range(50):
        crash(found, trial, f"n{number}")
        clock.now += 1
        found.look(["home"], [f"n{i}" for i in range(number + 1)])
    clock.now += 1000
    assert not found.gives_up(trial)
    assert trial.history.losses == 50


def test_crashes_on_a_machine_that_lives_on_do_once_that_is_certain(clock: Clock) -> None:
    found, trial = Interruptions("home", clock), running()
    found.look(["home", "other"], [])
    for _ in range(MAX_CRASHES + 1):
        crash(found, trial, "other")
    assert found.is_undecided
    assert not found.gives_up(trial)
    clock.now += GRACE_SECONDS + 1
    assert not found.is_undecided
    assert found.gives_up(trial)
    assert trial.history.losses == 0


@pytest.mark.parametrize("node", ["home", None])
def test_alone_on_the_drivers_machine_it_is_certain_at_once(clock: Clock, node: str | None) -> None:
    found, trial = Interruptions("home", clock), running()
    found.look(["home"], [])
    for count in range(MAX_CRASHES + 1):
        assert count == 0 or not found.gives_up(trial)
        crash(found, trial, node)
        assert not found.is_undecided
    assert found.gives_up(trial)


def test_a_machine_that_goes_away_long_after_a_crash_does_not_excuse_it(clock: Clock) -> None:
    found, trial = Interruptions("home", clock), running()
    found.look(["home", "other"], [])
    for _ in range(MAX_CRASHES + 1):
        crash(found, trial, "other")
    clock.now += GRACE_SECONDS + 1
    assert not found.is_undecided
    found.look(["home"], ["other"])
    assert found.gives_up(trial)


def test_a_worker_that_never_said_where_it_was_went_with_the_machine_that_vanished_then(clock: Clock) -> None:
    found, trial = Interruptions("home", clock), running()
    found.look(["home", "a"], [])
    crash(found, trial, None)
    clock.now += 3
    found.look(["home"], ["a"])
    assert trial.history.losses == 1
    clock.now += GRACE_SECONDS + 1
    crash(found, trial, None)
    found.look(["home", "b"], ["a"])
    assert trial.history.losses == 1


def test_an_announced_end_is_a_loss_at_once(clock: Clock) -> None:
    found, trial = Interruptions("home", clock), running()
    found.look(["home", "a"], [])
    crash(found, trial, "a", preempted=True)
    assert not found.is_undecided
    assert trial.history.losses == 1


def test_repeated_epochs_are_those_between_the_checkpoint_and_the_last_report() -> None:
    found, trial = Interruptions("home"), running()
    trial.node = None
    found.report(trial, "a", began=0, reached=0)
    found.report(trial, "a", began=0, reached=3)
    found.interrupt(trial)
    trial.node = None
    found.report(trial, "b", began=5, reached=7)
    found.report(trial, "b", began=5, reached=7)
    assert trial.history.repeated_epochs == 2
    trial.node = None
    found.report(trial, "b", began=None, reached=9)
    assert trial.history.repeated_epochs == 2


def test_what_earlier_runs_of_the_driver_counted_is_kept() -> None:
    found, trial = Interruptions("home"), running(losses=2, repeated_epochs=5)
    found.interrupt(trial, is_preempted=True)
    assert trial.history == History(losses=3, repeated_epochs=5)
    assert trial.counted.history == trial.history
    assert trial.job.history == History(losses=2, repeated_epochs=5)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=12))
def test_it_gives_up_by_the_number_of_crashes_alone(events: list[tuple[bool, float]]) -> None:
    """Whatever the order and the times of crashes and losses."""
    clock = Clock()
    found, trial = Interruptions("home", clock), running()
    gone: list[str] = []
    trial.node = None
    for number, (is_loss, wait) in enumerate(events):
        node = f"n{number}"
        found.look(["home", node], gone)
        crash(found, trial, node)
        gone += [node] if is_loss else []
        found.look(["home"], gone)
        clock.now += wait
    clock.now += GRACE_SECONDS + 1
    lost = sum(is_loss for is_loss, _ in events)
    assert found.gives_up(trial) == (len(events) - lost > MAX_CRASHES)
    assert trial.history.losses == lost


def node(name: str, alive: bool = True, reason: int = 0, **more: Any) -> dict[str, Any]:
    return {"NodeID": name, "Alive": alive, "DeathReason": reason, **more}


@pytest.mark.parametrize(
    ("reason", "busy", "lost"),
    [
        (2, False, True),  # unexpected
        (3, False, True),  # drained: preempted
        (0, False, True),
        (4, True, False),  # drained: idle
        (1, False, False),  # as expected
        (1, True, True),  # ended by its system while a trial was on it
    ],
)
def test_which_deaths_are_losses(reason: int, busy: bool, lost: bool) -> None:
    machines = Machines()
    assert machines.look([node("a"), node("b"), node("old", alive=False, reason=2)])
    assert not machines.look([node("a"), node("b")])
    assert machines.look([node("a"), node("b", alive=False, reason=reason)], {"b"} if busy else set())
    assert machines.lost == ({"b"} if lost else set())


def test_nodes_are_counted_by_type() -> None:
    gpus = {"Resources": {"CPU": 8.0, "GPU": 1.0}, "Labels": {"ray.io/node-group": "spot"}}
    machines = Machines()
    machines.look(
        [
            node("a", **gpus),
            node("b", **gpus),
            node("c", Resources={"CPU": 4.0, "GPU": 1.0, "accelerator_type:T4": 1.0}),
            node("head", Resources={}),
            node("dead", alive=False, **gpus),
        ]
    )
    assert machines.by_type({"a": 0.5, "dead": 0.5}) == {
        "CPU": {"nodes": 1, "cpus": 0, "gpus": 0, "gpus_held": 0},
        "T4": {"nodes": 1, "cpus": 4.0, "gpus": 1.0, "gpus_held": 0},
        "spot": {"nodes": 2, "cpus": 16.0, "gpus": 2.0, "gpus_held": 0.5},
    }


def test_epochs_repeat_only_after_the_start_of_a_worker() -> None:
    found, trial = Interruptions("home"), running()
    trial.node = None
    for reached, _ in pairwise(range(6)):
        found.report(trial, "a", began=0, reached=reached)
    assert trial.history.repeated_epochs == 0
