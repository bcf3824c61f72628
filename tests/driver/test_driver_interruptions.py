"""A lost machine is no failure, a crash is, and which of both it was is often known only later."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsl.driver.interruptions import GRACE_SECONDS, MAX_CRASHES, Losses
from hsl.driver.machines import Machines


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def crash(losses: Losses, node: str | None, epoch: int = 0, preempted: bool = False) -> None:
    """A worker takes the trial, reports from `node` if it comes that far, and ends."""
    losses.start("t")
    if node is not None:
        losses.report("t", node, began=epoch, reached=epoch)
    losses.interrupt("t", preempted)


def test_machines_that_vanish_never_make_a_trial_fail(clock: Clock) -> None:
    losses = Losses("home", clock)
    assert not losses.gives_up("t"), "it has not even begun"
    for number in range(50):
        crash(losses, f"n{number}")
        clock.now += 1
        losses.look(["home"], [f"n{i}" for i in range(number + 1)])
    clock.now += 1000
    assert not losses.gives_up("t")
    assert losses.counts("t")["losses"] == 50


def test_crashes_on_a_machine_that_lives_on_do_once_that_is_certain(clock: Clock) -> None:
    losses = Losses("home", clock)
    losses.look(["home", "other"], [])
    for _ in range(MAX_CRASHES + 1):
        crash(losses, "other")
    assert losses.is_undecided
    assert not losses.gives_up("t")
    clock.now += GRACE_SECONDS + 1
    assert not losses.is_undecided
    assert losses.gives_up("t")
    assert losses.counts("t")["losses"] == 0


@pytest.mark.parametrize("node", ["home", None])
def test_alone_on_the_drivers_machine_it_is_certain_at_once(clock: Clock, node: str | None) -> None:
    losses = Losses("home", clock)
    losses.look(["home"], [])
    for count in range(MAX_CRASHES + 1):
        assert count == 0 or not losses.gives_up("t")
        crash(losses, node)
        assert not losses.is_undecided
    assert losses.gives_up("t")


def test_a_machine_that_goes_away_long_after_a_crash_does_not_excuse_it(clock: Clock) -> None:
    losses = Losses("home", clock)
    losses.look(["home", "other"], [])
    for _ in range(MAX_CRASHES + 1):
        crash(losses, "other")
    clock.now += GRACE_SECONDS + 1
    assert not losses.is_undecided
    losses.look(["home"], ["other"])
    assert losses.gives_up("t")


def test_a_worker_that_never_said_where_it_was_went_with_the_machine_that_vanished_then(clock: Clock) -> None:
    losses = Losses("home", clock)
    losses.look(["home", "a"], [])
    crash(losses, None)
    clock.now += 3
    losses.look(["home"], ["a"])
    assert losses.counts("t")["losses"] == 1
    clock.now += GRACE_SECONDS + 1
    crash(losses, None)
    losses.look(["home", "b"], ["a"])
    assert losses.counts("t")["losses"] == 1


def test_an_announced_end_is_a_loss_at_once(clock: Clock) -> None:
    losses = Losses("home", clock)
    losses.look(["home", "a"], [])
    crash(losses, "a", preempted=True)
    assert not losses.is_undecided
    assert losses.counts("t")["losses"] == 1


def test_repeated_epochs_are_those_between_the_checkpoint_and_the_last_report() -> None:
    losses = Losses("home")
    losses.start("t")
    losses.report("t", "a", began=0, reached=0)
    losses.report("t", "a", began=0, reached=3)
    losses.interrupt("t")
    losses.start("t")
    losses.report("t", "b", began=5, reached=7)
    losses.report("t", "b", began=5, reached=7)
    assert losses.counts("t")["repeated_epochs"] == 2
    losses.start("t")
    losses.report("t", "b", began=None, reached=9)
    assert losses.counts("t")["repeated_epochs"] == 2


def test_what_earlier_runs_of_the_driver_counted_is_kept() -> None:
    losses = Losses("home")
    losses.start("t", losses=2, repeated_epochs=5)
    losses.start("t", losses=2, repeated_epochs=5)
    losses.interrupt("t", is_preempted=True)
    assert losses.counts("t") == {"losses": 3, "repeated_epochs": 5}
    losses.forget("t")
    assert losses.counts("t") == {"losses": 0, "repeated_epochs": 0}


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=12))
def test_it_gives_up_by_the_number_of_crashes_alone(events: list[tuple[bool, float]]) -> None:
    """Whatever the order and the times of crashes and losses."""
    clock = Clock()
    losses = Losses("home", clock)
    gone: list[str] = []
    losses.start("t")
    for number, (is_loss, wait) in enumerate(events):
        node = f"n{number}"
        losses.look(["home", node], gone)
        crash(losses, node)
        gone += [node] if is_loss else []
        losses.look(["home"], gone)
        clock.now += wait
    clock.now += GRACE_SECONDS + 1
    lost = sum(is_loss for is_loss, _ in events)
    assert losses.gives_up("t") == (len(events) - lost > MAX_CRASHES)
    assert losses.counts("t")["losses"] == lost


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
    losses = Losses("home")
    losses.start("t")
    for reached, _ in pairwise(range(6)):
        losses.report("t", "a", began=0, reached=reached)
    assert losses.counts("t")["repeated_epochs"] == 0
