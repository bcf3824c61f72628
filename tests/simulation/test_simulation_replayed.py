"""Replays: against a literal simulation, closed forms, and a grid of full trainings on digits that was recorded."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hsl.cli import app
from hsl.errors import NothingMatchedError
from hsl.simulation.comparison import comparisons, label, replays, setting, shuffled, table
from hsl.simulation.curves import Curve, by_cell, read_curves, resampled
from hsl.simulation.proposals import Evenly
from hsl.simulation.replayed import Replay, Running
from hsl.simulation.rivals import TopAfter
from hsl.simulation.warm_start import warmed
from hsl.stopping.rule import Decision, StoppingRule
from hsl.stopping.settings import Median, Promotion, Stratified, make_rule
from hsl.store.store import Store

RECORDED = Path(__file__).parent / "digits_curves.parquet"
"""Validation accuracy of 480 full trainings: 4 regimes, 3 sparsities and dense, 30 random configurations each."""


def curve(name: str, cell: str, values: list[float], late: int = 0, seconds: float = 1.0) -> Curve:
    """One evaluation per epoch; the target sparsity was reached after `late` epochs."""
    rows = tuple(
        {"epoch": e, "epochs_at_target": max(0, e - late), "objective": v} for e, v in enumerate(values, 1)
    )
    return Curve(name, cell, rows, tuple(seconds * e for e in range(1, len(values) + 1)))


def synthetic(cells: int, per_cell: int, epochs: int = 12, seed: int = 0) -> list[Curve]:
    rng = np.random.default_rng(seed)
    finals = rng.random((cells, per_cell))
    return [
        curve(
            f"{c}-{n}",
            f"cell{c}",
            (
                finals[c, n] * (1 - np.exp(-np.arange(1, epochs + 1) / 3)) + rng.normal(0, 0.05, epochs)
            ).tolist(),
            late=int(rng.choice([0, 0, 5])),
            seconds=float(rng.random() + 0.5),
        )
        for c in range(cells)
        for n in range(per_cell)
    ]


@pytest.fixture(scope="module")
def recorded() -> list[Curve]:
    columns = pq.read_table(RECORDED).to_pydict()
    ends = np.flatnonzero(np.diff([*columns["trial"], -1])) + 1
    starts = [0, *ends[:-1]]
    return [_recorded_curve(columns, slice(a, b)) for a, b in zip(starts, ends, strict=True)]


def _recorded_curve(columns: dict[str, list[Any]], part: slice) -> Curve:
    names = ("epoch", "epochs_at_target", "objective")
    values = zip(*(columns[name][part] for name in names), strict=True)
    rows = tuple(dict(zip(names, row, strict=True)) for row in values)
    seconds = np.cumsum(columns["seconds"][part]).tolist()
    return Curve(str(columns["trial"][part][0]), columns["cell"][part][0], rows, tuple(seconds))


def shown_of(curves: list[Curve], asked: list[Any], workers: int, orders: int, warm: Any = None) -> pa.Table:
    cells = by_cell(curves)
    return table(replays(cells, asked, workers, orders, warm), cells)


def test_without_early_stopping_everything_is_trained() -> None:
    curves = synthetic(3, 10)
    one = Replay(StoppingRule(), Evenly(by_cell(curves)), workers=1).run()
    assert (one.epochs, one.finished) == (360, 30)
    assert one.seconds == pytest.approx(sum(c.seconds[-1] for c in curves))
    assert one.best == {cell: max(c.final for c in own) for cell, own in by_cell(curves).items()}
    many = Replay(StoppingRule(), Evenly(by_cell(curves)), workers=30).run()
    assert many.seconds == max(c.seconds[-1] for c in curves)
    four = Replay(StoppingRule(), Evenly(by_cell(curves)), workers=4).run()
    assert (
        one.seconds / 4 <= four.seconds <= one.seconds / 4 + many.seconds
    )  # Graham's bound of list scheduling


@pytest.mark.parametrize("kind", [Stratified(min_entries=2), Median(min_entries=2), Stratified(brackets=2)])
def test_on_one_worker_a_replay_is_one_trial_after_the_other(kind: Any) -> None:
    curves = synthetic(3, 10)
    turns = [own[n] for n in range(10) for own in by_cell(curves).values()]
    rule, epochs, best = make_rule(kind, 12, 0), 0, {}
    for each in turns:
        for row in each.rows:
            told = rule.report(each.cell, each.trial_id, row, "objective").decision
            if told is Decision.STOP:
                break
        epochs += row["epoch"]
        if row["epoch"] == 12:
            best[each.cell] = max(each.final, best.get(each.cell, 0))
    found = Replay(make_rule(kind, 12, 0), Evenly(by_cell(curves)), workers=1).run()
    assert (found.epochs, found.best) == (epochs, best)
    assert epochs < 360


@pytest.mark.parametrize("workers", [1, 5, 100])
def test_promotion_wastes_nothing_and_loses_no_cell(workers: int) -> None:
    curves = synthetic(4, 9)
    found = Replay(make_rule(Promotion(exempt=0.0, grace=2), 12, 0), Evenly(by_cell(curves)), workers).run()
    assert set(found.best) == set(by_cell(curves))
    assert found.finished < 20
    assert found.epochs < 0.6 * 4 * 9 * 12


def test_the_best_after_one_epoch_go_on() -> None:
    values = [0.3, 0.9, 0.5, 0.1]
    curves = [curve(str(n), "a", [v, 1 - v]) for n, v in enumerate(values)]
    found = Replay(TopAfter(0.5, 12), Evenly(by_cell(curves)), workers=2).run()
    assert (found.epochs, found.finished, found.best) == (4 + 2, 2, {"a": 0.5})


def test_trials_that_are_evaluated_in_the_end_only_are_trained_to_the_end() -> None:
    curves = [replace(one, rows=one.rows[-1:], seconds=one.seconds[-1:]) for one in synthetic(2, 4)]
    shown = shown_of(curves, [Promotion()], 2, 2).to_pylist()
    assert {row["epochs"] for row in shown if row["setting"] == "best quarter after one epoch"} == {1.0}


def test_the_table_has_what_is_to_be_compared() -> None:
    curves = synthetic(3, 12)
    rows = {row["setting"]: row for row in shown_of(curves, [Stratified(grace=2)], 2, 5).to_pylist()}
    assert list(rows) == ["stratified grace=2", *(each.name for each in comparisons(12, 1))]
    oracle, full = rows["oracle"], rows["no early stopping"]
    assert (oracle["epochs"], oracle["regret"], oracle["found"]) == (pytest.approx(1 / 12), 0, 1)
    assert (full["epochs"], full["regret"], full["cells_lost"], full["finished"]) == (1, 0, 0, 36)
    random = rows["random search of equal cost"]
    assert random["epochs"] == pytest.approx(rows["stratified grace=2"]["epochs"], abs=1 / 24)
    assert all(row["epochs_low"] <= row["epochs"] <= row["epochs_high"] for row in rows.values())


def test_a_warm_start_begins_with_what_is_nearest_to_the_best_of_a_neighbour() -> None:
    def at(name: str, cell: str, rate: float, method: str, final: float) -> Curve:
        return replace(curve(name, cell, [final]), parameters={"lr": rate, "method": method})

    easy = [
        at("e0", "easy", 0.1, "set", 0.9),
        at("e1", "easy", 0.01, "rigl", 0.8),
        at("e2", "easy", 1, "set", 0.1),
    ]
    hard = [
        at(f"h{n}", "hard", r, m, 0.5)
        for n, (r, m) in enumerate([(0.01, "set"), (0.2, "set"), (0.02, "rigl")])
    ]
    hard += [at("h3", "hard", 0.1, "rigl", 0.5), at("h4", "hard", 1.0, "gmp", 0.5)]
    order = warmed(shuffled, {"hard": ["easy"], "easy": []}, 2)
    for seed in range(5):
        found = order({"easy": easy, "hard": hard}, np.random.default_rng(seed))
        assert [each.trial_id for each in found["hard"][:2]] == ["h1", "h2"]
        assert sorted(each.trial_id for each in found["hard"]) == ["h0", "h1", "h2", "h3", "h4"]
        assert found["easy"] == shuffled({"easy": easy, "hard": hard}, np.random.default_rng(seed))["easy"]


def test_the_table_shows_a_warm_start_beside_a_cold_one() -> None:
    curves = synthetic(2, 6)
    rows = shown_of(curves, [None], 1, 2, lambda order: warmed(order, {"cell1": ["cell0"]}, 2)).to_pylist()
    assert [row["setting"] for row in rows[-2:]] == [
        "none, warm start",
        "random search of equal cost, warm start",
    ]


def test_labels_name_what_differs() -> None:
    assert label(None) == "none"
    assert label(Promotion()) == "promotion"
    assert label(Stratified(grace=2, tolerance=0.01)) == "stratified grace=2 tolerance=0.01"


def test_resampling_keeps_cells_even_and_names_unique() -> None:
    drawn = resampled(synthetic(3, 4), 1000, seed=1)
    assert sorted(len(own) for own in by_cell(drawn).values()) == [333, 333, 334]
    assert len({each.trial_id for each in drawn}) == 1000
    assert [c.trial_id for c in resampled(synthetic(3, 4), 50, 1)] == [
        c.trial_id for c in resampled(synthetic(3, 4), 50, 1)
    ]


def test_flat_asha_loses_hard_cells_and_stratified_does_not(recorded: list[Curve]) -> None:
    rows = {row["setting"]: row for row in shown_of(recorded, [Stratified()], 2, 3).to_pylist()}
    assert rows["stratified"]["cells_lost"] == 0
    assert rows["flat ASHA over all cells"]["cells_lost"] > 5


@pytest.mark.parametrize("workers", [2, 16])
def test_the_defaults_on_the_recorded_grid(recorded: list[Curve], workers: int) -> None:
    """No cell without a finished trial, 0.5 points from the best of each cell, with at most 45 % of the epochs."""
    cells = by_cell(recorded)
    assert (len(cells), len(recorded)) == (16, 480)
    asked, best = (
        setting(Stratified(min_correlation=-1), cells),
        {name: max(c.final for c in own) for name, own in cells.items()},
    )
    regrets, shares = [], []
    for seed in range(30):
        found = Replay(asked.make(seed), Evenly(shuffled(cells, np.random.default_rng(seed))), workers).run()
        assert set(found.best) == set(cells)
        regrets.append(np.mean([best[name] - value for name, value in found.best.items()]))
        shares.append(found.epochs / (480 * 30))
    assert np.median(regrets) <= 0.005
    assert np.median(shares) <= 0.45


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Stratified(), Promotion()], ids=lambda kind: kind.kind)
def test_a_hundred_thousand_trials_on_a_thousand_workers(recorded: list[Curve], kind: Any) -> None:
    cells = by_cell(resampled(recorded, 100_000, seed=0))
    found = Replay(make_rule(kind, 30, 0), Evenly(cells), workers=1000).run()
    assert set(found.best) == set(cells)
    assert found.epochs < 0.5 * 100_000 * 30


TRIAL = {
    "stage": "search", "seed": 0, "dataset": "digits", "model": "mlp", "regime": "clean", "method": "static",
    "sparsity": 0.9, "parameters": {}, "configuration": {}, "budget_epochs": 6, "exempt": False, "attempts": 1,
}  # fmt: skip


def small_store(folder: Path) -> Path:
    """Six curves of one cell in a store, and a trial that was stopped."""
    store = Store(folder)
    store.write_space("objective: clean\n")
    epochs, trials = [], []
    for n in range(7):
        last, key = (6 if n < 6 else 2), {"trial_id": f"t{n}", "cell": "c"}
        for e in range(1, last + 1):
            value = 0.1 * n + 0.01 * e if e % 2 == 0 else None
            row = {"sequence": 10 * n + e, "epoch": e, "epochs_at_target": e, "val_clean_accuracy": value}
            epochs.append(key | row | {"seconds": 0.5})
        status = "completed" if n < 6 else "stopped"
        ended = {"sequence": 10 * n + 9, "configuration_id": f"c{n}", "status": status, "epochs": last}
        trials.append(TRIAL | key | ended)
    store.append("epochs", epochs)
    store.append("trials", trials)
    return folder


def test_curves_of_a_store(tmp_path: Path) -> None:
    curves, left_out = read_curves(Store(small_store(tmp_path / "store")))
    assert [each.trial_id for each in curves] == [f"t{n}" for n in range(6)]
    assert left_out == 1
    assert [row["epoch"] for row in curves[0].rows] == [2, 4, 6]
    assert curves[0].seconds == (1.0, 2.0, 3.0)
    assert curves[5].final == pytest.approx(0.56)
    assert curves[0].stations((1, 3), "epochs_at_target") == (0, 1, 2)


def test_a_store_without_full_curves_says_what_to_do(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    store.write_space("{}")
    with pytest.raises(NothingMatchedError, match="early_stopping=none"):
        read_curves(store)


def test_the_command(tmp_path: Path) -> None:
    store = str(small_store(tmp_path / "store"))
    figure = tmp_path / "replay.svg"
    arguments = [
        "--early-stopping",
        "{kind: promotion, grace: 2}",
        "--early-stopping",
        "none",
        "--orders",
        "2",
    ]
    done = CliRunner().invoke(app, ["replay", store, *arguments, "--format", "json", "--figure", str(figure)])
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert [row["setting"] for row in rows[:2]] == ["promotion grace=2", "none"]
    assert rows[1]["seconds"] == 3.0
    assert "1 trials are left out" in done.stderr
    assert "oracle" in figure.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--early-stopping", "{kind: asha}"], "did you mean"),
        (["--figure", "x.pdf"], "ends in .html, .png, .svg"),
    ],
)
def test_what_the_command_refuses(arguments: list[str], message: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["replay", str(small_store(tmp_path / "store")), *arguments])
    assert done.exit_code != 0
    assert message in str(done.exception)


def test_a_replay_imports_neither_torch_nor_ray(tmp_path: Path) -> None:
    store = str(small_store(tmp_path / "store"))
    program = (
        "import sys; from hsl.cli import app\n"
        f"app(['replay', {store!r}, '--orders', '1'], standalone_mode=False)\n"
        "sys.exit(bool({'torch', 'ray'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=600, capture_output=True)
    assert done.returncode == 0, done.stderr


def under_way(kept: float = 1.0) -> Running:
    """Epochs of 10 s; at 100 s on the clock the trial reported epoch 2, after 20 s of training."""
    return Running(
        curve("t", "a", [0.1 * e for e in range(1, 11)], seconds=10.0),
        stations=(1, 3, 4, 9),
        next=1,
        done=20.0,
        since=100.0,
        kept=kept,
    )


def test_a_lost_trial_falls_back_to_its_last_checkpoint() -> None:
    """Lost 25 s after its report, in the middle of epoch 5: with a checkpoint each two epochs, epoch 4 is kept."""
    trial = under_way()
    assert trial.fall_back(now=125.0, interval=2.0) == pytest.approx(0.5)
    assert (trial.kept, trial.done) == (4.0, 40.0)
    assert trial.row == 4, "epoch 5 is the first station beyond epoch 4"
    assert trial.seconds() == pytest.approx(10.0)


def test_a_checkpoint_that_is_newer_than_the_interval_says_is_kept() -> None:
    trial = under_way(kept=2.0)
    assert trial.fall_back(now=125.0, interval=3.0) == pytest.approx(1.5)
    assert (trial.kept, trial.done) == (3.0, 30.0)
    trial = under_way(kept=4.25)
    assert trial.fall_back(now=125.0, interval=3.0) == pytest.approx(0.25)
    assert (trial.kept, trial.done) == (4.25, pytest.approx(42.5))


def test_without_an_interval_nothing_is_trained_again() -> None:
    trial = under_way()
    assert trial.fall_back(now=125.0, interval=0.0) == 0.0
    assert (trial.kept, trial.done, trial.row) == (4.5, pytest.approx(45.0), 4)
