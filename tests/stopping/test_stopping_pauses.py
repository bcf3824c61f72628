"""Who waits at a rung, when a cell is closed, and how both come back from a store; without Ray."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from hsl.driver.resume import Past, refill
from hsl.stopping.pauses import Pauses
from hsl.stopping.promotion import PromotionRungs
from hsl.stopping.rule import Decision, StoppingRule
from hsl.stopping.settings import Promotion
from hsl.store.outcomes import Reason

METRIC = "val_matched_accuracy"
PAUSED = ("stopped", Reason.PAUSED)


def rule() -> PromotionRungs:
    return PromotionRungs(Promotion(grace=1, reduction_factor=3, min_entries=3, exempt=0.0), 9, 0)


def report(state: StoppingRule, name: str, epoch: int, value: float) -> Decision:
    return state.report(
        "c", name, {"epoch": epoch, "epochs_at_target": epoch, METRIC: value}, METRIC
    ).decision


def test_what_waits_is_taken_when_it_is_promoted_and_closing_waits_for_what_runs() -> None:
    state = rule()
    pauses: Pauses[str] = Pauses(state)
    for name, value in (("a", 0.1), ("b", 0.2)):
        pauses.start("c")
        assert report(state, name, 1, value) is Decision.PAUSE
        assert pauses.end("c", name, f"job {name}")
    pauses.start("c")
    assert pauses.take({"c": False}) is None, "something runs that may be better"
    assert not pauses.is_over
    report(state, "d", 1, 0.15)
    assert pauses.end("c", "d", "job d")
    assert pauses.take({"c": True}) == "job b", "the best of three"
    pauses.start("c")
    assert report(state, "b", 3, 0.3) is Decision.PAUSE
    assert pauses.end("c", "b", "job b")
    assert pauses.take({"c": True}) is None, "the cell is open"
    assert pauses.take({"c": False}) == "job b", "it is closed: the best of one"
    pauses.start("c")
    report(state, "b", 9, 0.4)
    assert not pauses.end("c", "b", "job b")
    assert pauses.take({"c": False}) is None
    assert pauses.is_over
    assert sorted(pauses.left()) == ["job a", "job d"]


def test_cells_that_are_closed_at_once_each_go_on() -> None:
    """One cell's best waits at its first rung, the other's at its second."""
    state = rule()
    pauses: Pauses[str] = Pauses(state)
    for cell, epochs in (("c", [1]), ("d", [1, 3])):
        for epoch in epochs:
            pauses.start(cell)
            row = {"epoch": epoch, "epochs_at_target": epoch, METRIC: 0.1}
            assert state.report(cell, cell, row, METRIC).decision is Decision.PAUSE
            assert pauses.end(cell, cell, cell)
    pauses.promote({"c": False, "d": False})
    assert [pauses.take({}), pauses.take({}), pauses.take({})] == ["c", "d", None]


def past_of(reports: list[tuple[str, int, float]], ends: dict[str, tuple[str, str | None]]) -> Past:
    """Epochs in the order of arrival, and how trials ended, after them."""
    epochs = [
        {"sequence": n, "trial_id": name, "cell": "c", "epoch": e, "epochs_at_target": e, METRIC: value}
        for n, (name, e, value) in enumerate(reports)
    ]
    trials = [
        {"sequence": 100 + n, "trial_id": name, "cell": "c", "stage": "search", "status": s, "reason": r}
        for n, (name, (s, r)) in enumerate(ends.items())
    ]
    return Past(trials, pa.Table.from_pylist(epochs), under_way=[], next_sequence=200)


@pytest.mark.parametrize("cut", range(1, 8))
def test_the_store_brings_back_who_waits_and_who_was_promoted(cut: int) -> None:
    """Killed after any report: the rest goes on as if nothing had happened."""
    reports = [
        ("a", 1, 0.1),
        ("b", 1, 0.2),
        ("d", 1, 0.3),
        ("d", 3, 0.4),
        ("e", 1, 0.05),
        ("f", 1, 0.5),
        ("g", 1, 0.0),
    ]
    whole, back = rule(), rule()
    expected: list[Any] = [(report(whole, *each), whole.promoted()) for each in reports]
    ends = {name: PAUSED for name, _, _ in reports[:cut]}
    refill(back, past_of(reports[:cut], ends), {"c": METRIC})
    still_to_go = [name for _, names in expected[:cut] for name in names]
    begun = [name for name, epoch, _ in reports[:cut] if epoch > 1]
    assert back.promoted() == [name for name in still_to_go if name not in begun]
    assert [(report(back, *each), back.promoted()) for each in reports[cut:]] == expected[cut:]


def test_a_promoted_trial_that_has_reported_again_goes_on_after_a_restart() -> None:
    """Where it continues a trial reports its epochs again, so that in the store it comes after those it had beaten."""
    back = rule()
    refill(
        back,
        past_of([("a", 1, 0.1), ("b", 1, 0.2), ("d", 1, 0.3)], dict.fromkeys("abd", PAUSED)),
        {"c": METRIC},
    )
    pauses = Pauses(back, {name: f"job {name}" for name in "abd"})
    assert pauses.has_promoted
    assert pauses.take({"c": True}) == "job d"
    assert pauses.take({"c": True}) is None
    assert sorted(pauses.left()) == ["job a", "job b"]


def test_a_failed_trial_is_known_after_a_restart() -> None:
    back = rule()
    refill(
        back,
        past_of([("a", 1, 0.1), ("b", 1, 0.2)], {"a": PAUSED, "b": ("failed", "x")}),
        {"c": METRIC},
    )
    back.close("c")
    assert back.promoted() == ["a"]
