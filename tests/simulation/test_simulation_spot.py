"""Replays on nodes that are taken away: against closed forms, Poisson's law, and replays in which none is."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from test_simulation_replayed import curve, small_store, synthetic
from typer.testing import CliRunner

from hsl.cli import app
from hsl.simulation.comparison import setting, shuffled
from hsl.simulation.curves import Curve, by_cell, paced
from hsl.simulation.proposals import Evenly
from hsl.simulation.replayed import Replay, Replayed
from hsl.simulation.spot import SCHEMA, Prices, spot_table
from hsl.simulation.spot_nodes import Spot
from hsl.stopping.rule import StoppingRule
from hsl.stopping.settings import Median, Promotion, Stratified

HOUR = 3600.0
KINDS = [Stratified(min_entries=2, min_correlation=-1), Median(min_entries=2), Promotion(grace=2), None]


def replayed(
    curves: list[Curve], workers: int, spot: Spot | None, seed: int = 0, kind: Any = None, order: int = 0
) -> Replayed:
    asked = setting(kind, by_cell(curves))
    cells = shuffled(by_cell(curves), np.random.default_rng(order))
    return Replay(asked.make(0), Evenly(cells), workers, spot, seed).run()


UNDISTURBED = {
    ("stratified", 1): (273, 279.8601057543863, 14),
    ("stratified", 7): (279, 49.00088164464397, 15),
    ("median", 1): (357, 359.02533452354083, 25),
    ("median", 7): (357, 59.71926833930884, 25),
    ("promotion", 1): (254, 253.0948586253397, 8),
    ("promotion", 7): (254, 41.43385716498172, 8),
    ("none", 1): (576, 579.824394488546, 48),
    ("none", 7): (576, 91.62902254400808, 48),
}
"""Epochs, seconds and finished trials as they were before replays knew nodes."""


@pytest.mark.parametrize(("kind", "workers"), UNDISTURBED)
def test_without_losses_nothing_has_changed(kind: str, workers: int) -> None:
    judges = {each.kind if each else "none": each for each in KINDS}
    found = replayed(synthetic(4, 12), workers, Spot(0.0, trials_per_node=3), kind=judges[kind])
    epochs, seconds, finished = UNDISTURBED[kind, workers]
    assert (found.epochs, found.finished) == (epochs, finished)
    assert found.seconds == pytest.approx(seconds, rel=1e-12)
    assert (found.losses, found.repeated) == (0, 0.0)


def long(epochs: int, seconds: float) -> list[Curve]:
    return [curve("t", "a", [0.5] * epochs, seconds=seconds)]


def test_losses_are_poisson() -> None:
    """One trial of ten hours whose work is never lost, on nodes that are replaced at once: the plain process."""
    rate, hours = 0.3, 10.0
    trial = long(10, HOUR)
    counts = [replayed(trial, 1, Spot(rate, 0.0, 0.0), seed).losses for seed in range(2000)]
    expected = stats.poisson(rate * hours)
    bins = np.append(np.arange(9), np.inf)
    observed = np.histogram(counts, bins)[0]
    shares = np.append(expected.pmf(np.arange(8)), expected.sf(7))
    assert stats.chisquare(observed, 2000 * shares).pvalue > 0.01


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("per_node", [1, 3])
def test_there_are_as_many_losses_as_hours_of_nodes_say(kind: Any, per_node: int) -> None:
    """Whatever a sweep does: losses less rate times hours in use is a martingale of that variance."""
    rate = 0.4
    curves = paced(synthetic(4, 12), HOUR / 6)
    runs = [replayed(curves, 7, Spot(rate, 2.0, 600.0, per_node), seed, kind) for seed in range(60)]
    hours = sum(run.node_seconds for run in runs) / HOUR
    losses = sum(run.losses for run in runs)
    assert losses > 500
    assert abs(losses - rate * hours) < 3.5 * math.sqrt(rate * hours)


def test_each_loss_costs_a_replacement() -> None:
    for seed in range(20):
        found = replayed(long(10, HOUR), 1, Spot(0.3, 0.0, 1000.0), seed)
        assert found.seconds == pytest.approx(10 * HOUR + 1000.0 * found.losses)
        assert found.node_seconds == pytest.approx(10 * HOUR)
        assert found.repeated == 0


def test_a_trial_with_checkpoints_takes_as_long_as_theory_says() -> None:
    """Restarts from checkpoints under Poisson failures (Daly 2006, the exact model without checkpoint costs)."""
    rate, interval, epochs, replacement = 0.5, 4, 24, 900.0
    spot = Spot(rate, interval, replacement)
    times = [replayed(long(epochs, HOUR / 4), 1, spot, seed).seconds for seed in range(1500)]
    segment = interval * HOUR / 4
    expected = epochs / interval * math.expm1(rate / HOUR * segment) * (HOUR / rate + replacement)
    error = np.std(times) / math.sqrt(len(times))
    assert abs(np.mean(times) - expected) < 3.5 * error
    assert error < 0.02 * expected


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    workers=st.integers(1, 9),
    per_node=st.integers(1, 4),
    interval=st.sampled_from([0.0, 0.5, 1.0, 3.0, 7.0, 100.0]),
    rate=st.sampled_from([0.05, 0.5, 3.0]),
    seed=st.integers(0, 10_000),
)
def test_no_work_is_lost_beyond_the_interval_or_missing(
    kind: Any, workers: int, per_node: int, interval: float, rate: float, seed: int
) -> None:
    curves = [curve(f"{n}", f"c{n % 3}", [(7 * n + e) % 10 / 10 for e in range(12)]) for n in range(24)]
    curves = paced(curves, 60.0)
    spot = Spot(rate, interval, 120.0, per_node)
    found = replayed(curves, workers, spot, seed, kind)
    assert found.repeated <= interval * found.losses * min(per_node, workers) + 1e-9
    if per_node == 1:  # every second of a node is an epoch that counts, or one that is trained again
        assert found.node_seconds == pytest.approx(60 * (found.epochs + found.repeated))
    assert set(found.best) == {"c0", "c1", "c2"}
    if kind is None:
        assert (found.epochs, found.finished) == (24 * 12, 24)


@pytest.mark.parametrize("rate", [0.01, 0.2, 2.0])
def test_winners_do_not_depend_on_losses_where_nobody_is_stopped(rate: float) -> None:
    curves = paced(synthetic(5, 20), 120.0)
    undisturbed = replayed(curves, 8, None)
    for seed in range(5):
        assert replayed(curves, 8, Spot(rate, 3.0), seed).best == undisturbed.best


def test_a_judge_gets_the_reports_of_one_sequence_of_epochs_again() -> None:
    """What a trial reports after a loss was reported before it, in the same order and with the same values."""
    told: list[tuple[int, float]] = []

    class Listening(StoppingRule):
        def _decide(self, cell: str, trial_id: str, epoch: int, at_target: int, value: float) -> Any:
            told.append((epoch, value))
            return super()._decide(cell, trial_id, epoch, at_target, value)

    trial = [curve("t", "a", [e / 100 for e in range(1, 31)], seconds=600.0)]
    found = Replay(Listening(range(1, 30)), Evenly(by_cell(trial)), 1, Spot(1.0, 5.0), seed=3).run()
    assert found.losses > 1
    assert sorted({epoch for epoch, _ in told}) == list(range(1, 31))
    assert all(value == epoch / 100 for epoch, value in told)
    steps = np.diff([epoch for epoch, _ in told])
    assert (steps <= 1).all()
    assert (steps < 1).sum() <= found.losses
    back = [told[n + 1][0] for n in np.flatnonzero(steps < 1)]
    assert all(epoch % 5 == 1 for epoch in back), "the first epoch after a checkpoint"


def test_time_is_stretched_evenly() -> None:
    slow = paced(synthetic(2, 3), 60.0)
    assert sum(each.seconds[-1] for each in slow) == pytest.approx(60 * 12 * 6)
    ratios = [a.seconds[4] / b.seconds[4] for a, b in zip(slow, synthetic(2, 3), strict=True)]
    assert np.ptp(ratios) < 1e-9


def test_the_table_compares_with_machines_on_demand() -> None:
    curves = paced(synthetic(3, 12), 600.0)
    table = spot_table(curves, [None], 6, 3, [0.5, 0.05], Spot(0.0, 2.0, 300.0), Prices(0.2, 0.5))
    assert table.schema == SCHEMA
    rows = table.to_pylist()
    assert [row["spot_rate"] for row in rows] == [0.0, 0.05, 0.5]
    assert [row["on_demand"] for row in rows] == pytest.approx([0.5 * 36 * 12 / 6] * 3)
    assert rows[0]["cost"] == pytest.approx(0.2 * 36 * 12 / 6)
    assert rows[0]["losses"] == rows[0]["repeated"] == 0
    assert rows[0]["cost"] < rows[1]["cost"] < rows[2]["cost"]
    assert {row["finished"] for row in rows} == {36}


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["replay", *arguments])


def test_the_command(tmp_path: Path) -> None:
    store = str(small_store(tmp_path / "store"))
    times = ["--epoch-seconds", "600", "--checkpoint-interval", "1"]
    rates = ["--spot-rate", "0.1", "--spot-rate", "1"]
    done = run(store, *times, *rates, "--workers", "2", "--orders", "2", "--format", "json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [(row["setting"], row["spot_rate"]) for row in rows] == [
        (name, rate) for name in ("stratified", "none") for rate in (0, 0.1, 1)
    ]
    assert rows[3]["hours"] == pytest.approx(3.0), "six trials of an hour on two nodes"
    assert rows[3]["cost"] is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--checkpoint-interval", "1", "--spot-price", "1"],
            "--checkpoint-interval, --spot-price: only with",
        ),
        (["--spot-rate", "0.1", "--warm-start", "2"], "neither --figure nor --warm-start"),
        (["--spot-rate", "1", "--epoch-seconds", "4000", "--checkpoint-interval", "9"], "lost 6.7 times"),
        (["--spot-rate", "inf", "--checkpoint-interval", "1"], "next to no trial would end"),
    ],
)
def test_what_would_do_nothing_or_never_end_is_refused(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    done = run(str(small_store(tmp_path / "store")), *arguments)
    assert done.exit_code != 0
    assert message in str(done.exception)
