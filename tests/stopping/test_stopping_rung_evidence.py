"""Rungs act where they have shown that they predict: exactly by chance as rarely as they say, and in no other order."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal

from hsl.stopping.rule import Decision, Verdict
from hsl.stopping.rung_evidence import LEAST_ENDS, NOTHING, ODDS, Evidence, Rung, RungEvidence, _payoff
from hsl.stopping.settings import Stratified, make_rule
from hsl.stopping.stratified import Rungs

RUNG = Rung("noisy, dense", 3, 3)
EPOCHS = 9


def after(pairs: list[tuple[float, float]], cells: int = 1) -> RungEvidence:
    evidence = RungEvidence()
    for number, (value, final) in enumerate(pairs):
        evidence.add(number, f"c{number % cells}", f"t{number}", value, final)
    return evidence


@given(
    st.sampled_from([0.3, 0.5, 0.7, 0.9]),
    st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.floats(0, n))),
)
def test_a_bet_pays_on_average_what_it_costs(rho: float, at: tuple[int, float]) -> None:
    """Where each place at the end is equally likely."""
    others, place = at
    paid = [_payoff(rho, others, place, among) for among in range(others + 1)]
    assert min(paid) >= 0
    assert sum(paid) / (others + 1) == pytest.approx(1)


def test_a_bet_is_on_the_gaussian_copula() -> None:
    """Against the bivariate normal distribution itself: the upper half given the median of the upper half."""
    score = 0.6744897501960817  # the upper quartile
    normal = multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]])
    width = 1e-4
    strip = normal.cdf([score + width, 0]) - normal.cdf([score - width, 0])
    whole = normal.cdf([score + width, 9]) - normal.cdf([score - width, 9])
    assert _payoff(0.7, 1, 1, 1) == pytest.approx(2 * (1 - strip / whole), abs=1e-3)


@pytest.mark.parametrize(("cells", "select"), [(1, False), (3, True)])
def test_a_rung_that_says_nothing_acts_as_rarely_as_it_promises(cells: int, select: bool) -> None:
    """Also where the rung itself decides who goes on to the end, and with many ties."""
    rng, worlds, acted = np.random.default_rng(0), 200, 0
    for _ in range(worlds):
        pairs = rng.integers(0, 12, size=(48, 2)).astype(float)
        if select:
            pairs = pairs[pairs[:, 0] >= 4]
        evidence = after([(a, b) for a, b in pairs.tolist()], cells)
        acted += any(evidence.before(n).acts(0.0) for n in range(len(pairs) + 1))
    assert acted / worlds <= 1 / ODDS + 2 * math.sqrt(0.05 * 0.95 / worlds)


def test_a_rung_that_predicts_acts_and_one_that_is_upside_down_does_not() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal(30)
    y = 0.9 * x + 0.4 * rng.standard_normal(30)
    same, other = after(list(zip(x, y, strict=True)), 2), after(list(zip(x, -y, strict=True)), 2)
    first = next(n for n in range(31) if same.before(n).acts(0.0))
    assert LEAST_ENDS <= first <= 20
    assert same.before(30).acts(0.0)
    assert not any(other.before(n).acts(0.0) for n in range(31))
    assert (other.before(30).low or 0) < 0


def test_what_is_shown_is_that_of_the_trials_before_whatever_came_first() -> None:
    pairs = [(float(n), float(n % 7)) for n in range(20)]
    expected = [after(pairs[:n]).before(n) for n in range(21)]
    evidence = after(pairs)
    for n in (20, 3, 11, 0):
        assert evidence.before(n) == expected[n]
    assert evidence.before(0) == NOTHING


def test_kinds_learn_apart_and_an_end_counts_once() -> None:
    evidence = Evidence()
    for number in range(12):
        evidence.enter(RUNG, "c", f"t{number}", float(number))
        evidence.end(f"t{number}", number, float(number))
        evidence.end(f"t{number}", number, -1.0)
    assert evidence.before(RUNG, math.inf).ends == 12
    assert evidence.before(RUNG, math.inf).acts(0.0)
    assert evidence.before(RUNG._replace(kind="noisy, sparse"), math.inf) == NOTHING
    assert evidence.before(RUNG._replace(epoch=5), math.inf) == NOTHING


def rungs(least: float = 0.0) -> Rungs:
    asked = Stratified(
        grace=3, reduction_factor=3, min_entries=2, tolerance=0.0, exempt=0.0, min_correlation=least
    )
    kin = {f"{cell}{number}": cell for cell in "ab" for number in range(2)}
    made = make_rule(asked, EPOCHS, 0, kin)
    assert isinstance(made, Rungs)
    return made


def passed(rule: Rungs, trial: str, cell: str, values: tuple[float, float]) -> Verdict:
    """The verdict at the rung; a trial that goes on is trained to the end."""
    for epoch, value in zip((3, EPOCHS), values, strict=True):
        row = {"epoch": epoch, "epochs_at_target": epoch, "val": value}
        verdict = rule.report(cell, trial, row, "val")
        if epoch == 3:
            first = verdict
        if verdict.decision is not Decision.CONTINUE:
            break
    return first


def test_trials_pass_a_rung_until_their_kind_has_shown_that_it_predicts() -> None:
    """Two cells of a kind whose rung predicts, two of one in which it is upside down."""
    rule = rungs()
    rng = np.random.default_rng(0)
    for number, value in enumerate(rng.permutation(40) / 40):
        passed(rule, f"a-{number}", f"a{number % 2}", (value, value))
        passed(rule, f"b-{number}", f"b{number % 2}", (value, -value))
    worst = passed(rule, "a-last", "a0", (-1.0, 1.0))
    assert worst.decision is Decision.STOP
    assert (worst.evidence or 0) >= ODDS
    other = passed(rule, "b-last", "b0", (-1.0, 1.0))
    assert other.decision is Decision.CONTINUE
    assert other.cutoff is None
    assert (other.evidence or 0) < ODDS
    assert (other.correlation_low or 0) < 0


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_with_an_order_of_proposals_no_order_of_arrival_matters(data: st.DataObject) -> None:
    """Each trial depends on those that it could see, as long as these end before it begins."""
    count, lag = 40, data.draw(st.integers(1, 8))
    values = np.random.default_rng(data.draw(st.integers(0, 3))).random(count)

    def verdicts(order: Iterator[int]) -> dict[int, Verdict]:
        rule = rungs()
        found = {}
        for number in order:
            rule.admit(f"t{number}", number, max(0, number + 1 - lag))
            found[number] = passed(
                rule, f"t{number}", f"a{number % 2}", (values[number], values[number] ** 2)
            )
        return found

    def another() -> Iterator[int]:
        """Any order in which nothing runs before what it may depend on."""
        left = list(range(count))
        while left:
            open_ones = [number for number in left if number < left[0] + lag]
            left.remove(number := data.draw(st.sampled_from(open_ones)))
            yield number

    assert verdicts(another()) == verdicts(iter(range(count)))
