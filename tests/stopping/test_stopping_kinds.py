"""Promotion, the median rule, Ray's own schedulers: against literal implementations and against Ray itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ray.tune.schedulers import TrialScheduler

from hsl.errors import SpaceError
from hsl.space.policies import early_stopping_of
from hsl.stopping.median import MedianRule
from hsl.stopping.promotion import PromotionRungs
from hsl.stopping.ray_rules import CellScheduler
from hsl.stopping.rule import Decision, StoppingRule, apply_rule
from hsl.stopping.settings import (
    Kind,
    Median,
    Promotion,
    RayAsha,
    RayHyperband,
    RayMedian,
    Stratified,
    make_rule,
)

METRIC = "val"
EPOCHS = 12
UNASKED = {"evidence": 1.0, "correlation_low": None}

KINDS = (Stratified(min_correlation=-1), Promotion(), Median(), RayAsha(), RayHyperband(), RayMedian())

Report = tuple[str, int, int, float]
"""Cell, number of the trial, epoch, value."""


def report(rule: StoppingRule, cell: str, number: int, epoch: int, value: float) -> Decision:
    row = {"epoch": epoch, "epochs_at_target": epoch, METRIC: value}
    return rule.report(cell, f"{cell}{number}", row, METRIC).decision


REPORTS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 7), st.integers(1, EPOCHS), st.sampled_from(range(6))),
    max_size=60,
).map(lambda reports: [(cell, number, epoch, value / 10) for cell, number, epoch, value in reports])


def promotion(**changes: Any) -> PromotionRungs:
    plain = {"grace": 2, "reduction_factor": 2, "min_entries": 2, "exempt": 0.0}
    return PromotionRungs(Promotion(**{**plain, **changes}), EPOCHS, 0)


def best(pool: list[tuple[str, float]], count: int) -> set[str]:
    """The first `count` of a pool by value; of equals those that came first."""
    return {name for name, _ in sorted(pool, key=lambda entry: -entry[1])[:count]}


class LiteralPromotion:
    """Algorithm 2 of the ASHA paper, everything looked up anew after each report."""

    def __init__(self, factor: int, least: int) -> None:
        self.factor, self.least = factor, least
        self.pools: dict[tuple[str, int, int], list[tuple[str, float]]] = {}
        self.waiting: dict[str, int] = {}
        self.passed: dict[str, int] = {}
        self.seen: set[tuple[str, int]] = set()

    def report(self, cell: str, number: int, epoch: int, value: float) -> None:
        name = f"{cell}{number}"
        if epoch > self.waiting.get(name, epoch):
            del self.waiting[name]
        reached = [m for m in (2, 4, 8) if self.passed.get(name, 0) < m <= epoch]
        if (name, epoch) in self.seen or not reached or epoch >= EPOCHS:
            return
        self.seen.add((name, epoch))
        self.passed[name] = reached[-1]
        pool = self.pools.setdefault((cell, reached[-1], epoch), [])
        pool.append((name, value))
        self.waiting[name] = epoch
        if len(pool) >= self.least:
            for chosen in best(pool, len(pool) // self.factor):
                if self.waiting.get(chosen) == epoch:
                    del self.waiting[chosen]


@given(REPORTS)
@settings(deadline=None, max_examples=50)
def test_promotion_waits_and_promotes_as_a_literal_implementation(reports: list[Report]) -> None:
    rule, literal = promotion(), LiteralPromotion(factor=2, least=2)
    promoted: list[str] = []
    for each in reports:
        decision = report(rule, *each)
        literal.report(*each)
        promoted += rule.promoted()
        name = f"{each[0]}{each[1]}"
        if decision is Decision.PAUSE:
            assert name in literal.waiting or name in promoted
        assert {n for n in {f"{r[0]}{r[1]}" for r in reports} if rule.is_paused(n)} == set(literal.waiting)


def test_who_is_among_the_best_at_once_does_not_wait() -> None:
    rule = promotion()
    assert [report(rule, "a", n, 2, v) for n, v in enumerate([0.5, 0.6, 0.1, 0.7])] == [
        Decision.PAUSE,
        Decision.CONTINUE,
        Decision.PAUSE,
        Decision.CONTINUE,
    ]
    assert rule.promoted() == []
    assert report(rule, "a", 4, 2, 0.2) is Decision.PAUSE
    assert report(rule, "a", 5, 2, 0.1) is Decision.PAUSE
    assert rule.promoted() == ["a0"], "the third place of six"
    assert rule.promoted() == []


def test_a_closed_cell_ends_with_a_trial_at_every_rung() -> None:
    rule = promotion(reduction_factor=3, grace=1)
    assert [report(rule, "a", n, 1, v) for n, v in enumerate([0.5, 0.6])] == [Decision.PAUSE] * 2
    for epoch in (1, 3, 9):
        rule.close("b")
        assert rule.promoted() == []
        rule.close("a")
        assert rule.promoted() == ["a1"], f"promoted from rung {epoch}"
        rule.close("a")
        assert rule.promoted() == []
        decision = report(rule, "a", 1, min(3 * epoch, EPOCHS), 0.6)
        assert decision is (Decision.PAUSE if epoch < 9 else Decision.CONTINUE)
    assert rule.is_paused("a0")


def test_a_trial_that_failed_leaves_its_place_to_the_next() -> None:
    rule = promotion()
    for n, value in enumerate([0.5, 0.6]):
        report(rule, "a", n, 2, value)
    rule.end("a", "a1", failed=True)
    rule.close("a")
    assert rule.promoted() == ["a0"]


def test_exempt_trials_never_wait() -> None:
    rule = promotion(exempt=0.5)
    decisions = {f"a{n}": report(rule, "a", n, 2, -n) for n in range(60)}
    assert {n for n, decision in decisions.items() if rule.is_exempt(n)} <= {
        n for n, decision in decisions.items() if decision is Decision.CONTINUE
    }
    assert Decision.PAUSE in decisions.values()


def literal_median(reports: Iterable[Report], grace: int, least: int, tolerance: float) -> list[Decision]:
    curves: dict[tuple[str, int], dict[int, float]] = {}
    out, answers = [], {}
    for cell, number, epoch, value in reports:
        key, own = (cell, number), curves.setdefault((cell, number), {})
        if epoch > max(own, default=0):
            own[epoch] = value
            others = [
                np.mean([v for e, v in curve.items() if e <= epoch])
                for (other, n), curve in curves.items()
                if other == cell and n != number and epoch in curve
            ]
            late = grace <= epoch < EPOCHS and len(others) >= least
            behind = late and max(own.values()) < np.median(others) - tolerance
            answers[key, epoch] = Decision.STOP if behind else Decision.CONTINUE
        out.append(answers.get((key, epoch), Decision.CONTINUE))
    return out


@given(REPORTS, st.integers(1, 5), st.integers(1, 3))
@settings(deadline=None, max_examples=50)
def test_the_median_rule_is_that_of_a_literal_implementation(
    reports: list[Report], grace: int, least: int
) -> None:
    rule = MedianRule(Median(grace=grace, min_entries=least, tolerance=0.013, exempt=0.0), EPOCHS, 0)
    expected = literal_median(reports, grace, least, 0.013)
    assert [report(rule, *each) for each in reports] == expected


MILESTONES = {
    "stratified": (3, 12),
    "promotion": (3, 12),
    "median": tuple(range(3, 30)),
    **dict.fromkeys(("ray_asha", "ray_hyperband", "ray_median"), tuple(range(1, 30))),
}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_workers_know_when_they_are_judged_without_ray(kind: Any) -> None:
    rule = make_rule(kind, 30, 0)
    assert kind.milestones(30) == rule.milestones == MILESTONES[kind.kind]
    assert kind.progress == rule.progress == ("epoch" if "ray" in kind.kind else "epochs_at_target")


def test_without_early_stopping_nothing_is_reported_or_saved() -> None:
    none, rule = Kind(), make_rule(None, 30, 0)
    assert none.milestones(30) == rule.milestones == ()
    assert (none.progress, none.can_pause) == (rule.progress, rule.can_pause) == ("epochs_at_target", False)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_only_what_pauses_needs_checkpoints_at_rungs(kind: Any) -> None:
    rule, rng = make_rule(kind, EPOCHS, 0), np.random.default_rng(0)
    values = rng.random(30).tolist()
    told = {report(rule, "a", n, epoch, values[n]) for epoch in range(1, EPOCHS) for n in range(30)}
    assert (Decision.PAUSE in told) is kind.can_pause is rule.can_pause
    assert len(told) > 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
@given(reports=REPORTS)
@settings(deadline=None, max_examples=15)
def test_what_is_reported_again_has_the_same_answer(kind: Any, reports: list[Report]) -> None:
    """Each trial in the order of its epochs, as a restart repeats them."""
    once, twice = make_rule(kind, EPOCHS, 0), make_rule(kind, EPOCHS, 0)
    stopped, last = set(), {}
    for cell, number, epoch, value in sorted(reports, key=lambda each: each[2]):
        name = f"{cell}{number}"
        if name in stopped or epoch <= last.get(name, 0):
            continue
        last[name] = epoch
        first = report(once, cell, number, epoch, value)
        assert report(twice, cell, number, epoch, value) is first
        assert report(twice, cell, number, epoch, value) is first
        if first is not Decision.CONTINUE:
            stopped.add(name)


def test_rays_asha_in_each_cell_decides_as_ray_does() -> None:
    from ray.tune.schedulers import AsyncHyperBandScheduler  # noqa: PLC0415

    class OfRay:
        def __init__(self, trial_id: str) -> None:
            self.trial_id = trial_id

    rng = np.random.default_rng(1)
    rule = make_rule(RayAsha(grace=2, reduction_factor=3), EPOCHS, 0)
    for cell in "ab":
        plain = AsyncHyperBandScheduler(
            time_attr="t", metric="m", mode="max", max_t=EPOCHS, grace_period=2, reduction_factor=3
        )
        told = set()
        for number in range(20):
            trial = OfRay(f"{cell}{number}")
            plain.on_trial_add(None, trial)
            for epoch in range(1, EPOCHS):
                value = float(rng.random())
                expected = plain.on_trial_result(None, trial, {"t": epoch, "m": value})
                decision = report(rule, cell, number, epoch, value)
                told.add(decision)
                assert decision.name == expected
                if expected == "STOP":
                    break
        assert told == {Decision.CONTINUE, Decision.STOP}


def test_rays_hyperband_pauses_and_takes_up_again() -> None:
    """With all trials at once it fills its brackets: 3 trials of 9 epochs, then 5 of which one third go on after 3."""
    rule = make_rule(RayHyperband(), 9, 0)
    paused = set()
    for epoch in range(1, 9):
        for number in range(8):
            if (
                number not in paused
                and report(rule, "a", number, epoch, number / 10) is not Decision.CONTINUE
            ):
                paused.add(number)
        again = rule.promoted()
        paused -= {int(name[1:]) for name in again}
    assert paused == {3, 4, 5} or paused == {3, 4, 5, 6}
    assert rule.is_paused("a3")


def test_rows_are_noted_with_rung_and_cutoff_and_none_after_the_decision_is_judged() -> None:
    rule = make_rule(
        Stratified(grace=1, reduction_factor=2, min_entries=2, exempt=0, tolerance=0, min_correlation=-1),
        EPOCHS,
        0,
    )
    for n in range(3):
        apply_rule(rule, "a", f"a{n}", [{"epoch": 1, "epochs_at_target": 1, METRIC: 0.5}], METRIC)
    rows = [{"epoch": e, "epochs_at_target": e, METRIC: 0.1} for e in (1, 2)]
    assert apply_rule(rule, "a", "b", rows, METRIC) is Decision.STOP
    assert rows[0] == {"epoch": 1, "epochs_at_target": 1, METRIC: 0.1, "rung": 1, "cutoff": 0.5, **UNASKED}
    assert "rung" not in rows[1]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("{kind: none}", None),
        ("promotion", Promotion()),
        ("{grace: 0.25}", Stratified(grace=0.25)),
        ("{kind: ray_median, min_entries: 5}", RayMedian(min_entries=5)),
    ],
)
def test_early_stopping_as_text(text: str, expected: Any) -> None:
    assert early_stopping_of(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("asha", "unknown kind 'asha' (did you mean 'ray_asha'?)"),
        ("{kind: median, brackets: 2}", "known: exempt, grace, kind, min_entries, tolerance"),
        ("{grace: 2.5}", "early_stopping.grace: 2.5: give whole epochs"),
        ("{kind: none, grace: 2}", "kind none takes no other key"),
        ("{grace: 0, reduction_factor: 1}", "2 problems"),
        ("{kind: [", "not valid YAML"),
        ("7", "early_stopping: 7"),
    ],
)
def test_early_stopping_that_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpaceError) as caught:
        early_stopping_of(text)
    assert message in str(caught.value)


class Scripted:
    """A scheduler of Ray's that answers as it was told to, and notes what it is told."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.told: list[tuple[str, Any]] = []

    def on_trial_add(self, runner: Any, trial: Any) -> None:
        self.told.append(("add", trial.trial_id))

    def on_trial_result(self, runner: Any, trial: Any, result: dict[str, Any]) -> str:
        self.told.append(("result", result["epoch"]))
        return self.answers.pop(0)

    def on_trial_complete(self, runner: Any, trial: Any, result: dict[str, Any]) -> None:
        self.told.append(("complete", result["epoch"]))

    def on_trial_error(self, runner: Any, trial: Any) -> None:
        self.told.append(("error", trial.trial_id))


def test_the_first_epoch_is_judged_and_its_answer_kept() -> None:
    ray = Scripted(TrialScheduler.STOP)
    scheduler = CellScheduler(ray)
    assert scheduler.report("a", 1, 0.5) is Decision.STOP
    assert scheduler.report("a", 1, 0.5) is Decision.STOP
    scheduler.report("a", 2, 0.6)
    assert ray.told == [("add", "a"), ("result", 1), ("complete", 1)]


def test_a_paused_trial_that_goes_on_is_not_paused_again_by_what_it_repeats() -> None:
    ray = Scripted(TrialScheduler.CONTINUE, TrialScheduler.PAUSE, TrialScheduler.CONTINUE)
    scheduler = CellScheduler(ray)
    assert [scheduler.report("a", epoch, 0.5) for epoch in (1, 2)] == [Decision.CONTINUE, Decision.PAUSE]
    assert scheduler.report("a", 2, 0.5) is Decision.PAUSE
    assert scheduler.report("a", 3, 0.5) is Decision.CONTINUE
    assert scheduler.report("a", 2, 0.5) is Decision.CONTINUE


def test_rays_schedulers_are_told_how_trials_end() -> None:
    ray = Scripted(*[TrialScheduler.CONTINUE] * 2)
    scheduler = CellScheduler(ray)
    scheduler.report("a", 1, 0.5)
    scheduler.report("b", 4, 0.5)
    scheduler.end("a", failed=True)
    scheduler.end("b", failed=False)
    scheduler.end("b", failed=False)
    scheduler.end("unknown", failed=False)
    assert ray.told[-2:] == [("error", "a"), ("complete", 4)]


def test_the_median_rule_by_hand() -> None:
    """The best so far of a trial against the median of the others' averages, as in Vizier; tolerance a quarter."""
    rule = MedianRule(Median(grace=2, min_entries=2, tolerance=0.25, exempt=0.0), 4, 0)

    def told(number: int, epoch: int, value: float) -> tuple[Decision, float | None]:
        verdict = rule.report(
            "c", f"t{number}", {"epoch": epoch, "epochs_at_target": epoch, METRIC: value}, METRIC
        )
        return verdict.decision, verdict.cutoff

    go, stop = Decision.CONTINUE, Decision.STOP
    assert [told(0, 1, 0.5), told(0, 2, 1.0)] == [(go, None)] * 2  # averages 0.75
    assert [told(1, 1, 1.0), told(1, 2, 1.5)] == [(go, None)] * 2  # 1.25
    assert told(2, 1, 0.0) == (go, None)
    assert told(2, 2, 0.5) == (stop, 0.75)  # the median of 0.75 and 1.25 is 1; its own average is 0.25
    assert told(2, 2, 9.0) == (stop, 0.75), "the verdict on an epoch stands"
    assert [told(3, 1, 0.5), told(3, 2, 0.0)] == [(go, None), (go, 0.5)]  # its best, 0.5, is at the cut-off
    assert told(2, 4, 0.0) == (go, None), "the last epoch is not judged"


@pytest.mark.parametrize("kind", [RayAsha(), RayHyperband(), RayMedian()])
def test_rays_schedulers_exempt_no_trial(kind: Kind) -> None:
    rule = make_rule(kind, EPOCHS, seed=0)
    assert not any(rule.is_exempt(str(number)) for number in range(100))
